"""NIfTI files in plain folders as an archive, such as dcm2niix writes; no pixel is read."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.nifti_places import masks_of, matched, read_places
from brainssl.data.archives.nifti_series import Progress, read_b_values, read_headers, series_of
from brainssl.data.archives.sequences import exclusion_of, told_sequence
from brainssl.data.archives.sidecars import columns_of, read_sidecars
from brainssl.data.archives.walk import Walk, bare, own_names, volume_suffix, walk
from brainssl.foundation.nouns import agreed, counted


def nifti_archive(
    source: Path, *, progress: Progress | None = None, workers: int | None = None
) -> Archive | None:
    """Return what folders of NIfTI files hold; None where the source holds none.

    Classes and patients are read from folders, see `brainssl.data.archives.nifti_places`; sequences
    from names and the JSON files beside the volumes.

    Args:
        source: the folder.
        progress: is told (headers read, headers in all).
        workers: how many headers are read at once.

    Raises:
        BrainsslError: nibabel is not installed.
    """
    held = walk(source)
    if not held.volumes():
        return None
    return _archive(source, held, held.volumes(), progress, workers)


def archive_of_nifti_files(files: Sequence[Path], root: Path) -> Archive:
    """Return what chosen NIfTI files hold; of two of a pair one is enough.

    Args:
        files: each below `root`.
        root: folder that the names of the series are relative to.

    Raises:
        BrainsslError: nibabel is not installed.
    """
    paths = sorted({file.relative_to(root).as_posix() for file in files})
    sides = {
        beside.relative_to(root).as_posix()
        for path in paths
        for suffix in (".json", ".bval")
        if (beside := root / f"{bare(path)}{suffix}").is_file()
    }
    held = Walk(root, sorted({*paths, *sides}))
    others = [path for path in paths if not volume_suffix(path)]  # whose content says what they are
    return _archive(root, held, [*held.volumes(), *others], None, 1)


def _archive(
    source: Path, held: Walk, paths: list[str], progress: Progress | None, workers: int | None
) -> Archive:
    masks = masks_of(paths)
    headers, unreadable = read_headers(source, paths, progress=progress, workers=workers)
    archive = Archive("nifti", source, [], sorted([*held.unreadable, *unreadable]))
    read = [path for path in headers if path not in set(masks)]
    places = read_places(read)
    of_image = matched(
        {path: headers[path] for path in read},
        {path: headers[path] for path in masks if path in headers},
    )
    files, bad = set(held.files), 0
    named = zip(read, own_names(read), places.labels, places.patients, strict=True)
    for path, name, label, patient in named:
        beside = [source / one for one in [f"{bare(path)}.json"] if one in files]
        sidecar, unread = read_sidecars(beside)
        bad += len(unread)
        sequence = told_sequence(PurePosixPath(path).name, sidecar)
        b_values = f"{bare(path)}.bval"
        archive.series.append(
            series_of(
                source,
                path,
                headers[path],
                name=name,
                patient=patient,
                sequence=sequence,
                columns=columns_of(sidecar),
                label=label,
                mask=of_image.get(path),
                exclusion=exclusion_of(sequence),
                b_values=read_b_values(source / b_values) if b_values in files else (),
            )
        )
    archive.notes = [*held.notes, *places.notes]
    if masks:
        archive.notes.append(
            f"{counted(len(masks), 'mask')} {agreed(len(masks), 'is', 'are')} no series; "
            f"{counted(len(of_image), 'volume')} {agreed(len(of_image), 'has', 'have')} one on "
            f"{agreed(len(of_image), 'its', 'their')} grid."
        )
    if bad:
        said = agreed(bad, "is no JSON object and was", "are no JSON objects and were")
        archive.notes.append(f"{counted(bad, 'sidecar')} {said} not read.")
    return archive

"""The figshare collection of brain tumours (Cheng 2015) as an archive: a slice a file.

Folders hold `1.mat`, `2.mat` …; `cvind.mat` holds the folds of its authors' cross-validation. The
slices are T1-weighted with a contrast agent, of three planes, which the files do not name.
"""

import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from brainssl.data.archives.archive import Archive, Series, Told
from brainssl.data.archives.nifti_series import Progress
from brainssl.data.archives.walk import walk
from brainssl.data.listing import visible
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.matlab import MatlabHeader, is_matlab, matlab_header
from brainssl.data.volumes.nifti_bytes import beginning
from brainssl.data.volumes.volume import VolumeRef
from brainssl.foundation.nouns import counted

_SEQUENCE = Told("T1C+", 0.95, ("description of the figshare collection",))
_LOOKED_AT = 50


def is_figshare(source: Path) -> bool:
    """Tell by names and first bytes of a few files whether a folder holds the collection."""
    pending, looked = [source], 0
    while pending and looked < _LOOKED_AT:
        folder, looked = pending.pop(0), looked + 1
        try:
            entries = visible(folder)
        except OSError:
            continue
        for entry in entries:
            if _is_slice(entry.name) and entry.is_file():
                return _begins_as_matlab(Path(entry.path))
        pending += [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    return False


def _is_slice(name: str) -> bool:
    place = PurePosixPath(name)
    return place.suffix.lower() == ".mat" and place.stem.isdecimal()


def _begins_as_matlab(path: Path) -> bool:
    try:
        return is_matlab(beginning(path, path.name, 16))
    except (UnreadableImage, OSError, EOFError, zlib.error):
        return False


def figshare_archive(
    source: Path, *, progress: Progress | None = None, workers: int | None = None
) -> Archive | None:
    """Return what the collection holds; None where the source is none of it.

    Args:
        source: the folder that holds the files, or those of its parts.
        progress: is told (files looked at, files in all).
        workers: how many files are looked at once.

    Raises:
        BrainsslError: h5py is not installed.
    """
    if not is_figshare(source):
        return None
    held = walk(source)
    archive = Archive("figshare", source, [], held.unreadable, held.notes)
    paths = [path for path in held.files if _is_slice(path)]
    results = in_order(partial(_header, source), paths, workers=workers)
    for number, (path, result) in enumerate(zip(paths, results, strict=True), start=1):
        if isinstance(result, MatlabHeader):
            archive.series.append(series_of_file(source, path, result))
        else:
            archive.unreadable.append((path, result.reason))
        if progress:
            progress(number, len(paths))
    archive.unreadable.sort()
    archive.notes += _notes(archive, [p for p in held.files if p.lower().endswith(".mat")])
    return archive


def _header(root: Path, path: str) -> MatlabHeader | UnreadableImage:
    try:
        return matlab_header(root / path, path)
    except UnreadableImage as error:
        return error


def series_of_file(root: Path, path: str, header: MatlabHeader) -> Series:
    """Return the series of a file of the collection, which holds one slice."""
    ref = VolumeRef("matlab", (root / path,), path)
    return Series(
        name=str(PurePosixPath(path).with_suffix("")),
        volume=ref,
        patient=header.patient,
        study=None,
        series=None,
        shape=(1, *header.shape),
        pixel=None,
        sequence=_SEQUENCE,
        label=header.label,
        mask=ref if header.mask else None,
    )


def _notes(archive: Archive, files: list[str]) -> Iterator[str]:
    others = [path for path in files if not _is_slice(path)]
    if others:
        yield (
            f"{', '.join(sorted({PurePosixPath(path).name for path in others})[:3])} was not read: "
            "folds of the collection's authors are not used."
        )
    unnamed = sum(one.patient is None for one in archive.series)
    if unnamed:
        yield f"The patient of {counted(unnamed, 'slice')} is unknown."
    if archive.series:
        yield "The files do not say in which plane a slice lies."

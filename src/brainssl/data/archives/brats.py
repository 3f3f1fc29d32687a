"""The BraTS collections as an archive: a folder a case, four sequences and a segmentation in each.

Names of 2018 to 2024: `BraTS-GLI-00005-100/BraTS-GLI-00005-100-t1c.nii.gz`, whose last number is a
time point, and `BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz`. The labels of a
segmentation differ between years; all above 0 together are the whole tumour.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brainssl.data.archives.archive import Archive, Told
from brainssl.data.archives.nifti_series import Progress, read_headers, same_grid, series_of
from brainssl.data.archives.walk import bare, inner, own_names, volume_suffix, walk
from brainssl.data.listing import visible
from brainssl.foundation.nouns import agreed, counted

_SEQUENCES = {
    "t1n": "T1",
    "t1": "T1",
    "t1c": "T1C+",
    "t1ce": "T1C+",
    "t2w": "T2",
    "t2": "T2",
    "t2f": "FLAIR",
    "flair": "FLAIR",
}
_FILE = re.compile(r"(?P<case>.+)[-_](?P<kind>t1n|t1ce|t1c|t1|t2w|t2f|t2|flair|seg)", re.IGNORECASE)
_NEWER = re.compile(
    r"(?P<patient>BraTS-(?P<collection>[A-Za-z]+)-\d+)-(?P<time>\d+)", re.IGNORECASE
)
_OLDER = re.compile(r"(?P<patient>BraTS1[7-9]_\w+)_(?P<time>\d+)", re.IGNORECASE)
_GRADES = {"hgg": "HGG", "lgg": "LGG"}
_LOOKED_AT = 200  # folders in which a case is looked for


@dataclass(frozen=True)
class _Case:
    patient: str
    study: str
    collection: str | None


def brats_archive(
    source: Path, *, progress: Progress | None = None, workers: int | None = None
) -> Archive | None:
    """Return what a BraTS collection holds; None where the source is none.

    Args:
        source: the folder of the cases, or one or two levels above it; or one case.
        progress: is told (headers read, headers in all).
        workers: how many headers are read at once.

    Raises:
        BrainsslError: nibabel is not installed.
    """
    if not is_brats(source):
        return None
    held = walk(source)
    top = source.resolve().name  # the source may itself be a case
    found = {path: kind for path in held.volumes() if (kind := _kind(f"{top}/{path}"))}
    headers, unreadable = read_headers(source, list(found), progress=progress, workers=workers)
    archive = Archive("brats", source, [], sorted([*held.unreadable, *unreadable]), held.notes)
    masks = {_folder(path): path for path, kind in found.items() if kind == "seg"}
    read = [path for path in headers if found[path] != "seg"]
    elsewhere = 0
    for path, name in zip(read, own_names(read), strict=True):
        case = _case(_folder(f"{top}/{path}").name)
        mask = masks.get(_folder(path))
        if mask and (mask not in headers or not same_grid(headers[path], headers[mask])):
            elsewhere, mask = elsewhere + (mask in headers), None
        kind = found[path]
        archive.series.append(
            series_of(
                source,
                path,
                headers[path],
                name=name,
                patient=case.patient,
                study=case.study,
                sequence=Told(_SEQUENCES[kind], 0.95, (f"name: BraTS's {kind}",)),
                columns={"collection": case.collection} if case.collection else {},
                label=_grade(path),
                mask=mask,
            )
        )
    archive.notes += _notes(archive, elsewhere)
    if left := len(held.volumes()) - len(found):
        archive.notes.append(
            f"{counted(left, 'volume')} {agreed(left, 'is', 'are')} not named as those of a case "
            "are: not read."
        )
    return archive


def is_brats(source: Path) -> bool:
    """Tell by names whether a folder is a BraTS collection; few folders are looked into."""
    pending, looked = [inner(source)], 0
    while pending and looked < _LOOKED_AT:
        folder, looked = pending.pop(0), looked + 1
        try:
            entries = visible(folder)
        except OSError:
            continue
        kinds = {_kind(f"{folder.name}/{entry.name}") for entry in entries} - {None, "seg"}
        if len(kinds) > 2 or (kinds and folder.name.casefold().startswith("brats")):
            return True
        if len(PurePosixPath(folder.relative_to(inner(source))).parts) < 3:
            pending += [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)]
    return False


def _kind(path: str) -> str | None:
    """Return what a file is of the case whose folder it lies in; None where it is none of it."""
    place = PurePosixPath(path)
    found = _FILE.fullmatch(bare(place.name)) if volume_suffix(path) else None
    if found is None or found["case"].casefold() != place.parent.name.casefold():
        return None
    return found["kind"].lower()


def _folder(path: str) -> PurePosixPath:
    return PurePosixPath(path).parent


def _case(name: str) -> _Case:
    found = _NEWER.fullmatch(name)
    if found:
        return _Case(found["patient"], name, found["collection"].upper())
    found = _OLDER.fullmatch(name)
    return _Case(found["patient"] if found else name, name, None)


def _grade(path: str) -> str | None:
    folders = (one.casefold() for one in PurePosixPath(path).parts[:-2])
    return next((_GRADES[one] for one in folders if one in _GRADES), None)


def _notes(archive: Archive, elsewhere: int) -> Iterable[str]:
    series = archive.series
    if any(one.label for one in series):
        yield "Labels HGG and LGG were taken from the folders of the grades."
    collections = sorted({one.columns.get("collection", "") for one in series} - {""})
    if len(collections) > 1:
        yield (
            f"Cases are of the collections {', '.join(collections)}: a CSV patient,label as "
            "--labels would make them classes."
        )
    if elsewhere:
        lie = agreed(elsewhere, "lies on another grid than its", "lie on another grid than their")
        yield f"{counted(elsewhere, 'volume')} {lie} segmentation: without a mask."
    if series:
        yield "The skull is removed from volumes of BraTS, and those of a case lie on one grid."

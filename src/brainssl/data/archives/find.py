"""Which kind of archive a source is, and what it holds.

Names and the first bytes of a few files in a few folders decide.
"""

import os
import re
import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.bids import bids_archive, is_bids
from brainssl.data.archives.brats import brats_archive, is_brats
from brainssl.data.archives.figshare import figshare_archive, is_figshare, series_of_file
from brainssl.data.archives.nifti_files import archive_of_nifti_files, nifti_archive
from brainssl.data.archives.nifti_series import Progress
from brainssl.data.archives.nnunet import is_nnunet, nnunet_archive
from brainssl.data.archives.sorts import Sort, by_content, by_name, sort_of
from brainssl.data.archives.walk import inner
from brainssl.data.listing import visible
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.matlab import matlab_header
from brainssl.foundation.errors import BadUseError

_KNOWN = re.compile(
    r"\.(?:json|[tc]sv|txt|md|b?val|b?vec|xml|html?|pdf|log|py|parquet|npy|css|js|exe|dll|in[fi]|zip|gz"
    r"|safetensors)"
)
_WHOLE = 10  # pictures that a NIfTI file, a whole volume, outweighs
_FOLDERS, _LISTED, _SNIFFED = 64, 1024, 4  # folders with files, folders in all, files of each


def find_archive(
    source: Path,
    *,
    key: bytes | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Archive | None:
    """Return what a source of volumes holds; None where it is a folder of ordinary pictures.

    In this order: BIDS, nnU-Net, BraTS, the figshare collection, DICOM, NIfTI files. Headers are
    read, no pixels.

    Args:
        source: a folder, or one file.
        key: secret of the pseudonyms of a DICOM archive; None: one that is forgotten.
        progress: is told (files looked at, files in all).
        workers: how many files are looked at once; by default one a core.

    Raises:
        BrainsslError: a package that reads such files is not installed.
    """
    if source.is_file():
        return archive_of_files([source], key=key)
    if not source.is_dir():
        return None
    sorts = _sorts(source)
    slices = sorts["dicom"] + sorts["matlab"] + _WHOLE * sorts["nifti"]
    if sorts["picture"] > slices and not is_bids(inner(source)):
        return None  # what strayed among pictures makes no archive
    found = _find(source, sorts, key, progress, workers)
    if found is None:
        return None
    archive, sorts = found
    if sorts["picture"]:
        archive.notes.append("Ordinary pictures lie among the volumes; they were not read.")
    if archive.kind == "dicom" and sorts["nifti"]:
        archive.notes.append("NIfTI files lie among the DICOM files; they were not read.")
    return archive


def _find(
    source: Path,
    sorts: Counter[Sort],
    key: bytes | None,
    progress: Progress | None,
    workers: int | None,
) -> tuple[Archive, Counter[Sort]] | None:
    found: Archive | None = None
    if is_bids(inner(source)):
        found = bids_archive(source, progress=progress, workers=workers)
        sorts = Counter()  # pictures and other files have their places in BIDS
    elif sorts["nifti"] and is_nnunet(source):
        found = nnunet_archive(source, progress=progress, workers=workers)
    elif sorts["nifti"] and is_brats(source):
        found = brats_archive(source, progress=progress, workers=workers)
    elif sorts["matlab"] and is_figshare(source):
        found = figshare_archive(source, progress=progress, workers=workers)
    elif sorts["dicom"]:
        from brainssl.data.archives.dicom import dicom_archive

        found = dicom_archive(source, key or secrets.token_bytes(32), progress, workers)
    elif sorts["nifti"]:
        found = nifti_archive(source, progress=progress, workers=workers)
    return None if found is None else (found, sorts)


def archive_of_files(files: Sequence[Path], key: bytes | None = None) -> Archive | None:
    """Return what chosen files hold; None where none of them is a volume.

    Args:
        files: of one sort: DICOM, NIfTI, or of the figshare collection.
        key: see `find_archive`.

    Raises:
        BadUseError: volumes of several sorts, or volumes and pictures together.
        BrainsslError: a package that reads such files is not installed.
    """
    sorts = {sort for file in files if (sort := sort_of(file))}
    volumes = sorts - {"picture"}
    if not volumes:
        return None
    if len(sorts) > 1:
        raise BadUseError(f"{' and '.join(sorted(sorts))} files together: give one sort at a time")
    root = Path(os.path.commonpath([file.parent for file in files]))
    if volumes == {"dicom"}:
        from brainssl.data.archives.dicom import dicom_archive_of_files

        return dicom_archive_of_files(files, key or secrets.token_bytes(32))
    if volumes == {"nifti"}:
        return archive_of_nifti_files([f for f in files if sort_of(f) == "nifti"], root)
    archive = Archive("figshare", root, [])
    for file in files:
        path = file.relative_to(root).as_posix()
        try:
            archive.series.append(series_of_file(root, path, matlab_header(file, path)))
        except UnreadableImage as error:
            archive.unreadable.append((path, error.reason))
    return archive


def _sorts(source: Path) -> Counter[Sort]:
    """Count files by sort, in few folders."""
    found: Counter[Sort] = Counter()
    pending, looked, listed = [source], 0, 0
    # Depth first: of many patients the first has all that there is, and folders of folders alone
    # say nothing. Pictures do not end it: a disc from a hospital has some of its own, in any place.
    while pending and looked < _FOLDERS and listed < _LISTED:
        folder, listed = pending.pop(0), listed + 1
        try:
            entries = visible(folder)
        except OSError:
            continue
        files = [Path(e.path) for e in entries if not e.is_dir()]
        looked += bool(files)
        found += _in_folder(files)
        pending = [Path(e.path) for e in entries if e.is_dir(follow_symlinks=False)] + pending
    return found


def _in_folder(files: Sequence[Path]) -> Counter[Sort]:
    """Count the files of a folder by name, and few of those whose names say nothing by content."""
    found: Counter[Sort] = Counter()
    unsaid = []
    for file in files:
        sort = by_name(file)
        if sort:
            found[sort] += 1
        elif not _KNOWN.fullmatch(file.suffix.lower()):
            unsaid.append(file)
    found.update(sort for file in unsaid[:_SNIFFED] if (sort := by_content(file)))
    return found

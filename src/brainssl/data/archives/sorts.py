"""What a file is: a picture, or one of the formats of volumes."""

import zlib
from pathlib import Path
from typing import Literal

from brainssl.data.archives.walk import volume_suffix
from brainssl.data.read import ALLOWED_SUFFIXES, UnreadableImage
from brainssl.data.volumes.dicom_files import begins_like_dicom
from brainssl.data.volumes.matlab import is_matlab
from brainssl.data.volumes.nifti_bytes import beginning

Sort = Literal["picture", "dicom", "nifti", "matlab"]

_DICOM = (".dcm", ".dicom", ".ima")
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"GIF8", b"RIFF")


def by_name(file: Path) -> Sort | None:
    """Return what the name of a file says that it is."""
    suffix = file.suffix.lower()
    if suffix in ALLOWED_SUFFIXES:
        return "picture"
    if suffix in _DICOM or file.name.upper() == "DICOMDIR":
        return "dicom"
    if suffix == ".mat":
        return "matlab"
    return "nifti" if volume_suffix(file.name) else None


def by_content(file: Path) -> Sort | None:
    """Return what its first bytes say that it is; None also where it cannot be read."""
    try:
        begun = beginning(file, file.name, 352)
    except (UnreadableImage, OSError, EOFError, zlib.error):
        return None
    if begins_like_dicom(begun):
        return "dicom"
    if begun.startswith(_PICTURES):
        return "picture"
    if is_matlab(begun):
        return "matlab"
    return "nifti" if begun[344:347] in (b"n+1", b"ni1") or begun[4:7] == b"n+2" else None


def sort_of(file: Path) -> Sort | None:
    """Return what a file is by its content, and by its name where that says nothing."""
    return by_content(file) or by_name(file)

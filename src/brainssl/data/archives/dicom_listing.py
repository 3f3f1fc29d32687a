"""The files of a DICOM archive, each with a number by which it is told and found again.

Folders and files may be called after people. A file is told as `file-<number>` with a suffix that
says nothing of anybody; the number counts all visible files of the source, sorted by path, from 1.
`located` turns it back into a path.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from brainssl.data.listing import is_litter
from brainssl.data.volumes.volume import File
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.nouns import counted

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima", ".img", ".gz", ".dcm.gz", ".ima.gz", ".mr"})
_OTHERS = frozenset(
    re.findall(
        r"\S+",
        ".avi .bmp .bval .bvec .csv .db .doc .docx .exe .gif .html .htm .inf .ini .jpg .jpeg .js"
        " .json .log .mat .md .nii .nii.gz .pdf .png .rst .tif .tiff .tsv .txt .xls .xlsx"
        " .xml .zip",
    )
)


@dataclass
class DicomListing:
    """The files of a source.

    Attributes:
        root: the source.
        files: all of them, sorted by path; what is `None` was refused and only keeps its number.
        refused: what was refused before it was read, by what it is told as, and why.
    """

    root: Path
    files: list[File | None] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def list_dicom(source: Path) -> DicomListing:
    """List the files of a source, whatever their names.

    Links that leave the source or lead nowhere are refused, links to folders are not followed.

    Raises:
        BrainsslError: no such folder.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the files")
    listing = DicomListing(source)
    boundary = source.resolve()
    for number, path in enumerate(_walked(source, listing), 1):
        refusal = _refusal(path, boundary)
        listing.files.append(None if refusal else path)
        if refusal:
            listing.refused.append((told_as(number, path), refusal))
    return listing


def located(source: Path, told: str) -> Path:
    """Return the file that is told as `file-<number>`.

    Args:
        source: the archive, as it was when the file was told.
        told: `file-12`, `file-12.dcm` or `12`.

    Raises:
        BrainsslError: there is none.
    """
    digits = told.removeprefix("file-").partition(".")[0]
    files = _walked(source, DicomListing(source))
    if not digits.isdecimal() or not 1 <= int(digits) <= len(files):
        raise BrainsslError(
            f"{source} holds {counted(len(files), 'file')}: name one as file-<number>; a pseudonym "
            "or an identifier of the hospital is found with --key FILE"
        )
    return files[int(digits) - 1]


def is_told(text: str) -> bool:
    """Tell whether a text is what a file is told as, such as `file-12.dcm`."""
    return text.removeprefix("file-").partition(".")[0].isdecimal() and text.startswith("file-")


def told_as(number: int, path: File) -> str:
    """Return what a file is told as: its number, and its suffix if that is a usual one."""
    suffix = known_suffix(path)
    return f"file-{number}{'' if suffix == 'no usual suffix' else suffix}"


def known_suffix(path: File) -> str:
    """Return the suffix of a file where it is a usual one: any other may be part of a name."""
    name = path.name.casefold()
    double = "".join(Path(name).suffixes[-2:])
    for suffix in (double, Path(name).suffix):
        if suffix in _SUFFIXES or suffix in _OTHERS:
            return suffix
    return "no usual suffix"


def promises_dicom(path: File) -> bool:
    """Tell whether a file is called as DICOM files are, so that one that is none is told."""
    return known_suffix(path) in (".dcm", ".dicom", ".ima", ".dcm.gz", ".ima.gz")


def in_words(counts: Counter[str]) -> str:
    """Say how many there are of each kind: `3 .txt, 1 .jpg`."""
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))


def _walked(source: Path, listing: DicomListing) -> list[Path]:
    """Return all visible files and links below a folder, sorted; closed folders are told."""
    found: list[tuple[bytes, Path]] = []
    closed = 0
    pending = [source]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if is_litter(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(Path(entry.path))
                    else:
                        relative = os.path.relpath(entry.path, source)
                        found.append((os.fsencode(relative), Path(entry.path)))
        except OSError:
            closed += 1
    if closed:
        listing.refused.append(
            (counted(closed, "folder"), "cannot be opened; what they hold is lacking")
        )
    return [path for _, path in sorted(found)]


def _refusal(path: Path, boundary: Path) -> str | None:
    if not path.is_symlink():
        return None
    try:
        if not path.exists():
            return "is a link that leads nowhere; delete it"
    except (OSError, RuntimeError):  # Python before 3.13 raises where links lead in a circle
        return "is a link that leads nowhere; delete it"
    if not path.resolve().is_relative_to(boundary):
        return "is a link that leaves the source; copy what it points to"
    if path.is_dir():
        return "is a link to a folder, which is not followed; its files are read where they lie"
    return None

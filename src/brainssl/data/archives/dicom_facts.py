"""One file of a DICOM archive: what its header says, read without its pixels."""

from functools import lru_cache, partial
from typing import Any, NamedTuple

from brainssl.data.archives.dicom_kinds import DICOMDIR
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_files import NotDicomError, header_alone, silenced
from brainssl.data.volumes.dicom_format import Format, format_of, has_pixels
from brainssl.data.volumes.dicom_frames import Frame, frames_of
from brainssl.data.volumes.dicom_headers import IDENTIFIERS, header_of, wanted_tags
from brainssl.data.volumes.dicom_mosaic import Mosaic, is_mosaic, mosaic_of
from brainssl.data.volumes.dicom_values import number, taken_at, text, whole
from brainssl.data.volumes.volume import File


class Row(NamedTuple):
    """What is kept of every file while an archive is read: little, for there may be a million.

    Attributes:
        place: of the file in the listing, from 0.
        sop: the object's own identifier.
        instance: number that the scanner gave it; it may lie.
        location: along the normal, mm, where no position is told.
        rows: of a frame; 0 where there are no pixels.
        columns: likewise.
        frames: facts of each frame; none where there are no pixels.
        mosaic: how it is tiled, if it is a mosaic.
        burned_in: whether it says that text was burned into the pixels.
        taken: when it was acquired, seconds since any moment; None where it does not say.
    """

    place: int
    sop: str
    instance: int | None
    location: float | None
    rows: int
    columns: int
    frames: tuple[Frame, ...]
    mosaic: Mosaic | None
    burned_in: bool
    taken: float | None


Kind = tuple[object, ...]
"""What slices share that share a header."""


class Facts(NamedTuple):
    """Row, headers by kind and keyword, and identifiers by keyword of one file."""

    row: Row
    headers: dict[Kind, dict[str, object]]
    identifiers: dict[str, str]


class Refused(NamedTuple):
    """Why a file gives nothing.

    Attributes:
        kind: `foreign` for what is no DICOM, `directory` for a DICOMDIR, else `unreadable`.
        reason: in words that quote nothing of it.
    """

    kind: str
    reason: str


def kind_of(row: Row, at: int = 0) -> Kind:
    """Return the kind of one frame of a file: few files or frames are of one that no other is.

    Planes are told apart coarsely, for else a volume turned about an axis, or a head that moves,
    would have as many headers as slices.
    """
    if not row.frames:
        return (row.rows, row.columns)
    frame = row.frames[at]
    _, _, inversion, flip, *_ = frame.times
    cosines = frame.orientation and tuple(round(value, 1) for value in frame.orientation)
    return (row.rows, row.columns, frame.kind, inversion, flip, cosines)


def facts_of(numbered: tuple[int, File]) -> Facts | Refused:
    """Read the header of a file.

    Args:
        numbered: place of the file in the listing, and its path.
    """
    place, path = numbered
    with silenced():
        try:
            return _facts(place, path)
        except NotDicomError as error:
            return Refused("foreign", error.reason)
        except UnreadableImage as error:
            return Refused("unreadable", error.reason)
        except Exception as error:  # noqa: BLE001 - pydicom raises nearly anything on hostile bytes
            return Refused("unreadable", f"is corrupt or truncated ({type(error).__name__})")


_tags = lru_cache(maxsize=1)(wanted_tags)


def _facts(place: int, path: File) -> Facts | Refused:
    dataset, left = header_alone(path, "file", _tags())
    if text(dataset.file_meta, "MediaStorageSOPClassUID") == DICOMDIR:
        return Refused("directory", "is a DICOMDIR")
    told = partial(text, dataset)
    frames: tuple[Frame, ...] = ()
    mosaic = None
    if has_pixels(dataset):
        form = format_of(dataset, "file")
        _refuse_cut_off(dataset, form, left)
        try:
            frames = frames_of(dataset)
            if is_mosaic(dataset):
                mosaic = _mosaic(path)
        except ValueError as error:
            return Refused("unreadable", f"cannot be taken apart ({error})")
    row = Row(
        place,
        told("SOPInstanceUID"),
        whole(dataset, "InstanceNumber"),
        number(dataset, "SliceLocation"),
        (whole(dataset, "Rows") or 0) if frames else 0,
        (whole(dataset, "Columns") or 0) if frames else 0,
        frames,
        mosaic,
        told("BurnedInAnnotation").upper() == "YES",
        taken_at(dataset),
    )
    firsts: dict[Kind, int] = {}
    for at in range(len(frames) or 1):
        firsts.setdefault(kind_of(row, at), at)
    headers = {kind: header_of(dataset, at) for kind, at in firsts.items()}
    return Facts(row, headers, {word: told(word) for word in IDENTIFIERS})


def _mosaic(path: File) -> Mosaic | None:
    """Read a mosaic's header again, with its private elements, which few files need."""
    return mosaic_of(header_alone(path, "file")[0])


def _refuse_cut_off(dataset: Any, form: Format, left: int | None) -> None:
    """Refuse a file that ends before its pixels do, which is known without a look at them."""
    syntax = dataset.file_meta.get("TransferSyntaxUID")
    uncompressed = syntax is None or (not syntax.is_compressed and not syntax.is_private)
    implicit, _ = dataset.original_encoding
    needed = form.bytes_uncompressed + (8 if implicit else 12)  # tag and length of the pixels
    if left is not None and uncompressed and left < needed:
        raise UnreadableImage("file", "holds fewer pixels than its header says")

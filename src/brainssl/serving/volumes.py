"""Volumes among uploads: NIfTI files, and DICOM files of which several are one series."""

import math
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import UInt

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.choice import ALL
from brainssl.data.volumes.dicom_files import begins_like_dicom
from brainssl.data.volumes.nifti_bytes import beginning
from brainssl.data.volumes.slices import Plane, open_volume
from brainssl.data.volumes.volume import InMemory, VolumeRef
from brainssl.serving.own_slices import Look, OwnSlice, of_volume

VOLUMES = ("DICOM", "NIfTI")
"""Formats of volumes that are read, where brainssl[scans] is installed."""


class TooMany(UnreadableImage):
    """Volumes hold more slices than they may.

    Attributes:
        slices: how many.
    """

    def __init__(self, slices: int, most: int) -> None:
        super().__init__("file", f"has {slices:,} slices, more than the limit of {most:,}")
        self.slices = slices


@dataclass(frozen=True)
class Stack:
    """The volume that a slice is of.

    Attributes:
        name: within the request, such as `series 1`.
        held: how many slices it has.
        without: numbers of those that show no brain, which are not judged.
        sequence: what its header says; None where it says nothing.
        files: places of its files among those that were read together.
        patient: whose it is, under a name that is forgotten; None where that is not known.
    """

    name: str
    held: int
    without: tuple[int, ...]
    sequence: str | None = None
    files: tuple[int, ...] = (0,)
    patient: str | None = None


@dataclass(frozen=True, eq=False)
class Seen:
    """A slice of a file as a classifier sees it.

    Attributes:
        image: letterboxed, at the depth of its training images.
        number: within a volume, from 1; None of a picture.
        flags: what the reader noticed.
        stack: the volume that it is of; None of a picture.
        file: place of the first file of the volume among those that were read together.
        own: the same slice at its own resolution, where that is wanted.
    """

    image: UInt[np.ndarray, "size size"]
    number: int | None
    flags: tuple[str, ...]
    stack: Stack | None = None
    file: int = 0
    own: OwnSlice | None = None


def is_dicom(data: bytes) -> bool:
    """Tell by its first bytes whether a file is DICOM, with or without its sign."""
    return begins_like_dicom(data)


def is_nifti(data: bytes) -> bool:
    """Tell by its first bytes, unpacked where gzip packed them, whether a file is NIfTI."""
    try:
        begun = beginning(InMemory(data), "file", 352)
    except (UnreadableImage, OSError, EOFError):
        return False
    except Exception:  # noqa: BLE001 - zlib's own error is no OSError
        return False
    return begun[344:347] in (b"n+1", b"ni1") or begun[4:7] == b"n+2"


def read_nifti_upload(
    data: bytes,
    *,
    reader: int,
    size: int,
    bits: int = 8,
    field_of_view: float | None = None,
    max_voxels: int,
    max_slices: int,
    plane: Plane = "native",
    look: Look | None = None,
) -> list[Seen]:
    """Return the slices with brain of a NIfTI file; see `read_dicom_uploads`.

    Raises:
        UnreadableImage: it cannot be read.
    """
    from brainssl.data.volumes.nifti_headers import nifti_header

    ref = VolumeRef("nifti", (InMemory(data),), "file")
    shape = nifti_header(ref.files[0], "file").shape
    _refuse_large(shape, max_voxels)
    _refuse_many(shape[0], max_slices)
    how = _Cut(plane, reader, size, bits, field_of_view, max_voxels, look)
    return _seen(ref, Stack("series 1", 0, ()), how)


def read_dicom_uploads(
    files: Sequence[bytes],
    *,
    reader: int,
    size: int,
    bits: int = 8,
    field_of_view: float | None = None,
    max_voxels: int,
    max_slices: int,
    plane: Plane = "native",
    look: Look | None = None,
) -> Iterator[list[Seen] | tuple[tuple[int, ...], str]]:
    """Yield for each series among DICOM files its slices with brain, or its files and why none.

    Args:
        files: of any series, in any order.
        reader: version of the normalisation.
        size: side of the slices.
        bits: of a pixel.
        field_of_view: side in mm of what is seen of each slice; None: all is.
        max_voxels: a volume with more is refused before it is decoded, or resampled.
        max_slices: of all series together, before any is decoded.
        plane: of the slices: that of the classifier's training.
        look: which of them are wanted at their own resolution, too.

    Raises:
        UnreadableImage: the series have more slices than that.
    """
    from brainssl.data.archives.archive import UNKNOWN
    from brainssl.data.archives.dicom import dicom_archive_of_files

    how = _Cut(plane, reader, size, bits, field_of_view, max_voxels, look)
    held = [InMemory(data, f"file {place}") for place, data in enumerate(files)]
    places = {one.name: place for place, one in enumerate(held)}
    archive = dicom_archive_of_files(held, secrets.token_bytes(32))
    left = set(places.values())
    for told, why in archive.unreadable:
        place = int(told.removeprefix("file-").partition(".")[0]) - 1
        left.discard(place)
        yield (place,), why
    judged = [one for one in archive.series if one.exclusion is None]
    _refuse_many(sum(one.shape[0] for one in judged), max_slices)
    for number, series in enumerate(archive.series, start=1):
        own = tuple(sorted(places[file.name] for file in series.volume.files))
        left -= set(own)
        if series.exclusion is not None:
            yield own, f"is no series to judge: {series.exclusion}"
            continue
        said = None if series.sequence.value == UNKNOWN else series.sequence.value
        ref = VolumeRef("dicom", series.volume.files, "file", series.volume.frames)
        try:
            _refuse_large(series.shape, max_voxels)
            stack = Stack(f"series {number}", 0, (), said, own, series.patient)
            found = _seen(ref, stack, how)
        except UnreadableImage as error:
            yield own, error.reason
        else:
            yield found
    if left:  # what only looks like DICOM, a list of other files, or a copy of a slice
        yield tuple(sorted(left)), "is no DICOM file with an image of its own"


@dataclass(frozen=True)
class _Cut:
    """How volumes are cut, see `brainssl.inference.volumes.cut`."""

    plane: Plane
    reader: int
    size: int
    bits: int
    field_of_view: float | None
    max_voxels: int
    look: Look | None


def _seen(ref: VolumeRef, stack: Stack, how: _Cut) -> list[Seen]:
    from brainssl.inference.volumes import cut_opened

    opened = open_volume(
        ref,
        plane=how.plane,
        reader=how.reader,
        field_of_view=how.field_of_view,
        max_voxels=how.max_voxels,
    )
    found = cut_opened(opened, slices=ALL, size=how.size, bits=how.bits)
    if isinstance(found, str):
        raise UnreadableImage("file", found)
    whole = replace(stack, held=found.held, without=found.without)
    own = of_volume(opened, found.numbers, how.size, how.look)
    return [
        Seen(image, number, flags, whole, whole.files[0], own=one)
        for image, number, flags, one in zip(
            found.pixels, found.numbers, found.flags, own, strict=True
        )
    ]


def _refuse_large(shape: Sequence[int], max_voxels: int) -> None:
    if math.prod(shape) > max_voxels:
        raise UnreadableImage("file", f"has more voxels than the limit of {max_voxels:,}")


def _refuse_many(slices: int, max_slices: int) -> None:
    if slices > max_slices:
        raise TooMany(slices, max_slices)

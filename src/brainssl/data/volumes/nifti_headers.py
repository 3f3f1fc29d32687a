"""What the header of a NIfTI file says; no pixel is read. nibabel interprets it."""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.nifti_bytes import beginning, header_file, pixel_file
from brainssl.data.volumes.nifti_grid import grid_of
from brainssl.data.volumes.volume import File
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import require

MAX_BYTES = 2**30
"""A larger volume, in the file or as float32, is refused before it is decoded: 645 voxels cubed."""

MAX_FILE_BYTES = 2**35
"""A file that declares more pixels is refused: to reach one volume, all before it are unpacked."""

_MAX_OFFSET = 2**26  # bytes of header extensions
_VECTORS = {1005, 1006, 1007, 1008, 1009, 1010, 2003, 2004}  # intents: no intensities
_SILENT = logging.Logger("nifti")  # nibabel would print what it mends in a header
_SILENT.addHandler(logging.NullHandler())


@dataclass(frozen=True)
class NiftiHeader:
    """What a NIfTI header says.

    Attributes:
        shape: slices, rows and columns, as `brainssl.data.volumes.nifti_grid` chooses them.
        affine: from (column, row, slice) to mm, LPS; None where the file does not say.
        pixel: mm between rows and columns; None where unknown.
        volumes: how many the file holds.
        axes: of the file, those that are slices, rows and columns.
        dtype: of the file, with its byte order.
        slope: of the values; None where they are not scaled.
        intercept: likewise.
        pixels: the file that holds them.
        offset: where in it they begin, in bytes.
        provenance: which orientation and axes were taken and why, in words.
        flags: what a reader of the data should know.
    """

    shape: tuple[int, int, int]
    affine: Float64[np.ndarray, "4 4"] | None
    pixel: tuple[float, float] | None
    volumes: int
    axes: tuple[int, int, int]
    dtype: np.dtype[Any]
    slope: float | None
    intercept: float
    pixels: File
    offset: int
    provenance: tuple[str, ...]
    flags: tuple[str, ...]

    @property
    def stored(self) -> tuple[int, int, int]:
        """Voxels along the third, second and first axis of the file: C order."""
        along = dict(zip(self.axes, self.shape, strict=True))
        return along[2], along[1], along[0]

    @property
    def volume_bytes(self) -> int:
        """Bytes of one volume in the file."""
        return math.prod(self.shape) * self.dtype.itemsize


def nifti_header(path: File, name: str | None = None) -> NiftiHeader:
    """Read the header of a NIfTI-1 or NIfTI-2 file, single or a pair; no pixel is read.

    Args:
        path: `.nii`, `.nii.gz`, or either file of a pair `.hdr` and `.img`; content decides.
        name: what it is called in errors; by default its path.

    Raises:
        UnreadableImage: no NIfTI file, or one that holds no volumes of intensities, or too much.
        BrainsslError: nibabel is not installed.
    """
    name = name or str(path)
    with in_words(name):
        header, single = _parsed(header_file(path, name), name)
        shape, volumes = _shape(header, name)
        grid = grid_of(header, shape)
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        least = int(header["sizeof_hdr"]) + 4 if single else 0
        offset = int(header["vox_offset"]) or least
    found = NiftiHeader(
        grid.shape,
        grid.affine,
        grid.pixel,
        volumes,
        grid.axes,
        dtype,
        slope,
        intercept or 0.0,
        path if single else pixel_file(path, name),
        offset,
        grid.provenance,
        grid.flags,
    )
    if not least <= offset <= _MAX_OFFSET:
        raise UnreadableImage(name, f"says that its pixels begin at byte {offset:,}; it is damaged")
    _refuse_too_much(found, name)
    return found


def _nibabel() -> Any:
    try:
        import nibabel  # late: it takes a third of a second
    except ImportError:
        require("scans")
        raise
    return nibabel


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Turn whatever nibabel or gzip raises of a hostile file into one line."""
    try:
        yield
    except (BrainsslError, ImportError, MemoryError):
        raise
    except EOFError as error:
        raise UnreadableImage(name, "is truncated; fetch it anew") from error
    except Exception as error:  # hostile headers raise nearly anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(name, f"is damaged or no NIfTI ({reason[:160]})") from error


def _parsed(path: File, name: str) -> tuple[Any, bool]:
    """Return the header as nibabel has it, and whether the pixels are in the same file."""
    begun = beginning(path, name, 540)
    sizes = {int.from_bytes(begun[:4], order) for order in ("little", "big")}
    size = next((size for size in (348, 540) if size in sizes), None)
    if size is None:
        raise UnreadableImage(name, "is no NIfTI file")
    if len(begun) < size:
        raise EOFError
    magic = begun[344:347] if size == 348 else begun[4:7]
    if magic not in (b"n+1", b"ni1", b"n+2", b"ni2"):
        raise UnreadableImage(
            name,
            "is of the older Analyze format, which does not say left from right: convert what it "
            "was made of to NIfTI",
        )
    single = magic[1:2] == b"+"
    nibabel = _nibabel()
    if size == 348:
        kind = nibabel.Nifti1Header if single else nibabel.nifti1.Nifti1PairHeader
    else:
        kind = nibabel.Nifti2Header if single else nibabel.nifti2.Nifti2PairHeader
    header = kind(begun[:size], check=False)
    header.check_fix(logger=_SILENT, error_level=40)
    return header, single


def _shape(header: Any, name: str) -> tuple[tuple[int, int, int], int]:
    """Return the three dimensions of a volume, and how many there are."""
    shape = tuple(int(size) for size in header.get_data_shape())
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) > 4 or int(header["intent_code"]) in _VECTORS:
        raise UnreadableImage(name, "holds vectors or matrices in each voxel, not intensities")
    first, second, third, volumes = (*shape, 1, 1, 1, 1)[:4]
    if min(shape, default=0) < 1 or sorted((first, second, third))[1] < 2:
        said = " × ".join(map(str, shape))
        raise UnreadableImage(name, f"has {said or 'no'} voxels, which make no slice")
    return (first, second, third), volumes


def _refuse_too_much(header: NiftiHeader, name: str) -> None:
    """Refuse before anything is unpacked or reserved."""
    one = math.prod(header.shape) * max(4, header.dtype.itemsize)
    for size, most in ((one, MAX_BYTES), (header.volumes * header.volume_bytes, MAX_FILE_BYTES)):
        if size > most:
            said = " × ".join(map(str, header.shape))
            raise UnreadableImage(
                name, f"declares {said} voxels × {header.volumes}, more than {most:,} bytes"
            )

"""The files of a DICOM volume, and where in them each of its hung slices lies.

By this what was computed of slices finds back to the grid of the files: `read_dicom` sorts slices
and cuts mosaics, and `hung` turns them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Shaped

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_files import header_alone, silenced
from brainssl.data.volumes.dicom_frames import Frame, frames_of
from brainssl.data.volumes.dicom_geometry import geometry_of
from brainssl.data.volumes.dicom_mosaic import frames_of_tiles, mosaic_of
from brainssl.data.volumes.dicom_values import whole
from brainssl.data.volumes.hanging import hung, plane_of_affine
from brainssl.data.volumes.slices import Plane
from brainssl.data.volumes.volume import Volume, VolumeRef
from brainssl.foundation.extras import require


@dataclass(frozen=True, eq=False)
class SourceSlice:
    """Where a slice comes from.

    Attributes:
        file: place among the files of the volume.
        frame: of the file, from 1; None where it has one alone.
        lies: its position, orientation and spacing, as its file has it.
    """

    file: int
    frame: int | None
    lies: Frame


@dataclass(frozen=True, eq=False)
class Sources:
    """The files of a volume.

    Attributes:
        name: what it is called in errors.
        headers: of each file its dataset, without pixels.
        slices: in the order in which the volume is hung: slice 1 first.
        shape: rows and columns of a slice as it is stored; of a mosaic those of a tile.
        exchanged: whether rows and columns were exchanged to hang it.
        reversed_: which of the axes of a slice, as it hangs, are reversed.
    """

    name: str
    headers: tuple[Any, ...]
    slices: tuple[SourceSlice, ...]
    shape: tuple[int, int]
    exchanged: bool
    reversed_: tuple[int, ...]

    def as_hung(self) -> tuple[int, int]:
        """Return the rows and columns of a slice as it hangs."""
        return self.shape[::-1] if self.exchanged else self.shape

    def as_stored(
        self, slice_: Shaped[np.ndarray, "rows columns"]
    ) -> Shaped[np.ndarray, "stored_rows stored_columns"]:
        """Turn a slice that hangs as its file stores it; no value is changed."""
        turned = np.flip(slice_, self.reversed_)
        return np.ascontiguousarray(turned.T if self.exchanged else turned)


def sources_of(ref: VolumeRef, plane: Plane = "native") -> Sources:
    """Read the headers of a volume, and find where its slices lie in the files.

    Args:
        ref: of DICOM files.
        plane: of the slices.

    Raises:
        UnreadableImage: a file cannot be read, nothing says where slices lie, or they are
            resampled in that plane, and lie in no file.
        BrainsslError: the optional packages are not installed.
    """
    require("scans")
    with silenced():
        headers = tuple(header_alone(path, ref.name)[0] for path in ref.files)
        found = [
            one for place, header in enumerate(headers) for one in _of_file(ref, place, header)
        ]
        mosaics = [_tile(header, ref.name) for header in headers]
    if ref.frames is not None and not any(mosaics):
        # As the reader does: files gave their frames in the order of the reference.
        order = np.argsort(np.argsort([file for file, _ in ref.frames], kind="stable"))
        found = [found[at] for at in order]
    geometry = geometry_of([one.lies for one in found])
    if geometry.affine is None:
        raise UnreadableImage(ref.name, "nothing says where its slices lie in the patient")
    own = plane_of_affine(geometry.affine)
    if plane not in ("native", own):
        raise UnreadableImage(
            ref.name, f"has {own} slices, resampled to {plane}: those lie in no file"
        )
    exchanged, reversed_ = _turns(geometry.affine)
    slices = [found[at] for at in geometry.order]
    if reversed_[0]:
        slices.reverse()
    shape = mosaics[0] or (whole(headers[0], "Rows") or 0, whole(headers[0], "Columns") or 0)
    axes = tuple(axis for axis, is_reversed in enumerate(reversed_[1:]) if is_reversed)
    return Sources(ref.name, headers, tuple(slices), shape, exchanged, axes)


def _of_file(ref: VolumeRef, place: int, header: Any) -> Sequence[SourceSlice]:
    """Return the slices of one file, in the order in which `read_dicom` takes them."""
    try:
        frames, mosaic = frames_of(header), mosaic_of(header)
    except ValueError as error:
        raise UnreadableImage(ref.name, f"cannot be taken apart ({error})") from None
    own = range(len(frames))
    wanted = own if ref.frames is None else [at for file, at in ref.frames if file == place]
    numbered = "NumberOfFrames" in header
    found: list[SourceSlice] = []
    for at in wanted:
        lying = frames_of_tiles(frames[at], mosaic) if mosaic else (frames[at],)
        found += [SourceSlice(place, at + 1 if numbered else None, one) for one in lying]
    return found


def _tile(header: Any, name: str) -> tuple[int, int] | None:
    try:
        mosaic = mosaic_of(header)
    except ValueError as error:
        raise UnreadableImage(name, f"cannot be taken apart ({error})") from None
    return (mosaic.rows, mosaic.columns) if mosaic else None


def _turns(affine: np.ndarray) -> tuple[bool, tuple[bool, bool, bool]]:
    """Return whether `hung` exchanges rows and columns, and which axes it then reverses.

    It is asked with a volume of two voxels a side, each of which is numbered: so it cannot
    disagree.
    """
    cube = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    turned = hung(Volume(cube, affine, None, 8, (), ())).samples
    corner = int(turned[0, 0, 0])
    exchanged = abs(float(turned[0, 0, 1]) - corner) == 2
    slices, rows, columns = bool(corner & 4), bool(corner & 2), bool(corner & 1)
    return exchanged, (slices, columns, rows) if exchanged else (slices, rows, columns)

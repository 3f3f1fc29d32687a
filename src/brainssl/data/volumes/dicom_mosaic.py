"""Siemens mosaics: the slices of a volume as tiles of one picture."""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from brainssl.data.volumes.dicom_csa import csa_values
from brainssl.data.volumes.dicom_frames import Frame, Triple
from brainssl.data.volumes.dicom_geometry import is_sound, normal_of
from brainssl.data.volumes.dicom_values import numbers, private, text, whole

_COUNT, _NORMAL = "NumberOfImagesInMosaic", "SliceNormalVector"
_MOST_TILES = 4096


class Mosaic(NamedTuple):
    """How a picture is tiled.

    Attributes:
        tiles: slices, in rows from the upper left.
        grid: tiles in a row, and rows of them.
        rows: of a tile.
        columns: of a tile.
        normal: direction from tile to tile; None where the file does not say.
        told_by: what says so.
    """

    tiles: int
    grid: int
    rows: int
    columns: int
    normal: Triple | None
    told_by: str


def is_mosaic(dataset: Any) -> bool:
    """Tell whether a file says of itself that it is one."""
    return "MOSAIC" in text(dataset, "ImageType").upper().split("\\")


def mosaic_of(dataset: Any) -> Mosaic | None:
    """Return how a mosaic is tiled, None where the file is none.

    The count and normal of its slices come from the CSA header; where that fails the count from
    the private group 0019 and, last, from the size of the acquired matrix, which may count empty
    tiles at the end as slices.

    Raises:
        ValueError: it is a mosaic, and nothing tells its tiles or they do not fit.
    """
    if not is_mosaic(dataset):
        return None
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    count, normal, told_by = _from_csa(dataset)
    if count is None:
        found = private(dataset, 0x0019, "SIEMENS MR HEADER", 0x0A)
        count, told_by = (found if isinstance(found, int) else None), "private group 0019"
    if count is not None:
        grid = math.ceil(math.sqrt(count)) if 0 < count <= _MOST_TILES else 0
    else:
        grid, told_by = _grid_of_matrix(dataset, rows, columns), "acquisition matrix"
        count = grid * grid
    if not grid or rows % grid or columns % grid or min(rows, columns) < grid:
        raise ValueError("tiles of a mosaic")
    return Mosaic(count, grid, rows // grid, columns // grid, normal, told_by)


def _from_csa(dataset: Any) -> tuple[int | None, Triple | None, str]:
    for creator in ("SIEMENS CSA HEADER", "SIEMENS MEDCOM HEADER"):
        data = private(dataset, 0x0029, creator, 0x10)
        if not isinstance(data, bytes):
            continue
        try:
            told = csa_values(data, frozenset({_COUNT, _NORMAL}))
            count = int(told[_COUNT][0])
            normal = tuple(float(value) for value in told.get(_NORMAL, []))
        except (ValueError, KeyError, IndexError):
            continue
        sound = len(normal) == 3 and abs(math.hypot(*normal) - 1) < 0.01
        return count, normal if sound else None, "CSA header"
    return None, None, ""


def _grid_of_matrix(dataset: Any, rows: int, columns: int) -> int:
    """Return how many tiles fit beside each other, 0 where the acquired matrix does not tell."""
    sizes = sorted(int(size) for size in numbers(dataset, "AcquisitionMatrix") or () if size > 0)
    return rows // sizes[-1] if sizes and rows == columns and rows % sizes[-1] == 0 else 0


def tiles_of(
    picture: Shaped[np.ndarray, "rows columns"], mosaic: Mosaic
) -> Shaped[np.ndarray, "tiles tile_rows tile_columns"]:
    """Cut a picture into its tiles, in the order of the slices."""
    grid = mosaic.grid
    cut = picture.reshape(grid, mosaic.rows, grid, mosaic.columns).swapaxes(1, 2)
    return np.asarray(cut.reshape(grid * grid, mosaic.rows, mosaic.columns)[: mosaic.tiles])


def frames_of_tiles(frame: Frame, mosaic: Mosaic) -> tuple[Frame, ...]:
    """Return where each tile lies.

    The file gives a position as if the whole picture were one slice around the first one's centre:
    it is moved in by half of what the picture is larger than a tile. From there slices follow one
    another along the normal, `SpacingBetweenSlices` apart, else their thickness.
    """
    step = frame.between or frame.thickness
    known = frame.position is not None and frame.spacing is not None and step
    if not known or not is_sound(frame.orientation):
        return (frame._replace(position=None),) * mosaic.tiles
    assert frame.position is not None
    assert frame.spacing is not None
    assert frame.orientation is not None
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    beyond = mosaic.grid - 1
    start = (
        np.array(frame.position)
        + row * frame.spacing[1] * mosaic.columns * beyond / 2
        + column * frame.spacing[0] * mosaic.rows * beyond / 2
    )
    normal = np.array(mosaic.normal or normal_of(frame.orientation))
    way = normal * abs(float(step or 0))
    return tuple(
        frame._replace(position=tuple((start + way * at).tolist())) for at in range(mosaic.tiles)
    )

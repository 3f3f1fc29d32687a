"""Scalar volumes in space, linear between their voxels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64
from scipy import ndimage

Points = Float32[np.ndarray, "3 n"]
Values = Float32[np.ndarray, " n"]

_PIECE = 8192  # points a round: what a round works on stays in the processor's cache


@dataclass(frozen=True)
class Grid:
    """A scalar volume with its place in space; linear between its voxels.

    Attributes:
        values: float32 volume, contiguous in memory by rows or by columns.
        origin: millimetres of voxel (0, 0, 0).
        spacing: millimetres between voxels, the same along the three axes.
        periodic: Outside, the volume repeats; otherwise the nearest border value holds.
    """

    values: Float32[np.ndarray, "x y z"]
    origin: Float32[np.ndarray, "3"]
    spacing: float
    periodic: bool = False

    def voxels(self, points: Points) -> Points:
        """Returns the places of points (mm), in voxels."""
        return np.asarray((points - self.origin[:, None]) / np.float32(self.spacing), np.float32)

    def at(self, points: Points) -> Values:
        """Returns the volume at points in millimetres."""
        mode = "grid-wrap" if self.periodic else "nearest"
        values = ndimage.map_coordinates(
            self.values, self.voxels(points), np.float32, order=1, mode=mode
        )
        return np.asarray(values, np.float32)


def at_once(grids: Sequence[Grid], points: Points) -> Float32[np.ndarray, "grid n"]:
    """Reads several volumes of one geometry at the same points, as `Grid.at` reads each.

    Voxels and weights are worked out once for all, which takes half the time. The bits are those
    of `Grid.at`: `map_coordinates` weighs and adds the eight voxels about a point in double
    precision, one axis after the other, one corner after the other, and so does this.

    Args:
        grids: Volumes of the same shape, origin and spacing, none of them periodic.
        points: Millimetres.

    Returns:
        The value of each volume at each point.

    Raises:
        ValueError: The volumes differ in their geometry, or one is periodic.
    """
    first = grids[0]
    if first.periodic or any(_geometry(grid) != _geometry(first) for grid in grids):
        raise ValueError("grids that are read at once need one geometry and no periodic border")
    volumes = [grid.values.ravel(order="K") for grid in grids]  # as they lie in memory
    found = np.empty((len(grids), points.shape[1]), np.float32)
    for start in range(0, points.shape[1], _PIECE):
        piece = slice(start, start + _PIECE)
        _read(volumes, first, points[:, piece], found[:, piece])
    return found


def _geometry(grid: Grid) -> tuple[object, ...]:
    values = grid.values
    return values.shape, values.strides, grid.origin.tolist(), grid.spacing, grid.periodic


def _read(
    volumes: list[Float32[np.ndarray, " voxel"]],
    grid: Grid,
    points: Points,
    found: Float32[np.ndarray, "grid n"],
) -> None:
    """Writes the weighted sum of the eight voxels about each point into `found`."""
    corners, weights = _both_sides(grid.voxels(points), grid.values.shape)
    corners *= (np.array(grid.values.strides) // grid.values.itemsize)[:, None]
    x, y, z = corners.swapaxes(0, 1)
    corner = (x[:, None] + y)[:, :, None] + z
    x_weight, y_weight, z_weight = weights.swapaxes(0, 1)
    value, part = np.empty(corner.shape, np.float32), np.empty(corner.shape)
    for volume, row in zip(volumes, found, strict=True):
        # All corners lie inside; clipping merely spares numpy a copy of the result.
        volume.take(corner, out=value, mode="clip")
        np.multiply(value, x_weight[:, None, None], out=part)
        np.multiply(part, y_weight[:, None], out=part)
        np.multiply(part, z_weight, out=part)
        row[:] = part.reshape(8, -1).sum(axis=0)


def _both_sides(
    voxels: Points, shape: tuple[int, ...]
) -> tuple[Int64[np.ndarray, "2 3 n"], Float64[np.ndarray, "2 3 n"]]:
    """Indices and weights of the voxels before and after each coordinate."""
    last = np.array(shape)[:, None] - 1
    inside = np.minimum(np.maximum(voxels.astype(np.float64), 0), last)
    floor = np.floor(inside)
    weights = np.empty((2, *voxels.shape))
    np.subtract(1, inside - floor, out=weights[0])
    np.subtract(1, weights[0], out=weights[1])
    corners = np.empty((2, *voxels.shape), np.int64)
    corners[0] = floor
    np.minimum(corners[0] + 1, last, out=corners[1])
    return corners, weights

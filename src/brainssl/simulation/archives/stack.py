"""A whole series: slices that cover the brain, where each voxel lies, and the signal there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64

from brainssl.simulation.anatomy import Head, load_template
from brainssl.simulation.lesions import Lesion
from brainssl.simulation.scanner import Timing
from brainssl.simulation.series import FRAMES, compose, lesion_mask, rotation
from brainssl.simulation.volume import Points, Values

_COARSE_MM = 5.0
_PIECE = 65536  # points a round, for the sake of memory
# Where in a voxel the signal is taken, along columns, rows and normal: four points that share no
# coordinate, so that each counts along every axis.
SAMPLES = (
    (-0.375, -0.125, -0.125),
    (-0.125, 0.375, 0.375),
    (0.125, -0.375, -0.375),
    (0.375, 0.125, 0.125),
)


@dataclass(frozen=True)
class Stack:
    """Geometry of a series.

    Attributes:
        plane: One of `series.PLANES`.
        frame: Unit vectors along columns, rows and the normal, as rows of the matrix, in the
            simulator's axes: x to the right, y to the front, z up (RAS).
        corner: Middle of the first voxel, mm.
        pixel: Side of a pixel, mm.
        spacing: From the middle of a slice to that of the next, mm.
        thickness: Of a slice, mm; the rest up to `spacing` is gap.
        slices: How many.
        size: Rows and columns.
    """

    plane: str
    frame: Float64[np.ndarray, "3 3"]
    corner: Float64[np.ndarray, "3"]
    pixel: float
    spacing: float
    thickness: float
    slices: int
    size: int

    @property
    def affine(self) -> Float64[np.ndarray, "4 4"]:
        """From (column, row, slice) to millimetres, RAS as in NIfTI."""
        affine = np.eye(4)
        affine[:3, :3] = self.frame.T * (self.pixel, self.pixel, self.spacing)
        affine[:3, 3] = self.corner
        return affine

    def points(self, number: int, offset: Sequence[float] = (0, 0, 0)) -> Points:
        """Patient points of a slice's voxels, row by row, shape (3, size * size).

        Args:
            number: Of the slice, from 0.
            offset: From the voxels' middles along columns and rows, in pixels, and along the
                normal, in thicknesses.
        """
        steps = np.arange(self.size, dtype=float)
        rows, columns = np.meshgrid(steps, steps, indexing="ij")
        along = np.full(columns.size, number * self.spacing + offset[2] * self.thickness)
        column = (columns.ravel() + offset[0]) * self.pixel
        row = (rows.ravel() + offset[1]) * self.pixel
        local = np.stack([column, row, along])
        return np.asarray(self.corner[:, None] + self.frame.T @ local, np.float32)


def brain_points(head: Head) -> Points:
    """Points, 5 mm apart, of a patient's brain within its closed surface."""
    axes = [np.arange(low, high, _COARSE_MM) for low, high in ((-95, 96), (-130, 101), (-95, 106))]
    points = np.stack(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).astype(np.float32)
    return points[:, load_template().hull.at(head.to_template(points)) < 0]


def place_stack(
    brain: Points,
    plane: str,
    *,
    slices: int,
    size: int,
    generator: np.random.Generator,
    tilt: float = 4.0,
) -> Stack:
    """Places slices so that they cover the brain from end to end.

    What is drawn does not depend on `slices` and `size`.

    Args:
        brain: Of `brain_points`.
        plane: One of `series.PLANES`.
        slices: How many.
        size: Rows and columns.
        generator: Of tilt, field of view, gap, and how far off its middle the brain is.
        tilt: Standard deviation of the tilt about each axis, degrees.
    """
    turn = rotation(np.deg2rad(generator.normal(0, 1, 3) * tilt))
    frame = np.asarray(FRAMES[plane], np.float64) @ turn.T
    along = frame @ brain
    low, high = along.min(axis=1) - _COARSE_MM / 2, along.max(axis=1) + _COARSE_MM / 2
    side = max(generator.uniform(225, 256), float((high - low)[:2].max()) + 30)
    middle = (low + high) / 2 + generator.normal(0, 3.0, 3) * (1, 1, 0)
    spacing = float(high[2] - low[2]) / slices
    pixel = side / size
    reach = np.array([pixel * (size - 1), pixel * (size - 1), spacing * (slices - 1)])
    return Stack(
        plane=plane,
        frame=frame,
        corner=frame.T @ (middle - reach / 2),
        pixel=pixel,
        spacing=spacing,
        thickness=spacing / float(generator.uniform(1.0, 1.3)),
        slices=slices,
        size=size,
    )


def scout(brain: Points, plane: str, size: int) -> Stack:
    """Three thick slices about the middle of the brain, 20 mm apart, as a localiser takes them."""
    frame = np.asarray(FRAMES[plane], np.float64)
    along = frame @ brain
    middle = (along.min(axis=1) + along.max(axis=1)) / 2
    pixel = 280.0 / size
    reach = np.array([pixel * (size - 1), pixel * (size - 1), 40.0])
    corner = frame.T @ (middle - reach / 2)
    return Stack(plane, frame, corner, pixel, 20.0, 8.0, 3, size)


def signals(
    head: Head,
    lesion: Lesion | None,
    stack: Stack,
    timings: Sequence[Timing],
    field: float,
    samples: Sequence[tuple[float, float, float]] = SAMPLES,
) -> list[Float32[np.ndarray, "slice h w"]]:
    """Noise-free signal of each timing on one stack, averaged over each voxel.

    Args:
        head: The patient.
        lesion: The patient's lesion, or None.
        stack: Where.
        timings: What is set for each scan.
        field: Tesla.
        samples: Where in a voxel the signal is taken.
    """
    shape = (stack.slices, stack.size, stack.size)
    found = [np.zeros(shape, np.float32) for _ in timings]
    for number in range(stack.slices):
        points = np.concatenate([stack.points(number, one) for one in samples], axis=1)
        pieces: list[list[Values]] = [[] for _ in timings]
        for start in range(0, points.shape[1], _PIECE):
            there = compose(head, lesion, points[:, start : start + _PIECE])
            for piece, timing in zip(pieces, timings, strict=True):
                piece.append(there.signal(timing, field))
        for whole, piece in zip(found, pieces, strict=True):
            whole[number] = np.concatenate(piece).reshape(-1, *shape[1:]).mean(axis=0)
    return found


def masks(head: Head, lesion: Lesion | None, stack: Stack) -> Bool[np.ndarray, "slice h w"]:
    """Where the middle of a voxel lies in the lesion (oedema and dural tail not counted)."""
    found = np.zeros((stack.slices, stack.size, stack.size), bool)
    if lesion is not None:
        for number in range(stack.slices):
            found[number] = lesion_mask(head, lesion, stack.points(number)).reshape(found.shape[1:])
    return found

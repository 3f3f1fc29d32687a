"""From where slices lie to one affine map, and what is odd about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64

from brainssl.data.volumes.dicom_frames import Frame

OBLIQUE = 5.0
"""Degrees between an axis of the slices and the nearest of the patient from which it is told."""

_SHEARED = 1.0  # degrees between the way from slice to slice and their normal
_SAME = 0.01  # mm; slices that are nearer lie at one place
_ALIKE = 2e-3  # of direction cosines of slices that are parallel
_GAP = 1.5  # of the median step; a larger one lacks a slice
_UNEVEN = 0.05  # of the median step
_OFF = 0.1  # of the median step; positions that are farther from their line are told


@dataclass(frozen=True)
class Geometry:
    """How slices lie.

    Attributes:
        order: which slice comes first, second ... along the normal.
        affine: from (column, row, slice) in that order to LPS mm; None where it is not known.
        flags: what a reader of the data should know.
        pixel: mm from row to row and column to column; None where not known of all alike.
    """

    order: tuple[int, ...]
    affine: Float64[np.ndarray, "4 4"] | None
    flags: tuple[str, ...]
    pixel: tuple[float, float] | None = None


def normal_of(orientation: Sequence[float]) -> Float64[np.ndarray, "3"]:
    """Return the unit normal of a slice: direction of rising column × that of rising row."""
    normal = np.cross(orientation[:3], orientation[3:])
    return np.asarray(normal / np.linalg.norm(normal))


def is_sound(orientation: Sequence[float] | None) -> bool:
    """Tell whether six numbers are two directions at a right angle."""
    if orientation is None:
        return False
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    lengths = np.linalg.norm(row), np.linalg.norm(column)
    return bool(max(abs(length - 1) for length in lengths) < 0.01 and abs(row @ column) < 0.01)


def are_parallel(one: Sequence[float], other: Sequence[float]) -> bool:
    """Tell whether two slices are turned alike, in their plane as well."""
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) < _ALIKE


def along(frame: Frame, normal: Float64[np.ndarray, "3"]) -> float:
    """Return how far along a normal a slice lies, mm."""
    return float(np.dot(frame.position or (0.0, 0.0, 0.0), normal))


def places_of(frames: Sequence[Frame]) -> list[int] | None:
    """Number the places along the normal at which parallel slices lie; None where unknown."""
    if any(frame.position is None or not is_sound(frame.orientation) for frame in frames):
        return None
    normal = normal_of(frames[0].orientation or ())
    heights = np.array([along(frame, normal) for frame in frames])
    order = np.argsort(heights, kind="stable")
    numbers = np.zeros(len(frames), dtype=np.int64)
    numbers[order[1:]] = np.cumsum(np.diff(heights[order]) >= _SAME)
    return [int(number) for number in numbers]


def beside(frame: Frame) -> tuple[int, int]:
    """Return how far a slice is shifted in its plane, in whole millimetres."""
    assert frame.position is not None
    assert frame.orientation is not None
    position = np.array(frame.position)
    row, column = np.array(frame.orientation[:3]), np.array(frame.orientation[3:])
    return round(float(position @ row)), round(float(position @ column))


def geometry_of(frames: Sequence[Frame]) -> Geometry:
    """Arrange slices along their normal, and tell how large their pixels are.

    The affine map's columns are the steps from column to column, row to row and slice to slice;
    that to the next slice is the median one where slices are missing, else the mean. A slice alone
    takes it from its header.

    Returns:
        Order, affine map and flags: "no position", "several orientations", "doubled positions",
        "missing slices", "uneven slices", "sheared", "slices not in line", "oblique",
        "spacing unknown".
    """
    return replace(_arranged(frames), pixel=_pixel(frames))


def _pixel(frames: Sequence[Frame]) -> tuple[float, float] | None:
    first = frames[0].spacing
    if first is None:
        return None
    alike = all(frame.spacing and np.allclose(frame.spacing, first, 1e-3, 0) for frame in frames)
    return (first[0], first[1]) if alike else None


def _arranged(frames: Sequence[Frame]) -> Geometry:
    as_they_come = tuple(range(len(frames)))
    first = frames[0]
    if any(frame.position is None or not is_sound(frame.orientation) for frame in frames):
        return Geometry(as_they_come, None, ("no position",))
    assert first.orientation is not None
    if not all(are_parallel(f.orientation or (), first.orientation) for f in frames):
        return Geometry(as_they_come, None, ("several orientations",))
    normal = normal_of(first.orientation)
    heights = np.array([along(frame, normal) for frame in frames])
    order = np.argsort(heights, kind="stable")
    steps = np.diff(heights[order])
    flags = ["oblique"] if _degrees_off(first.orientation) > OBLIQUE else []
    if len(steps) and steps.min() < _SAME:
        return Geometry(tuple(order.tolist()), None, ("doubled positions", *flags))
    positions = np.array([frames[at].position for at in order])
    flags += _told_of_steps(steps, positions, heights[order], normal)
    affine = _affine(first, positions, steps, normal)
    if affine is None:
        flags.append("spacing unknown")
    return Geometry(tuple(order.tolist()), affine, tuple(flags))


def _affine(
    first: Frame,
    positions: Float64[np.ndarray, "slices 3"],
    steps: Float64[np.ndarray, " gaps"],
    normal: Float64[np.ndarray, "3"],
) -> Float64[np.ndarray, "4 4"] | None:
    if first.spacing is None or first.orientation is None:
        return None
    if len(steps):
        way = (positions[-1] - positions[0]) / steps.sum()
        lacking = steps.max() > _GAP * np.median(steps)
        between = way * float(np.median(steps) if lacking else steps.mean())
    else:
        step = first.between or first.thickness
        if not step:
            return None
        between = normal * abs(step)
    affine = np.eye(4)
    affine[:3, 0] = _unit(first.orientation[:3]) * first.spacing[1]
    affine[:3, 1] = _unit(first.orientation[3:]) * first.spacing[0]
    affine[:3, 2] = between
    affine[:3, 3] = positions[0]
    return affine


def _told_of_steps(
    steps: Float64[np.ndarray, " gaps"],
    positions: Float64[np.ndarray, "slices 3"],
    heights: Float64[np.ndarray, " slices"],
    normal: Float64[np.ndarray, "3"],
) -> list[str]:
    flags: list[str] = []
    if not len(steps):
        return flags
    median = float(np.median(steps))
    if steps.max() > _GAP * median:
        flags.append("missing slices")
    elif np.abs(steps - median).max() > _UNEVEN * median:
        flags.append("uneven slices")
    way = (positions[-1] - positions[0]) / steps.sum()
    if _degrees(way, normal) > _SHEARED:
        flags.append("sheared")
    line = positions[0] + np.outer(heights - heights[0], way)
    if np.linalg.norm(positions - line, axis=1).max() > _OFF * median:
        flags.append("slices not in line")
    return flags


def _unit(direction: Sequence[float]) -> Float64[np.ndarray, "3"]:
    return np.asarray(np.array(direction, dtype=np.float64) / np.linalg.norm(direction))


def _degrees(one: Float64[np.ndarray, "3"], other: Float64[np.ndarray, "3"]) -> float:
    cosine = float(_unit(one.tolist()) @ _unit(other.tolist()))
    return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))


def _degrees_off(orientation: Sequence[float]) -> float:
    """Return the largest angle between an axis of a slice and the nearest of the patient's."""
    axes = [orientation[:3], orientation[3:], normal_of(orientation).tolist()]
    nearest = min(float(np.abs(_unit(axis)).max()) for axis in axes)
    return float(np.degrees(np.arccos(min(nearest, 1.0))))

"""The grid of a NIfTI file: which axis runs along the slices, and where the voxels lie."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

CLEARLY = 1.2
"""An axis with a spacing so many times that of the others is the one along the slices."""

_OBLIQUE = 25.0  # degrees; axial slices of heads are tilted by up to 20 as a rule
_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])  # NIfTI's x is to the right and its y to the front
_UNITS = {"meter": 1000.0, "micron": 0.001}
_AXES = "first", "second", "third"


@dataclass(frozen=True)
class Grid:
    """How the axes of a file are read.

    Attributes:
        axes: of the file, from 0, those that become slices, rows and columns.
        shape: slices, rows and columns.
        affine: from (column, row, slice) to mm, LPS; None where the file does not say.
        pixel: mm between rows and columns; None where unknown.
        provenance: which orientation and which axis was taken and why, in words.
        flags: what a reader of the data should know.
    """

    axes: tuple[int, int, int]
    shape: tuple[int, int, int]
    affine: Float64[np.ndarray, "4 4"] | None
    pixel: tuple[float, float] | None
    provenance: tuple[str, ...]
    flags: tuple[str, ...]


def grid_of(header: Any, shape: tuple[int, int, int]) -> Grid:
    """Choose the axis of the slices and the affine; the data are not turned or mirrored.

    Slices run along the axis with one voxel; else the one that `dim_info` names; else the one with
    a spacing of at least `CLEARLY` times the others; else the one nearest to foot to head; else the
    third. Of the two that remain the one that comes first in the file becomes the columns.

    Args:
        header: of nibabel, NIfTI-1 or NIfTI-2.
        shape: the first three dimensions of the file.

    Returns:
        The grid. Where the header holds an sform, it is taken; else the qform, as the standard and
        nibabel do.
    """
    ras, source, flags = _orientation(header)
    spacing = _spacing(header, ras)
    axis, why, doubts = _slice_axis(header, shape, ras, spacing)
    columns, rows = (other for other in range(3) if other != axis)
    axes = (axis, rows, columns)
    affine = None if ras is None else _LPS @ ras[:, [columns, rows, axis, 3]]
    return Grid(
        axes,
        (shape[axis], shape[rows], shape[columns]),
        affine,
        _pixel(header, ras, spacing, rows, columns),
        (source, f"slices along the {_AXES[axis]} axis ({why})"),
        (*flags, *doubts, *_oblique(affine)),
    )


def _orientation(
    header: Any,
) -> tuple[Float64[np.ndarray, "4 4"] | None, str, tuple[str, ...]]:
    """Return the affine to RAS in mm, which it is, and flags."""
    sform, sform_code = header.get_sform(coded=True)
    try:
        qform, qform_code = header.get_qform(coded=True)
    except Exception:  # noqa: BLE001 - of a quaternion that is none, nibabel raises several kinds
        qform, qform_code = None, int(header["qform_code"])
    sform, qform = _usable(header, sform), _usable(header, qform)
    flags = []
    if (sform_code and sform is None) or (qform_code and qform is None):
        flags.append("damaged orientation")
    if sform is None and qform is None:
        return None, "neither sform nor qform", (*flags, "orientation unknown")
    if sform is None:
        return qform, f"qform taken (code {qform_code})", tuple(flags)
    if qform is not None and _differ(sform, qform, header.get_data_shape()):
        flags.append("sform and qform differ")
    return sform, f"sform taken (code {sform_code})", tuple(flags)


def _usable(header: Any, affine: np.ndarray | None) -> Float64[np.ndarray, "4 4"] | None:
    """Return an affine in mm; None for one that no volume can have."""
    if affine is None or not np.isfinite(affine).all():
        return None
    affine = np.array(affine, np.float64)
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    if lengths.min() < 1e-6 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        return None
    affine[:3] *= _scale(header.get_xyzt_units()[0], lengths.tolist())
    return affine


def _differ(one: np.ndarray, other: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Tell whether two affines turn the volume differently, by more than a voxel at its end."""
    across = np.array([*shape, 1, 1, 1][:3]) - 1
    apart = np.abs((one[:3, :3] - other[:3, :3]) * across).sum(axis=1)
    return bool(apart.max() > np.linalg.norm(one[:3, :3], axis=0).min())


def _spacing(header: Any, ras: np.ndarray | None) -> tuple[float, ...] | None:
    """Return mm along each axis of the file."""
    if ras is not None:
        return tuple(np.linalg.norm(ras[:3, :3], axis=0).tolist())
    zooms = [float(zoom) for zoom in (*header.get_zooms(), 0, 0, 0)[:3]]
    return tuple(zooms) if np.isfinite(zooms).all() and min(zooms) > 0 else None


def _pixel(
    header: Any,
    ras: np.ndarray | None,
    spacing: tuple[float, ...] | None,
    rows: int,
    columns: int,
) -> tuple[float, float] | None:
    """Return mm between rows and columns.

    Ones, in a header that says nothing of the place, are what programs write that know neither, and
    what nibabel makes of zeros.
    """
    if spacing is None:
        return None
    if ras is not None:
        return spacing[rows], spacing[columns]
    if all(size == 1 for size in spacing):
        return None
    scale = _scale(header.get_xyzt_units()[0], spacing)
    return spacing[rows] * scale, spacing[columns] * scale


def _scale(unit: str, lengths: Sequence[float]) -> float:
    """Return mm of a unit: one that makes no head of a volume is not believed."""
    scale = _UNITS.get(unit, 1.0)
    return scale if min(lengths) * scale >= 0.01 and max(lengths) * scale <= 100 else 1.0


def _slice_axis(
    header: Any,
    shape: tuple[int, int, int],
    ras: np.ndarray | None,
    spacing: tuple[float, ...] | None,
) -> tuple[int, str, tuple[str, ...]]:
    """Return the axis that runs along the slices, why, and a flag where the header is at odds."""
    wide = _widest(spacing)
    if shape.count(1) == 1:
        return shape.index(1), "it has one voxel", ()
    told = header.get_dim_info()[2]
    if told is not None:
        odds = wide is not None and wide != told
        return told, "dim_info says so", ("slice axis doubtful",) if odds else ()
    if wide is not None:
        return wide, "it has the largest spacing", ()
    if ras is not None:
        upwards = np.abs(ras[2, :3]) / np.linalg.norm(ras[:3, :3], axis=0)
        return int(np.argmax(upwards)), "isotropic, and it is nearest to foot to head", ()
    return 2, "nothing says which", ()


def _widest(spacing: tuple[float, ...] | None) -> int | None:
    if spacing is None:
        return None
    axis = int(np.argmax(spacing))
    others = max(value for place, value in enumerate(spacing) if place != axis)
    return axis if spacing[axis] >= CLEARLY * others * (1 - 1e-6) else None


def _oblique(affine: np.ndarray | None) -> tuple[str, ...]:
    if affine is None:
        return ()
    normal = np.cross(affine[:3, 0], affine[:3, 1])
    cosine = np.abs(normal).max() / np.linalg.norm(normal)
    return ("oblique",) if cosine < np.cos(np.deg2rad(_OBLIQUE)) else ()

"""Volumes resampled to one plane: for who wants axial slices of what was scanned sagittally."""

from dataclasses import replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64

from brainssl.data.volumes.hanging import HUNG, plane_of
from brainssl.data.volumes.volume import Volume
from brainssl.foundation.errors import BadUseError, BrainsslError

MAX_VOXELS = 2**28
"""A finer grid is refused: as float32 it would take more than 1 GiB."""

_MEASURED = 0.5  # weight of measured voxels from which a value counts as measured


def resampled(
    volume: Volume,
    plane: Literal["axial", "coronal", "sagittal"],
    spacing: float | None = None,
    *,
    max_voxels: int = MAX_VOXELS,
) -> Volume:
    """Return slices along the patient's own axes, hung as `brainssl.data.volumes.hanging` does.

    Trilinear between voxels. Where the new grid is coarser, the volume is smoothed before by a
    Gaussian with a standard deviation of (f − 1) / 2 voxels for a factor f, as scikit-image does.

    Args:
        volume: with an affine.
        plane: that of the slices.
        spacing: mm between slices, rows and columns alike; by default the volume's smallest.
        max_voxels: a grid of more is refused.

    Returns:
        A grid that covers the volume and is centred on it. Where it reaches beyond, and where less
        than half of what a value is made of was measured, there is padding and the value is the
        volume's smallest.

    Raises:
        BrainsslError: nothing says how the volume lies, or the grid would be too large.
        BadUseError: no such plane, or a spacing that is none.
    """
    if plane not in HUNG:
        raise BadUseError(f"plane {plane}: choose one of {', '.join(HUNG)}")
    if spacing is not None and not 0 < spacing < np.inf:
        raise BadUseError(f"spacing {spacing}: name millimetres above 0")
    if plane_of(volume) == "unknown" or volume.affine is None or volume.spacing is None:
        raise BrainsslError(
            f"nothing says how a volume lies in the patient: it cannot be resampled to {plane} "
            "slices; use it as it is"
        )
    step = spacing or min(volume.spacing)
    affine, shape = _grid(volume, plane, step)
    if np.prod(shape, dtype=np.float64) > max_voxels:
        raise BrainsslError(
            f"has too many voxels once it is resampled ({' × '.join(map(str, shape))} of "
            f"{step:g} mm): name a larger spacing"
        )
    values, measured = _interpolated(volume, affine, shape, step)
    return replace(
        volume,
        samples=values,
        affine=affine,
        padding=None if measured.all() else ~measured,
        provenance=(*volume.provenance, f"resampled to {plane} slices, {step:.4g} mm, trilinear"),
        flags=(*volume.flags, "resampled"),
    )


def _grid(
    volume: Volume, plane: str, step: float
) -> tuple[Float64[np.ndarray, "4 4"], tuple[int, int, int]]:
    """Return a grid along the patient's axes that covers the volume: affine, and its shape."""
    assert volume.affine is not None
    counts = np.array(volume.samples.shape[::-1])
    corners = np.stack(np.meshgrid(*[(-0.5, count - 0.5) for count in counts]), -1).reshape(-1, 3)
    placed = corners @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    low, high = placed.min(axis=0), placed.max(axis=0)
    sizes = np.maximum(np.ceil((high - low) / step - 1e-3), 1).astype(int)
    affine, shape = np.zeros((4, 4)), [1, 1, 1]
    affine[:3, 3], affine[3, 3] = (low + high) / 2, 1
    for place, (axis, way) in enumerate(HUNG[plane]):
        affine[axis, place] = way * step
        affine[axis, 3] -= way * step * (sizes[axis] - 1) / 2
        shape[2 - place] = int(sizes[axis])
    return affine, (shape[0], shape[1], shape[2])


def _interpolated(
    volume: Volume, affine: Float64[np.ndarray, "4 4"], shape: tuple[int, int, int], step: float
) -> tuple[Float32[np.ndarray, "s r c"], Bool[np.ndarray, "s r c"]]:
    """Return values on another grid, and where they were measured.

    What was not measured has no weight, before and after smoothing: no edge darkens.
    """
    from scipy import ndimage

    assert volume.affine is not None
    assert volume.spacing is not None
    least = float(volume.samples.min())
    weights = np.ones_like(volume.samples)
    if volume.padding is not None:
        weights[volume.padding] = 0
    values = (volume.samples - least) * weights
    sigma = [max(0.0, (step / own - 1) / 2) for own in volume.spacing]
    if max(sigma) > 0:
        values = ndimage.gaussian_filter(values, sigma, mode="constant")
        weights = ndimage.gaussian_filter(weights, sigma, mode="constant")
    across = np.linalg.inv(volume.affine) @ affine  # from new indices to old: column, row, slice
    turned = across[:3, :3][::-1, ::-1]
    told = {"output_shape": shape, "order": 1, "mode": "grid-constant", "output": np.float32}
    offset = across[:3, 3][::-1]
    values = ndimage.affine_transform(values, turned, offset, **told)
    weights = ndimage.affine_transform(weights, turned, offset, **told)
    measured = weights >= _MEASURED
    values = np.divide(values, weights, out=np.zeros_like(values), where=measured)
    return values + np.float32(least), measured

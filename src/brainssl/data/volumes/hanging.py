"""Volumes turned as radiologists hang them, by flips and quarter turns alone.

Axial slices are seen from the feet: the patient's right is on the left, the front up. Coronal ones
from the front: right on the left, head up. Sagittal ones from the patient's left: front on the
left, head up.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from brainssl.data.volumes.volume import Volume

UNKNOWN_ORIENTATION = "orientation unknown"
"""Flag of a volume of which nothing says where its voxels lie."""

_PLANES = "sagittal", "coronal", "axial"  # by the axis of LPS that runs along their normal

# Where columns, rows and slices run in a hung volume: axis of LPS and direction along it.
HUNG = {
    "axial": ((0, 1), (1, 1), (2, 1)),
    "coronal": ((0, 1), (2, -1), (1, -1)),
    "sagittal": ((1, 1), (2, -1), (0, 1)),
}
"""Of each plane, for columns, rows and slices: axis of LPS, and 1 or -1 for the way along it."""


def plane_of(volume: Volume) -> str:
    """Return the plane that the slices are nearest to; `unknown` where nothing says so."""
    return plane_of_affine(volume.affine)


def plane_of_affine(affine: Float64[np.ndarray, "4 4"] | None) -> str:
    """Return the plane nearest to that of columns and rows, from an affine of `Volume`."""
    if not _tells(affine):
        return "unknown"
    assert affine is not None
    normal = np.cross(_unit(affine[:3, 0]), _unit(affine[:3, 1]))
    return _PLANES[int(np.argmax(np.abs(normal)))]


def hung(volume: Volume) -> Volume:
    """Turn a volume as slices of its plane are hung; no value is changed.

    Args:
        volume: in any orientation, oblique too: the nearest plane counts.

    Returns:
        The volume, with slices from foot to head (axial), back to front (coronal) or right to left
        (sagittal), and the affine that belongs to it. Where nothing says how it lies, the same
        volume, flagged.
    """
    plane = plane_of(volume)
    if plane == "unknown":
        if UNKNOWN_ORIENTATION in volume.flags:
            return volume
        return replace(volume, flags=(*volume.flags, UNKNOWN_ORIENTATION))
    assert volume.affine is not None
    affine, steps = volume.affine, []
    samples, padding = volume.samples, volume.padding
    columns, rows, slices = HUNG[plane]
    ways = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    kept = abs(ways[columns[0], 0] * ways[rows[0], 1])
    if abs(ways[rows[0], 0] * ways[columns[0], 1]) > kept:
        samples = samples.transpose(0, 2, 1)
        padding = None if padding is None else padding.transpose(0, 2, 1)
        affine = affine[:, [1, 0, 2, 3]]
        steps.append("rows and columns exchanged")
    for place, (axis, way) in enumerate((columns, rows, slices)):
        if affine[axis, place] * way < 0:
            along = 2 - place
            samples = np.flip(samples, along)
            padding = None if padding is None else np.flip(padding, along)
            affine = _mirrored(affine, place, samples.shape[along])
            steps.append(f"{('columns', 'rows', 'slices')[place]} reversed")
    return replace(
        volume,
        samples=np.ascontiguousarray(samples),
        affine=affine,
        padding=None if padding is None else np.ascontiguousarray(padding),
        provenance=(*volume.provenance, f"hung as {plane}: {', '.join(steps) or 'as it is'}"),
    )


def _tells(affine: Float64[np.ndarray, "4 4"] | None) -> bool:
    """Tell whether an affine is there and spans a volume."""
    if affine is None or not np.isfinite(affine).all():
        return False
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    return bool(lengths.min() > 0 and abs(np.linalg.det(affine[:3, :3] / lengths)) > 1e-6)


def _unit(vector: Float64[np.ndarray, "3"]) -> Float64[np.ndarray, "3"]:
    return np.asarray(vector / np.linalg.norm(vector))


def _mirrored(
    affine: Float64[np.ndarray, "4 4"], place: int, count: int
) -> Float64[np.ndarray, "4 4"]:
    """Return the affine of a volume whose axis of `count` voxels was reversed."""
    turned = affine.copy()
    turned[:, 3] += (count - 1) * affine[:, place]
    turned[:, place] *= -1
    return turned

"""Volumes whose rows and columns lie unlike far apart are given square pixels."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from brainssl.data.volumes.volume import Volume
from brainssl.foundation.errors import BrainsslError

NOT_SQUARE = "pixels not square"
"""Flag of a volume whose whole slices look stretched: version 2 of the reader leaves it so, later
ones do where nothing says where its slices lie."""

SQUARED = "pixels made square"
"""Flag of a volume that was resampled for that, as version 3 of the reader does."""

UNLIKE = 1.05
"""Larger spacing to the smaller one, up to which pixels count as square."""

_MEASURED = 0.5  # weight of measured pixels from which a value counts as measured


def is_square(spacing: tuple[float, float] | None) -> bool:
    """Tell whether pixels are square, or nothing says how far apart they are.

    Args:
        spacing: mm between rows and columns.
    """
    if spacing is None:
        return True
    rows, columns = spacing
    return not max(rows, columns) > UNLIKE * min(rows, columns)


def squared(volume: Volume, *, max_voxels: int) -> Volume:
    """Return slices whose pixels are square: the coarser direction gets the spacing of the finer.

    Linear between pixels of a slice, centred on the old grid, at its ends the last value. No value
    is invented across slices, and none is made coarser.

    Args:
        volume: with an affine.
        max_voxels: a volume that would have more is refused.

    Returns:
        The volume, flagged. Where less than half of what a value is made of was measured there is
        padding, and the value is the volume's smallest.

    Raises:
        BrainsslError: it would be too large, or two of its rows or columns lie at one place.
    """
    assert volume.affine is not None
    assert volume.spacing is not None
    along = 1 if volume.spacing[1] > volume.spacing[2] else 2
    coarse, fine = volume.spacing[along], volume.spacing[3 - along]
    count = volume.samples.shape[along]
    ratio = coarse / fine if fine > 0 else np.inf
    if not volume.samples.size * ratio <= max_voxels:
        raise BrainsslError(
            f"has too many pixels once they are square ({coarse:.4g} mm one way, {fine:.4g} mm the "
            "other): its header may be wrong"
        )
    wanted = max(1, round(count * ratio))
    at = (np.arange(wanted) - (wanted - 1) / 2) / ratio + (count - 1) / 2
    affine = volume.affine.copy()
    affine[:, 3] += at[0] * affine[:, 2 - along]
    affine[:, 2 - along] /= ratio
    found = _interpolated(volume, at.clip(0, count - 1), along)
    told = f"{('rows', 'columns')[along - 1]} resampled from {coarse:.4g} to {fine:.4g} mm, linear"
    return replace(
        found,
        affine=affine,
        provenance=(*volume.provenance, told),
        flags=(*volume.flags, SQUARED),
    )


def _interpolated(volume: Volume, at: Float64[np.ndarray, " n"], along: int) -> Volume:
    """Return values at places along an axis; what was not measured has no weight."""
    lower = np.floor(at).astype(np.intp)
    upper = np.minimum(lower + 1, volume.samples.shape[along] - 1)
    shape = [1, 1, 1]
    shape[along] = len(at)
    share = (at - lower).astype(np.float32).reshape(shape)
    low, high = volume.samples.take(lower, along), volume.samples.take(upper, along)
    if volume.padding is None:
        return replace(volume, samples=low + share * (high - low))
    one = np.float32(1)
    low_weight = (one - share) * ~volume.padding.take(lower, along)
    high_weight = share * ~volume.padding.take(upper, along)
    weight = low_weight + high_weight
    measured = weight >= _MEASURED
    total = low_weight * low + high_weight * high
    least = np.full_like(total, volume.samples.min())
    values = np.divide(total, weight, out=least, where=measured)
    return replace(volume, samples=values, padding=None if measured.all() else ~measured)

"""Which slices of a volume show the head or brain, by a rule that can be said in two sentences.

What is as bright as the lower of two thresholds that part the volume's levels into three (air,
tissue, bright tissue; Otsu 1979, for three classes), and hangs together with the largest such
part of the volume, is head. A slice's share is the area of it, divided by that of the slice with
most.
"""

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from brainssl.data.field_of_view import HeadBox

LEAST = 0.1
"""Share below which a slice shows no brain, or next to none, and is dropped."""

_SIDE = 128  # pixels to which rows and columns are thinned out for this
_BINS = 64


def brain_shares(
    levels: Float32[np.ndarray, "slices rows columns"],
    padding: Bool[np.ndarray, "slices rows columns"] | None = None,
) -> Float64[np.ndarray, " slices"]:
    """Return the share of brain of each slice, from 0 to 1 in the slice with most.

    Args:
        levels: a windowed volume, in [0, 1]; a thinned-out one will do.
        padding: what does not count; its level must be 0.

    Returns:
        The shares; all 0 of a volume that shows nothing.
    """
    return shares_of(head_in(levels, padding))


def head_in(
    levels: Float32[np.ndarray, "slices rows columns"],
    padding: Bool[np.ndarray, "slices rows columns"] | None = None,
) -> Bool[np.ndarray, "slices rows columns"]:
    """Return where the head is, nowhere in a volume that shows nothing; see `brain_shares`."""
    from scipy import ndimage  # who classifies pictures alone need not wait for it

    measured = levels if padding is None else levels[~padding]
    counts, edges = np.histogram(measured, _BINS, (0, 1))
    parts, _ = ndimage.label(levels >= edges[lower_threshold(counts)])
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((parts > 0) & (parts == sizes.argmax()))


def shares_of(head: Bool[np.ndarray, "slices rows columns"]) -> Float64[np.ndarray, " slices"]:
    """Return the shares of slices, of the head that was found."""
    areas = head.sum((1, 2))
    return np.asarray(areas / max(1, areas.max()), np.float64)


def box_of(head: Bool[np.ndarray, "slices rows columns"], step: int) -> HeadBox:
    """Return the box that holds the head in the slices that show it, in pixels.

    Args:
        head: of every `step`th row and column.
        step: of `thinning`.

    Returns:
        That of the slices themselves where there is no head.
    """
    shown = head[shares_of(head) >= LEAST] if head.any() else np.ones_like(head)
    top, bottom = np.flatnonzero(shown.any((0, 2)))[[0, -1]] * step
    left, right = np.flatnonzero(shown.any((0, 1)))[[0, -1]] * step
    return HeadBox(float(top), float(left), float(bottom + 1), float(right + 1))


def thinning(rows: int, columns: int) -> int:
    """Return the step by which rows and columns may be thinned out for `brain_shares`."""
    return max(1, -(-max(rows, columns) // _SIDE))


def lower_threshold(counts: Int64[np.ndarray, " bins"]) -> int:
    """Return where the second of three classes begins, as the bin.

    The classes are those with the largest variance between them (Otsu 1979, section V): with
    weights w and means m, the largest Σ w·m².
    """
    weight = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    moment = np.concatenate([[0.0], np.cumsum(counts * np.arange(len(counts)), dtype=np.float64)])
    begin, end = np.arange(len(weight))[:, None], np.arange(len(weight))[None]
    mass, sums = weight[end] - weight[begin], moment[end] - moment[begin]
    spread = np.divide(sums**2, mass, out=np.zeros_like(mass), where=(mass > 0) & (end > begin))
    last = len(counts)
    # Of classes that begin at 0, `first` and `second`, and end with the last bin.
    total = spread[0, :, None] + spread + spread[None, :, last]
    total[np.tril_indices(len(weight))] = -1
    total[0, :], total[:, last] = -1, -1
    return int(np.unravel_index(total.argmax(), total.shape)[0])

"""Quantiles that hold for a new patient's images: groups count alike, however many images each."""

import math

import numpy as np
from jaxtyping import Float64, Int64

_ROUNDED = 1e-9  # sums of weights are compared to within this


def group_quantile(
    scores: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"], share: float
) -> float | None:
    """Return the score that an image of a new group exceeds with a probability of 1 − `share`.

    Hierarchical conformal prediction (Lee, Barber and Willett 2023, "Distribution-free inference
    with hierarchical data"): each of the G groups weighs 1 / (G + 1), shared equally by its images,
    and the rest lies at infinity; the quantile is the least score up to which the weights reach
    `share`. If the groups and a new one are exchangeable, a random image of the new one is at most
    that score with a probability of at least `share`. With one image a group it is the
    ⌈(n + 1) share⌉-th smallest, as in split conformal prediction.

    Args:
        scores: one an image; a high one is unusual.
        groups: the group of each image.
        share: between 0 and 1.

    Returns:
        None where there are too few groups: `groups_needed` says how many it takes.
    """
    if not len(scores):
        return None
    _, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(scores, kind="stable")
    reached = np.cumsum(1.0 / sizes[of[order]]) / (len(sizes) + 1)
    enough = np.flatnonzero(reached >= share - _ROUNDED)
    return float(scores[order[enough[0]]]) if enough.size else None


def groups_needed(share: float) -> int:
    """Return how many groups a `group_quantile` takes: 9 for 90 %, 19 for 95 %."""
    return math.ceil(round(share / (1 - share), 9))

"""Which groups a draw of the bootstrap holds: class by class, the same for every model."""

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from jaxtyping import Float, Float64, Int64

Weights = Float64[np.ndarray, "rows groups"]

_KEPT = 2**21  # weights of draws that are kept: 16 MiB each
_ROWS = 256  # draws of group totals at a time
# Weights are multiples of this: sums over up to two million images are exact in float64, so that
# equal scores are equal to the last digit and what weighs nothing is 0.
_GRAIN = 2.0**-32


def strata_of(
    labels: Int64[np.ndarray, " n"], group_of: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " groups"]:
    """Return among which others each group is drawn: those of its class.

    The class of a group that holds several is the one that fewest groups hold (the first of
    equals), as that one is lost most easily. Classes that are left with a single group are drawn
    together, lest they never change: they stand for each other ("collapsed strata", Cochran 1977,
    section 5A.12). A class alone in that is drawn with the smallest of the others.

    Args:
        labels: the class of each image.
        group_of: its group, counted from 0 without gaps.

    Returns:
        A number for each group; but for a single group in all, no number stands there once.
    """
    holds = np.zeros((group_of.max() + 1, labels.max() + 1), bool)
    holds[group_of, labels] = True
    groups_with = np.where(holds, holds.sum(axis=0), len(holds) + 1)
    found = groups_with.argmin(axis=1)
    names, size = np.unique(found, return_counts=True)
    if alone := int((size == 1).sum()):
        joined = names[np.argsort(size, kind="stable")[: max(2, alone)]]
        found[np.isin(found, joined)] = joined[0]
    return np.unique(found, return_inverse=True)[1]


def group_weights(
    strata: Int64[np.ndarray, " groups"], draws: int, seed: int, rows: int
) -> Iterator[tuple[int, Weights]]:
    """Yield the weight of each group, `rows` draws at a time, with the number of the first.

    Of the n groups of a stratum n − 1 are drawn with replacement, and each counts n / (n − 1) times
    (Rao, Wu and Yue 1992): the mean of n out of n scatters by (n − 1) / n of the variance that it
    should have, which is half of it for two. Every stratum weighs the same in each draw. Where
    there is but one, nothing need be weighed against it, and each counts once.

    They depend on strata and seed alone, and are the same however many come at a time. Those of
    few groups are kept: every model and measure of a study asks for the same ones.

    Args:
        strata: among which others each of at least two groups is drawn, see `strata_of`; all
            equal where groups have no class.
        draws: how many.
        seed: of the draws.
        rows: draws at a time.
    """
    if len(strata) * draws <= _KEPT:
        kept = _kept(np.asarray(strata, np.int64).tobytes(), draws, seed)
        for start in range(0, draws, rows):
            yield start, kept[start : start + rows]
        return
    generator = np.random.default_rng(seed)
    for start in range(0, draws, rows):
        yield start, _drawn(generator, strata, min(rows, draws - start))


@lru_cache(maxsize=8)
def _kept(strata: bytes, draws: int, seed: int) -> Weights:
    found = _drawn(np.random.default_rng(seed), np.frombuffer(strata, np.int64), draws)
    found.flags.writeable = False
    return found


def _drawn(
    generator: np.random.Generator, strata: Int64[np.ndarray, " groups"], rows: int
) -> Weights:
    order = np.argsort(strata, kind="stable")
    _, first, size = np.unique(strata[order], return_index=True, return_counts=True)
    stratum = np.repeat(np.arange(len(size)), size - 1)
    places = first[stratum] + generator.integers(size[stratum], size=(rows, len(stratum)))
    cells = order[places] + len(strata) * np.arange(rows)[:, None]
    counts = np.bincount(cells.ravel(), minlength=rows * len(strata)).reshape(rows, -1)
    if len(size) == 1:
        return counts.astype(np.float64)
    factor = np.empty(len(strata))
    factor[order] = np.repeat(np.rint(size / (size - 1) / _GRAIN) * _GRAIN, size)
    return counts * factor


def drawn_means(
    values: Float[np.ndarray, "n columns"],
    groups: Int64[np.ndarray, " n"],
    draws: int,
    seed: int,
    labels: Int64[np.ndarray, " n"] | None = None,
) -> Float64[np.ndarray, "draws columns"]:
    """Return each column's mean under each draw of groups; NaN with fewer than two groups.

    Args:
        values: of the images.
        groups: of the images.
        draws: how many.
        seed: of the draws.
        labels: the classes that groups are drawn by; without them any group may take the place
            of any other.
    """
    names, of = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return np.full((draws, values.shape[1]), np.nan)
    totals = np.stack([np.bincount(of, weights=column) for column in values.T], axis=1)
    sizes = np.bincount(of)
    among = np.zeros(len(names), np.int64) if labels is None else strata_of(labels, of)
    return np.concatenate(
        [
            (drawn @ totals) / (drawn @ sizes)[:, None]
            for _, drawn in group_weights(among, draws, seed, _ROWS)
        ]
    )

"""How far the metrics would move had other patients come: the cluster bootstrap."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from brainssl.evaluation.metrics import CLASS_METRICS, METRICS, Scorer
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

Interval = tuple[float, float]

# Weights of images × draws held at once: 16 MiB of float64, and a few times that in work arrays.
_CHUNK = 2**21
_KEPT = 2**21  # numbers of draws that are kept: 16 MiB each
_ROWS = 256  # draws of group totals at a time


@dataclass(frozen=True, eq=False)
class Resamples:
    """The metrics of one model under every draw of a bootstrap.

    The draws depend on the seed and on the set of groups alone. Two models whose predictions
    cover the same groups therefore have the same patients in the same draw, and the row-wise
    difference of their `overall` is their paired bootstrap.

    Attributes:
        overall: The metrics of `METRICS`, a row a draw. NaN throughout with fewer than two groups.
        by_class: `CLASS_METRICS` of each class; NaN in the draws from which the class is absent,
            and throughout for a class whose images come from fewer than two groups.
        classes: The names of the classes.
    """

    overall: Float64[np.ndarray, "draws metrics"]
    by_class: Float64[np.ndarray, "draws classes scores"]
    classes: tuple[str, ...]

    def intervals(self, level: float = 0.95) -> dict[str, Interval]:
        """Return the percentile interval of each of `METRICS`; (NaN, NaN) where there is none.

        Raises:
            BrainsslError: The level is not between 0 and 1.
        """
        return dict(zip(METRICS, percentile_intervals(self.overall, level), strict=True))

    def class_intervals(self, level: float = 0.95) -> dict[str, dict[str, Interval]]:
        """Return the percentile intervals of `CLASS_METRICS` for each class, by its name.

        They speak of the draws in which the class occurs. (NaN, NaN) where there is none.

        Raises:
            BrainsslError: The level is not between 0 and 1.
        """
        return {
            name: dict(
                zip(CLASS_METRICS, percentile_intervals(self.by_class[:, c], level), strict=True)
            )
            for c, name in enumerate(self.classes)
        }


def bootstrap(
    predictions: Predictions, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """Return the percentile cluster-bootstrap interval of each of `METRICS`.

    Groups are drawn with replacement, as many as there are, and every image comes with its group:
    slices of one patient are near-copies, and drawing them one by one would pretend to many more
    patients than there were (Davison and Hinkley 1997, section 3.8; Field and Welsh 2007). The
    interval runs between the (1 ± level) / 2 quantiles of the metric over the draws.

    What it cannot do: with few groups (below about 30) it is somewhat too narrow, and where the
    sample has no error at all it is a single point. The ECE is biased upward in the sample and
    again in each resample, where repeated images look like miscalibration: its interval lies too
    high, may leave out the sample's own value, and of a calibrated model never reaches down to 0.

    With fewer than two groups every interval is (NaN, NaN), which JSON has to spell `null`.

    Args:
        predictions: The images to score, usually one split: `predictions.of("test")`.
        draws: How many resamples; at least 2,000 for a 95 % interval that is to be printed.
        level: Probability with which the interval is meant to cover, between 0 and 1.
        seed: Of the draws. The same seed on the same groups draws the same groups.

    Raises:
        BrainsslError: There are no images, or `draws` or `level` make no sense.
    """
    return resample(predictions, draws=draws, seed=seed).intervals(level)


def bootstrap_per_class(
    predictions: Predictions, *, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> dict[str, dict[str, Interval]]:
    """Return the interval of each of `CLASS_METRICS` for each class, by the rules of `bootstrap`.

    A draw from which a class is absent says nothing of it. A class whose images come from fewer
    than two groups has (NaN, NaN): its recall would be the same in every draw. To have these and
    the intervals over all classes at the price of one, call `resample`.
    """
    return resample(predictions, draws=draws, seed=seed).class_intervals(level)


def resample(predictions: Predictions, *, draws: int = 2000, seed: int = 0) -> Resamples:
    """Score a model under every draw of a cluster bootstrap.

    Raises:
        BrainsslError: There are no images, or fewer than one draw is asked for.
    """
    if draws < 1:
        raise BrainsslError(f"{draws} draws make no bootstrap: ask for 2000")
    scorer = Scorer.of(predictions.labels, predictions.probabilities())
    groups, group_of = np.unique(predictions.groups, return_inverse=True)
    k = len(predictions.classes)
    overall = np.full((draws, len(METRICS)), np.nan)
    by_class = np.full((draws, k, len(CLASS_METRICS)), np.nan)
    if len(groups) < 2:
        return Resamples(overall, by_class, predictions.classes)

    rows = max(1, _CHUNK // len(predictions))
    for start, counts in multiplicities(len(groups), draws, seed, rows):
        part = slice(start, start + len(counts))
        weights = counts.T.astype(np.float64)[group_of]
        overall[part], by_class[part] = scorer.score(weights)
    by_class[:, ~_in_two_groups(predictions.labels, group_of, k)] = np.nan
    return Resamples(overall, by_class, predictions.classes)


def multiplicities(
    n_groups: int, draws: int, seed: int, rows: int
) -> Iterator[tuple[int, Int64[np.ndarray, "rows groups"]]]:
    """Yield how often each group is drawn, `rows` draws at a time, with the first one's number.

    The draws are the same however many come at a time. Those of few groups are kept: every model
    and measure of a study asks for the same ones.
    """
    if n_groups * draws <= _KEPT:
        counts = _kept(n_groups, draws, seed)
        for start in range(0, draws, rows):
            yield start, counts[start : start + rows]
        return
    rng = np.random.default_rng(seed)
    for start in range(0, draws, rows):
        yield start, _drawn(rng, n_groups, min(rows, draws - start))


@lru_cache(maxsize=8)
def _kept(n_groups: int, draws: int, seed: int) -> Int64[np.ndarray, "draws groups"]:
    counts = _drawn(np.random.default_rng(seed), n_groups, draws)
    counts.flags.writeable = False
    return counts


def _drawn(rng: np.random.Generator, n_groups: int, rows: int) -> Int64[np.ndarray, "rows groups"]:
    """Count how often each group comes in each of several draws with replacement."""
    drawn = rng.integers(n_groups, size=(rows, n_groups))
    places = drawn + n_groups * np.arange(rows)[:, None]
    return np.bincount(places.ravel(), minlength=rows * n_groups).reshape(rows, n_groups)


def drawn_means(
    values: Float[np.ndarray, "n columns"], groups: Int64[np.ndarray, " n"], draws: int, seed: int
) -> Float64[np.ndarray, "draws columns"]:
    """Return each column's mean under each draw of groups; NaN with fewer than two groups."""
    names, of = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return np.full((draws, values.shape[1]), np.nan)
    totals = np.stack([np.bincount(of, weights=column) for column in values.T], axis=1)
    sizes = np.bincount(of)

    def means() -> Iterator[Float64[np.ndarray, "rows columns"]]:
        for _, counts in multiplicities(len(names), draws, seed, _ROWS):
            yield (counts @ totals) / (counts @ sizes)[:, None]

    return np.concatenate(list(means()))


def percentile_intervals(
    values: Float64[np.ndarray, "draws columns"], level: float
) -> list[Interval]:
    """Return each column's (1 ± level) / 2 quantiles over its draws that are not NaN.

    Raises:
        BrainsslError: The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise BrainsslError(f"level {level} is no probability: write 0.95 for 95 %")
    tails = ((1 - level) / 2, (1 + level) / 2)
    intervals = []
    for column in values.T:
        known = column[~np.isnan(column)]
        low, high = np.quantile(known, tails) if known.size else (np.nan, np.nan)
        intervals.append((float(low), float(high)))
    return intervals


def _in_two_groups(
    labels: Int64[np.ndarray, " n"], group_of: Int64[np.ndarray, " n"], k: int
) -> Bool[np.ndarray, " classes"]:
    """Say of each class whether its images come from at least two groups."""
    pairs = np.unique(np.stack([labels, group_of]), axis=1)
    return np.bincount(pairs[0], minlength=k) >= 2

"""How far the metrics would move had other patients come: the cluster bootstrap."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from brainssl.evaluation.draws import group_weights, strata_of
from brainssl.evaluation.metrics import CLASS_METRICS, METRICS, Scorer
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

Interval = tuple[float, float]

# Weights of images × draws held at once: 16 MiB of float64, and a few times that in work arrays.
_CHUNK = 2**21
_RECALL = CLASS_METRICS.index("recall")


@dataclass(frozen=True, eq=False)
class Resamples:
    """The metrics of one model under every draw of a bootstrap.

    The draws depend on the seed, the groups and their true classes alone. Two models of the same
    images therefore have the same patients in the same draw, and the row-wise difference of their
    `overall` is their paired bootstrap.

    Attributes:
        overall: The metrics of `METRICS`, a row a draw. NaN throughout with fewer than two groups.
        by_class: `CLASS_METRICS` of each class; NaN in the draws from which the class is absent,
            and throughout for a class whose images come from fewer than two groups.
        classes_held: How many classes each draw holds: over so many go its macro averages. 0
            throughout with fewer than two groups.
        classes: The names of the classes.
    """

    overall: Float64[np.ndarray, "draws metrics"]
    by_class: Float64[np.ndarray, "draws classes scores"]
    classes_held: Int64[np.ndarray, " draws"]
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

    Groups are drawn with replacement and every image comes with its group: slices of one patient
    are near-copies, and drawing them one by one would pretend to many more patients than there
    were (Davison and Hinkley 1997, section 3.8; Field and Welsh 2007). They are drawn class by
    class, see `brainssl.evaluation.draws`, as splits are made: else most draws of a small test set
    would lack some class, and no two macro averages would go over the same ones. The interval runs
    between the (1 ± level) / 2 quantiles of the metric over the draws.

    What it cannot do: with few groups (below about 30) it is somewhat too narrow, and where the
    sample has no error at all it is a single point. It does not hold that other patients may come
    with other frequencies of the classes. Classes of a single group are drawn together, and some
    are missing from each draw. Macro F1 is biased downward where classes have few groups and again
    in each draw. The ECE is biased upward in the sample and again in each resample, where repeated
    images look like miscalibration: its interval lies too high, may leave out the sample's own
    value, and of a calibrated model never reaches down to 0.

    With fewer than two groups every interval is (NaN, NaN), which JSON has to spell `null`.

    Args:
        predictions: The images to score, usually one split: `predictions.of("test")`.
        draws: How many resamples; at least 2,000 for a 95 % interval that is to be printed.
        level: Probability with which the interval is meant to cover, between 0 and 1.
        seed: Of the draws. The same seed on the same labelled groups draws the same groups.

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
    labels = predictions.labels
    scorer = Scorer.of(labels, predictions.probabilities())
    groups, group_of = np.unique(predictions.groups, return_inverse=True)
    k = len(predictions.classes)
    overall = np.full((draws, len(METRICS)), np.nan)
    by_class = np.full((draws, k, len(CLASS_METRICS)), np.nan)
    held = np.zeros(draws, np.int64)
    if len(groups) < 2:
        return Resamples(overall, by_class, held, predictions.classes)

    rows = max(1, _CHUNK // len(predictions))
    for start, drawn in group_weights(strata_of(labels, group_of), draws, seed, rows):
        part = slice(start, start + len(drawn))
        overall[part], by_class[part] = scorer.score(drawn.T[group_of])
        held[part] = (~np.isnan(by_class[part, :, _RECALL])).sum(axis=1)
    by_class[:, ~_in_two_groups(labels, group_of, k)] = np.nan
    return Resamples(overall, by_class, held, predictions.classes)


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

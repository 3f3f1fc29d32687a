"""Which of two models is better: compared in pairs, on the same test images."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from brainssl.evaluation.confusion import SCORES, by_group, of_confusion
from brainssl.evaluation.draws import Weights, group_weights, strata_of
from brainssl.evaluation.intervals import Interval, percentile_intervals
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

# So many draws a pair at least: the smallest p value, 2 / (draws + 1), must be able to survive the
# correction. It becomes 0.01.
_DRAWS_OF_A_PAIR = 200
_ROWS = 1024  # draws at a time

Draws = Float64[np.ndarray, " draws"]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same test images.

    Attributes:
        first: name of a model.
        second: name of the other.
        metric: what is compared.
        difference: first − second, each in the mean over its training seeds.
        interval: of the difference; NaN with fewer than two groups.
        p_value: two-sided; NaN with fewer than two groups.
        p_holm: corrected for all pairs that were compared by this metric.
    """

    first: str
    second: str
    metric: str
    difference: float
    interval: Interval
    p_value: float
    p_holm: float

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON, what is NaN as None."""
        told = asdict(self)
        known = not math.isnan(self.p_value)
        limits = list(self.interval) if known else None
        p_values = {name: told[name] if known else None for name in ("p_value", "p_holm")}
        return told | p_values | {"interval": limits}


def compare_all(
    models: Mapping[str, Sequence[Predictions]],
    *,
    metrics: Sequence[str] = ("accuracy", "f1_macro"),
    draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> list[Comparison]:
    """Compare every pair of models by the paired cluster bootstrap.

    Groups are drawn with replacement, class by class and the same ones for all models, and what
    scatters is the difference of two models: whatever makes a draw easy is easy for both (Davison
    and Hinkley 1997, section 3.8; `brainssl.evaluation.draws`). The p value is twice the smaller
    share of draws on one side of 0, and Holm's correction (1979) keeps the chance of any false
    finding among all pairs of a metric below it.

    Not held by interval and p value: what further training seeds or another split would change.

    Args:
        models: for each model its predictions on one split, one a training seed.
        metrics: `accuracy`, `balanced_accuracy` or `f1_macro`, as `evaluate` defines them.
        draws: of the bootstrap, at least; with many pairs there are more, lest no p value could
            survive the correction.
        seed: of the draws.
        level: of the intervals.

    Raises:
        BrainsslError: the models do not cover the same images with the same labels and groups, or
            a metric is not one of the three.
    """
    _check_same_images(models)
    pairs = list(combinations(models, 2))
    if not pairs:
        return []
    measured = _scores(models, enough_draws(draws, len(pairs)), seed)
    found = []
    for metric in metrics:
        if metric not in SCORES:
            raise BrainsslError(f"models are compared by {', '.join(SCORES)}, not by {metric}")
        place = SCORES.index(metric)
        differences = [measured[a][:, place] - measured[b][:, place] for a, b in pairs]
        p_values = [
            two_sided(difference[1:], _differing_groups(models[a], models[b]))
            for difference, (a, b) in zip(differences, pairs, strict=True)
        ]
        for (a, b), difference, p, corrected in zip(
            pairs, differences, p_values, holm(p_values), strict=True
        ):
            (limits,) = percentile_intervals(difference[1:, None], level)
            found.append(Comparison(a, b, metric, float(difference[0]), limits, p, corrected))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """Return Holm's step-down correction of p values, in their order; NaN is not counted.

    The i-th smallest of m is multiplied by m − i + 1, and none is below a smaller one's.
    """
    order = sorted(
        (i for i, p in enumerate(p_values) if not math.isnan(p)), key=p_values.__getitem__
    )
    corrected, highest = [math.nan] * len(p_values), 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p_values[i]))
        corrected[i] = highest
    return corrected


def enough_draws(draws: int, pairs: int) -> int:
    """Return so many draws that a p value can survive the correction for so many pairs."""
    return max(draws, _DRAWS_OF_A_PAIR * pairs)


def _scores(
    models: Mapping[str, Sequence[Predictions]], draws: int, seed: int
) -> dict[str, Float64[np.ndarray, "1+draws metrics"]]:
    """Return `SCORES` of each model, the mean over its seeds: of the sample, then of each draw.

    All three are functions of the confusion matrix, and that of a draw is a sum over groups. With
    fewer than two groups there are no draws.
    """
    first = next(iter(models.values()))[0]
    _, of = np.unique(first.groups, return_inverse=True)
    k = len(first.classes)
    tables = {
        name: [by_group(one.labels, one.predicted, of, k) for one in own]
        for name, own in models.items()
    }
    scores: dict[str, list[Float64[np.ndarray, "draws metrics"]]] = {name: [] for name in models}
    for drawn in _sample_and_draws(first.labels, of, draws, seed):
        for name, own in tables.items():
            each = [of_confusion((drawn @ table).reshape(-1, k, k)) for table in own]
            scores[name].append(np.mean(each, axis=0))
    return {name: np.concatenate(own) for name, own in scores.items()}


def _sample_and_draws(
    labels: Int64[np.ndarray, " n"], group_of: Int64[np.ndarray, " n"], draws: int, seed: int
) -> Iterator[Weights]:
    count = group_of.max() + 1
    yield np.ones((1, count))
    if count > 1:
        for _, drawn in group_weights(strata_of(labels, group_of), draws, seed, _ROWS):
            yield drawn


def two_sided(draws: Draws, differing: int) -> float:
    """Return twice the smaller share of draws on one side of 0; NaN without draws.

    Few groups can agree by chance, and a bootstrap of them does not know it: the p value is at
    least that of a sign test in which all groups that differ agree, 2 / 2^n.

    Args:
        draws: of the difference.
        differing: number of groups in which the two differ at all.
    """
    if len(draws) == 0:
        return math.nan
    below, above = (draws <= 0).sum(), (draws >= 0).sum()
    share = 2 * (1 + min(below, above)) / (1 + len(draws))
    return float(min(1.0, max(share, 2.0 ** (1 - differing))))


def _differing_groups(one: Sequence[Predictions], other: Sequence[Predictions]) -> int:
    """Return in how many groups the two name any image differently, in any pair of seeds."""
    differ = np.any([(a.predicted != b.predicted) for a in one for b in other], axis=0)
    return len(np.unique(one[0].groups[differ]))


def _check_same_images(models: Mapping[str, Sequence[Predictions]]) -> None:
    keys = ["image_id", "group", "label"]
    first: Predictions | None = None
    for name, own in models.items():
        for model in own:
            first = first or model
            if not model.frame[keys].equals(first.frame[keys]) or model.classes != first.classes:
                raise BrainsslError(
                    f"{name} was measured on other images than {next(iter(models))}: models are "
                    "compared on the same test set"
                )

"""Whose maps are better: models compared in pairs, on the same slices."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from brainssl.evaluation.comparison import Comparison, enough_draws, holm, two_sided
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.explanation.scorecard import LOCALISATION, RANDOM, resampled_means

COMPARED_MAP = "gradcam"  # of the class that is named, as Eigen-CAM is not


def compare_maps(
    models: Mapping[str, pd.DataFrame],
    pairs: Sequence[tuple[str, str]],
    measure: str,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[Comparison]:
    """Compare Grad-CAM of models by a measure: paired cluster bootstrap, Holm over the pairs.

    Where a map lies is compared as it is. What pixels do to a probability depends on how sure a
    model is of anything; there each model's Grad-CAM counts by what it has over the random map.

    Args:
        models: of each the measures of its maps, a row a slice and map, see
            `brainssl.explanation.scorecard.scorecard`.
        pairs: names of the models to compare.
        measure: one of `brainssl.explanation.scorecard.MEASURES`; a pair is compared on the slices
            that have it for both.
        draws: of the bootstrap, at least.
        seed: of the draws.

    Returns:
        One comparison a pair, first minus second; pairs without a common slice are left out.
    """
    values = {name: _measured(frame, measure) for name, frame in models.items()}
    differences = {
        pair: difference
        for pair in pairs
        if len(difference := (values[pair[0]] - values[pair[1]]).dropna())
    }
    enough = enough_draws(draws, len(differences))
    drawn = [resampled_means(difference, enough, seed) for difference in differences.values()]
    differing = [
        int((difference.groupby(level="group").mean() != 0).sum())
        for difference in differences.values()
    ]
    p_values = [two_sided(means, number) for means, number in zip(drawn, differing, strict=True)]
    found = []
    for (pair, difference), means, p, corrected in zip(
        differences.items(), drawn, p_values, holm(p_values), strict=True
    ):
        limits = percentile_intervals(means[:, None], 0.95)[0] if len(means) else (math.nan,) * 2
        mean = float(np.mean(difference))
        found.append(Comparison(*pair, measure, mean, limits, p, corrected))
    return found


def _measured(frame: pd.DataFrame, measure: str) -> pd.Series:
    """Return the measure of Grad-CAM by group and slice; nothing where it was not measured."""
    by_map = {
        kind: own.set_index(["group", "image_id"])
        for kind, own in frame.groupby("map")
        if kind in (COMPARED_MAP, RANDOM)
    }
    values = by_map[COMPARED_MAP]
    if measure not in values:
        return pd.Series(np.nan, values.index)
    return values[measure] - (0 if measure in LOCALISATION else by_map[RANDOM][measure])

"""What measured maps say in sum: means with intervals, and against maps that know nothing."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from brainssl.evaluation.draws import group_weights
from brainssl.evaluation.intervals import Interval, percentile_intervals

RANDOM, CENTRE = "random", "centre"
LOCALISATION = ("pointing", "energy_inside", "iou_best", "iou_half")
FAITHFULNESS = ("insertion_blurred", "deletion_blurred", "insertion_mean", "deletion_mean")
MEASURES = (*LOCALISATION, *FAITHFULNESS, "sensitivity", "randomised")
LOWER_IS_BETTER = frozenset({"deletion_blurred", "deletion_mean", "sensitivity", "randomised"})

_ROWS = 512  # draws at a time


@dataclass(frozen=True)
class Score:
    """One measure of one kind of map over the images that have it.

    Attributes:
        map: `gradcam` ..., or `random` or `centre`.
        measure: one of `MEASURES`.
        n: images with a value.
        groups: that they come from.
        mean: over these images.
        interval: of the mean, 95 %, cluster bootstrap; None with fewer than two groups.
        over: by the name of each map that knows nothing, the mean difference on the same images
            and its interval; a positive one is better, whichever way the measure runs.
    """

    map: str
    measure: str
    n: int
    groups: int
    mean: float
    interval: Interval | None
    over: dict[str, dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return asdict(self)


def scorecard(frame: pd.DataFrame, *, draws: int = 2000, seed: int = 0) -> list[Score]:
    """Return each measure of each kind of map, with its 95 % interval.

    Groups are drawn with replacement and every image comes with its group, as for all metrics; a
    difference of two kinds of map is taken on the same images and draws.

    Args:
        frame: one row an image and map: `image_id`, `group`, `map`, and a column a measure, not a
            number where it does not apply.
        draws: of the bootstrap.
        seed: of the draws.
    """
    kinds = list(dict.fromkeys(frame["map"]))
    blind = [kind for kind in (RANDOM, CENTRE) if kind in set(frame["map"])]
    found = []
    for measure in (name for name in MEASURES if name in frame):
        table = frame.set_index(["group", "image_id", "map"])[measure].unstack("map")  # noqa: PD010
        for kind in (k for k in kinds if k in table and table[k].notna().any()):
            own = table[kind].dropna()
            mean, interval = mean_of(own, draws, seed)
            over = {}
            for other in (b for b in blind if b != kind and table[b].notna().any()):
                sign = -1 if measure in LOWER_IS_BETTER else 1
                gain, limits = mean_of(sign * (table[kind] - table[other]).dropna(), draws, seed)
                over[other] = {"difference": gain, "interval": limits}
            groups = own.index.get_level_values("group").nunique()
            found.append(Score(str(kind), measure, len(own), groups, mean, interval, over))
    return found


def mean_of(values: pd.Series, draws: int, seed: int) -> tuple[float, Interval | None]:
    """Return the mean and its 95 % interval by the cluster bootstrap over `group` of the index."""
    means = resampled_means(values, draws, seed)
    known = len(means) > 0
    return float(values.mean()), percentile_intervals(means[:, None], 0.95)[0] if known else None


def resampled_means(values: pd.Series, draws: int, seed: int) -> Float64[np.ndarray, " draws"]:
    """Return the mean under each draw of the groups in the index; none with fewer than two."""
    codes, groups = pd.factorize(values.index.get_level_values("group"), sort=True)
    if len(groups) < 2:
        return np.empty(0)
    sums = np.bincount(codes, weights=values.to_numpy(np.float64))
    counts = np.bincount(codes).astype(np.float64)
    return np.concatenate(
        [
            (drawn @ sums) / (drawn @ counts)
            for _, drawn in group_weights(np.zeros(len(groups), np.int64), draws, seed, _ROWS)
        ]
    )

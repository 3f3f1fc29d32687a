"""Whether an image is like anything that was learnt: how far its features lie from all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from brainssl.evaluation.group_quantiles import group_quantile, groups_needed

FALSE_ALARMS = 0.05
"""The share of images like those of training that may be called unfamiliar."""

_LEAST_GROUPS = 4  # of validation; with fewer more than one in five would be a false alarm
_TOGETHER = 256


@dataclass(frozen=True)
class Familiarity:
    """From which distance on an image is called unfamiliar.

    Attributes:
        threshold: a distance of `distances`.
        false_alarms: the share of images of new patients, of the kind that was learnt, that lie
            farther away, at most; on average over validation sets.
        steps: the distances of validation images at 0, 1 … 100 %, each group counting alike.
    """

    threshold: float
    false_alarms: float
    steps: tuple[float, ...]

    @classmethod
    def fit(
        cls, apart: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]
    ) -> "Familiarity | None":
        """Find the threshold on validation images; None where they are of fewer than 4 groups.

        It is the `group_quantile` at 95 %. With fewer than 19 groups of validation that promises
        nothing; then it is the largest of all distances, which an image of a new group exceeds with
        a probability of 1 / (G + 1).

        Args:
            apart: distance of each validation image from the nearest reference image.
            groups: the group of each.
        """
        count = len(np.unique(groups))
        if count < _LEAST_GROUPS:
            return None
        rate = FALSE_ALARMS
        threshold = group_quantile(apart, groups, 1 - rate)
        if threshold is None:
            threshold, rate = float(apart.max()), 1 / (count + 1)
        return cls(threshold, rate, tuple(_steps(apart, groups).tolist()))

    def beyond(self, distance: float) -> float:
        """Return the share of validation images that lie nearer, from 0 to 1, in steps of 1 %."""
        return int(np.searchsorted(np.array(self.steps[1:]), distance, side="left")) / 100

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "score": "cosine distance from the nearest reference image",
            "threshold": self.threshold,
            "false_alarms": self.false_alarms,
            "steps": list(self.steps),
        }

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "Familiarity":
        """Return what `facts` told."""
        return cls(facts["threshold"], facts["false_alarms"], tuple(facts["steps"]))


def groups_for_five_percent() -> int:
    """Return how many groups of validation the usual rate of false alarms takes."""
    return groups_needed(1 - FALSE_ALARMS)


def directions(
    features: Float[np.ndarray, "n dim"], centre: Float[np.ndarray, " dim"]
) -> Float64[np.ndarray, "n dim"]:
    """Return features as seen from `centre`, each of length 1; one that lies there stays 0.

    Features after a ReLU all point into one corner. Seen from the mean of the training images they
    point all around, and cosines tell them apart.
    """
    apart = features.astype(np.float64) - centre.astype(np.float64)
    lengths = np.linalg.norm(apart, axis=1, keepdims=True)
    unit: Float64[np.ndarray, "n dim"] = apart / np.maximum(lengths, np.finfo(np.float64).tiny)
    return unit


def distances(
    queries: Float[np.ndarray, "n dim"], known: Float[np.ndarray, "m dim"]
) -> Float64[np.ndarray, " n"]:
    """Return the cosine distance of each direction from the nearest of those that are known.

    The nearest-neighbour score of Sun et al. (2022, "Out-of-distribution detection with deep
    nearest neighbors") with k = 1: its answer can be shown, as that image.

    Args:
        queries: of length 1.
        known: likewise, at least one.

    Returns:
        From 0, the same direction, to 2.
    """
    wide = known.astype(np.float64).T
    parts = [
        1 - (queries[at : at + _TOGETHER].astype(np.float64) @ wide).max(axis=1)
        for at in range(0, len(queries), _TOGETHER)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def _steps(
    apart: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]
) -> Float64[np.ndarray, " 101"]:
    _, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(apart, kind="stable")
    reached = np.cumsum(1.0 / sizes[of[order]]) / len(sizes)
    places = np.searchsorted(reached, np.arange(101) / 100 - 1e-9)
    found: Float64[np.ndarray, " 101"] = apart[order[np.minimum(places, len(order) - 1)]]
    return found

"""Whether an image is like anything that was learnt: how far it lies from all of that."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Int64

from brainssl.evaluation.group_quantiles import group_quantile, groups_needed

FALSE_ALARMS = 0.05
"""The share of images like those of training that may be called unfamiliar."""

NEEDED = groups_needed(1 - FALSE_ALARMS)
"""Groups of validation that this takes: 19."""

_LEAST_GROUPS = 4  # of validation; with fewer more than one in five would be a false alarm
_TOGETHER = 256
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Apart:
    """How far images lie from what was learnt.

    Attributes:
        features: the distance of the network's features from those of the nearest training image.
        looks: the distance of the appearance, see `brainssl.evaluation.appearance.oddness`.
    """

    features: Float64[np.ndarray, " n"]
    looks: Float64[np.ndarray, " n"]


@dataclass(frozen=True)
class Familiarity:
    """From where on an image is called unfamiliar.

    Attributes:
        threshold: of `score`.
        false_alarms: the share of images of new patients, of the kind that was learnt, that lie
            beyond it, at most; on average over validation sets.
        features: the distances of validation images' features at 0, 1 … 100 %, each group counting
            alike.
        looks: the same of their appearance.
    """

    threshold: float
    false_alarms: float
    features: tuple[float, ...]
    looks: tuple[float, ...]

    @classmethod
    def fit(cls, apart: Apart, groups: Int64[np.ndarray, " n"]) -> "Familiarity | None":
        """Find the threshold on validation images; None where they are of fewer than 4 groups.

        It is the `group_quantile` at 95 %. With fewer than 19 groups of validation that promises
        nothing; then it is the largest score of all, which an image of a new group exceeds with a
        probability of 1 / (G + 1). (The units of the score are of the same images, which is a
        little more than the promise allows.)

        Args:
            apart: of validation images.
            groups: the group of each.
        """
        count = len(np.unique(groups))
        if count < _LEAST_GROUPS:
            return None
        steps = (_steps(apart.features, groups), _steps(apart.looks, groups))
        unit = cls(0.0, 0.0, *steps)
        scores = unit.score(apart)
        rate, threshold = FALSE_ALARMS, group_quantile(scores, groups, 1 - FALSE_ALARMS)
        if threshold is None:
            rate, threshold = 1 / (count + 1), float(scores.max())
        return cls(threshold, rate, *steps)

    def score(self, apart: Apart) -> Float64[np.ndarray, " n"]:
        """Return the larger of both distances, in units of their 95th percentiles on validation."""
        found: Float64[np.ndarray, " n"] = np.maximum(
            apart.features / max(self.features[95], _TINY), apart.looks / max(self.looks[95], _TINY)
        )
        return found

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "threshold": self.threshold,
            "false_alarms": self.false_alarms,
            "features": list(self.features),
            "looks": list(self.looks),
        }

    @classmethod
    def read(cls, facts: Mapping[str, Any]) -> "Familiarity":
        """Return what `facts` told."""
        return cls(
            facts["threshold"],
            facts["false_alarms"],
            tuple(facts["features"]),
            tuple(facts["looks"]),
        )


def beyond(steps: tuple[float, ...], distance: float) -> int:
    """Return how many per cent of validation images lie nearer.

    Args:
        steps: of a `Familiarity`.
        distance: likewise.
    """
    return int(np.searchsorted(np.array(steps[1:]), distance, side="left"))


def standardised(
    features: Float[np.ndarray, "n dim"], frame: Float[np.ndarray, "2 dim"]
) -> Float64[np.ndarray, "n dim"]:
    """Return features less their mean in training, in units of their deviation there.

    Features after a ReLU all point into one corner; seen from their mean they point all around.

    Args:
        features: of images.
        frame: of `frame_of`.
    """
    found: Float64[np.ndarray, "n dim"] = (features.astype(np.float64) - frame[0]) / frame[1]
    return found


def frame_of(features: Float[np.ndarray, "n dim"]) -> Float64[np.ndarray, "2 dim"]:
    """Return mean and deviation of each feature; of one that hardly moves, a thousandth of all."""
    wide = features.astype(np.float64)
    return np.stack([wide.mean(axis=0), wide.std(axis=0) + 1e-3 * wide.std() + _TINY])


def nearest(
    queries: Float[np.ndarray, "n dim"], known: Float[np.ndarray, "m dim"]
) -> Float64[np.ndarray, " n"]:
    """Return the distance of each image from the nearest that is known, in units of √dim.

    The nearest-neighbour score of Sun et al. (2022, "Out-of-distribution detection with deep
    nearest neighbors") with k = 1, whose answer can be shown, as that image; of standardised
    features instead of those of length 1, as it is by their length that blanks and noise differ.

    Args:
        queries: standardised features.
        known: likewise, at least one.
    """
    wide = known.astype(np.float64)
    squares = (wide**2).sum(axis=1)
    found = np.empty(len(queries))
    for at in range(0, len(queries), _TOGETHER):
        own = queries[at : at + _TOGETHER].astype(np.float64)
        square = squares + (own**2).sum(axis=1)[:, None] - 2 * own @ wide.T
        found[at : at + len(own)] = square.min(axis=1)
    near: Float64[np.ndarray, " n"] = np.sqrt(np.maximum(found, 0) / wide.shape[1])
    return near


def similarities(
    queries: Float[np.ndarray, "n dim"], known: Float[np.ndarray, "m dim"]
) -> Float64[np.ndarray, "n m"]:
    """Return the cosine of standardised features: 1 is the same direction, 0 nothing in common."""
    found: Float64[np.ndarray, "n m"] = _unit(queries) @ _unit(known).T
    return found


def _unit(values: Float[np.ndarray, "n dim"]) -> Float64[np.ndarray, "n dim"]:
    wide = values.astype(np.float64)
    found: Float64[np.ndarray, "n dim"] = wide / np.maximum(
        np.linalg.norm(wide, axis=1, keepdims=True), _TINY
    )
    return found


def _steps(apart: Float64[np.ndarray, " n"], groups: Int64[np.ndarray, " n"]) -> tuple[float, ...]:
    _, of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = np.argsort(apart, kind="stable")
    reached = np.cumsum(1.0 / sizes[of[order]]) / len(sizes)
    places = np.searchsorted(reached, np.arange(101) / 100 - 1e-9)
    return tuple(apart[order[np.minimum(places, len(order) - 1)]].tolist())

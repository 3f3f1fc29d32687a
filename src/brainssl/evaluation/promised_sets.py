"""Which classes an image may be of, with a promise: thresholds that a classifier carries along."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64

from brainssl.evaluation.group_quantiles import group_quantile

if TYPE_CHECKING:
    from brainssl.evaluation.predictions import Predictions

LEVELS = (0.8, 0.9, 0.95)
"""How often a set is to hold the true class."""

OWN, OTHERS, ALL = "class", "others", "all"
"""On what the threshold of a class was calibrated: on its own images, on those of all classes that
have too few of their own, or on all images."""


@dataclass(frozen=True)
class PromisedSets:
    """Thresholds of one level.

    Attributes:
        level: the share of images whose set is to hold the true class.
        thresholds: the probability from which on each class is in a set.
        promises: for each class `OWN`, `OTHERS` or `ALL`.
    """

    level: float
    thresholds: tuple[float, ...]
    promises: tuple[str, ...]

    @classmethod
    def fit(cls, val: "Predictions", temperature: float, level: float) -> "PromisedSets | None":
        """Calibrate on validation, by groups; None where it has too few of them.

        The score is 1 − the probability of the true class (LAC), as in
        `brainssl.evaluation.conformal`, but its quantile counts groups
        (`brainssl.evaluation.group_quantiles`). A class with enough groups (9 at 90 %) has a
        threshold of its own (Mondrian: Vovk et al. 2005, section 4.5); those that lack them share
        one, calibrated on their images together, so that the promise holds for each class of the
        former and for the latter together, hence for all. Where even these are too few, theirs is
        that of all images, and nothing is promised for them alone.

        Args:
            val: the calibration images.
            temperature: that the logits are divided by.
            level: between 0 and 1.
        """
        said = val.probabilities(temperature)[np.arange(len(val)), val.labels]
        labels, groups = val.labels, val.groups

        def found(rows: Bool[np.ndarray, " n"]) -> float | None:
            # Negative probabilities, not 1 − them: tiny ones would be lost in the difference.
            quantile = group_quantile(-said[rows], groups[rows], level)
            return None if quantile is None else -quantile

        overall = found(np.ones(len(val), bool))
        if overall is None:
            return None
        own = [found(labels == c) for c in range(len(val.classes))]
        others = found(np.isin(labels, [c for c, one in enumerate(own) if one is None]))
        rest = (overall, ALL) if others is None or own.count(None) == len(own) else (others, OTHERS)
        pairs = [rest if one is None else (one, OWN) for one in own]
        thresholds, promises = zip(*pairs, strict=True)
        return cls(level, tuple(thresholds), tuple(promises))

    def of(self, probabilities: Float64[np.ndarray, "n classes"]) -> Bool[np.ndarray, "n classes"]:
        """Return which classes are in the set of each image, by its calibrated probabilities."""
        held: Bool[np.ndarray, "n classes"] = probabilities >= np.array(self.thresholds)
        return held

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it; the level is the key."""
        return {"thresholds": list(self.thresholds), "promises": list(self.promises)}

    @classmethod
    def read(cls, level: str, facts: Mapping[str, Sequence[Any]]) -> "PromisedSets":
        """Return what `facts` told."""
        return cls(float(level), tuple(facts["thresholds"]), tuple(facts["promises"]))

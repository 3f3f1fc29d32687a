"""What is said of an image: its class, which others it may be of, and whether it is familiar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64
from scipy.special import softmax

from brainssl.evaluation.factors import factors
from brainssl.evaluation.familiarity import directions
from brainssl.evaluation.limits import Limits
from brainssl.evaluation.promised_sets import ALL, LEVELS, OTHERS, OWN
from brainssl.foundation.errors import BadUseError
from brainssl.models.classifier import Classifier
from brainssl.models.reference import Reference

LEVEL = 0.9


class Judgement:
    """Answers of one classifier about images, with what it knows of its limits.

    Attributes:
        limits: of the classifier; of a file of before they say that it has none.
        temperature: that logits are divided by; 1 where none is known.
    """

    def __init__(
        self, classifier: Classifier, *, level: float = LEVEL, neighbours: int = 0
    ) -> None:
        if level not in LEVELS:
            known = ", ".join(f"{one:g}" for one in LEVELS)
            raise BadUseError(f"--level {level:g} is none of {known}")
        if neighbours < 0:
            raise BadUseError(f"--neighbours {neighbours}: give 0 or more")
        self.limits = Limits.read(classifier.limits)
        self.temperature = self.limits.temperature or 1.0
        self._level, self._neighbours = level, neighbours
        self._classes, self._reference = classifier.classes, classifier.reference
        self._sets = self.limits.sets.get(level)
        self._factors = factors(classifier.classes, classifier.facts.get("families"))

    def answers(
        self,
        logits: Float32[np.ndarray, "n classes"],
        features: Float32[np.ndarray, "n dim"],
    ) -> list[dict[str, Any]]:
        """Return for each image what `brainssl.inference.predict.predict_files` tells of it."""
        wide = logits.astype(np.float64)
        plain = softmax(wide, axis=1)
        shares = plain if self.temperature == 1 else softmax(wide / self.temperature, axis=1)
        held = self._sets.of(shares) if self._sets else None
        nearest = self._similarities(features)
        return [
            self._class(shares[at], plain[at])
            | self._set(held[at] if held is not None else None)
            | self._familiar(nearest[at] if nearest is not None else None)
            for at in range(len(logits))
        ]

    def facts(self) -> dict[str, Any]:
        """Return what holds for all answers: `level`, `promise`, `temperature`, `false_alarms`."""
        familiarity = self.limits.familiarity
        return {
            "level": self._level,
            "promise": self._promise(),
            "temperature": self.limits.temperature,
            "false_alarms": familiarity.false_alarms if familiarity else None,
        }

    def _class(
        self, shares: Float64[np.ndarray, " classes"], plain: Float64[np.ndarray, " classes"]
    ) -> dict[str, Any]:
        told = _named(self._classes, shares)
        for name, values in self._factors.items():
            names = sorted(set(values))
            place = np.array([names.index(value) for value in values])
            summed = np.bincount(place, weights=shares, minlength=len(names))
            told[name] = _named(names, summed)
        return told | {"softmax": dict(zip(self._classes, plain.tolist(), strict=True))}

    def _set(self, held: Bool[np.ndarray, " classes"] | None) -> dict[str, Any]:
        if held is None:
            return {"set": None}
        return {"set": [name for name, is_in in zip(self._classes, held, strict=True) if is_in]}

    def _similarities(
        self, features: Float32[np.ndarray, "n dim"]
    ) -> Float64[np.ndarray, "n m"] | None:
        if self._reference is None:
            return None
        seen = directions(features, self._reference.centre)
        found: Float64[np.ndarray, "n m"] = seen @ self._reference.features.astype(np.float64).T
        return found

    def _familiar(self, alike: Float64[np.ndarray, " m"] | None) -> dict[str, Any]:
        reference, limit = self._reference, self.limits.familiarity
        told: dict[str, Any] = {"familiar": None, "why": None, "distance": None, "neighbours": []}
        if alike is None or reference is None:
            return told
        distance = 1 - float(alike.max())
        told["distance"] = distance
        told["neighbours"] = self._cases(alike, reference)
        if limit:
            told["familiar"] = distance <= limit.threshold
            told["why"] = (
                f"{'' if told['familiar'] else 'un'}familiar: farther from "
                f"{self._remembered(reference)} than {limit.beyond(distance):.0%} of validation "
                f"images; the limit is {limit.beyond(limit.threshold):.0%}"
            ).replace("%", " %")
        return told

    def _cases(
        self, alike: Float64[np.ndarray, " m"], reference: Reference
    ) -> list[dict[str, Any]]:
        """Return the most similar known images, one of each group."""
        order = np.argsort(-alike, kind="stable")
        _, first = np.unique(reference.groups[order], return_index=True)
        return [
            {
                "image_id": reference.image_ids[at],
                "label": self._classes[int(reference.labels[at])],
                "similarity": float(alike[at]),
            }
            for at in order[np.sort(first)[: self._neighbours]].tolist()
        ]

    def _remembered(self, reference: Reference) -> str:
        return f"all {len(reference):,} training images that it remembers"

    def _promise(self) -> str | None:
        """Say what a set promises, and of which classes."""
        if self._sets is None:
            return None
        level = f"{self._level:.0%}".replace("%", " %")
        kinds: dict[str, list[str]] = {OWN: [], OTHERS: [], ALL: []}
        for name, kind in zip(self._classes, self._sets.promises, strict=True):
            kinds[kind].append(name)
        told = [
            f"A set holds the true class of {level} of images of new patients like those of "
            "training, on average"
        ]
        if own := kinds[OWN]:
            told.append(f"also of each of the classes {', '.join(own)} alone")
        if others := kinds[OTHERS]:
            told.append(f"of the classes {', '.join(others)} together, not of each")
        if every := kinds[ALL]:
            told.append(f"and nothing is promised of {', '.join(every)} alone")
        return "; ".join(told) + "."


def _named(names: Sequence[str], shares: Float64[np.ndarray, " n"]) -> dict[str, Any]:
    named = dict(zip(names, shares.tolist(), strict=True))
    label = max(named, key=lambda name: named[name])
    return {"label": label, "probability": named[label], "probabilities": named}

"""What is said of an image: its class, which others it may be of, and whether it is familiar."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt

from brainssl.data.families import factors
from brainssl.evaluation.appearance import appearance, oddness
from brainssl.evaluation.familiarity import Apart, beyond, nearest, similarities, standardised
from brainssl.evaluation.limits import Limits
from brainssl.evaluation.promised_sets import ALL, LEVELS, OTHERS, OWN
from brainssl.evaluation.softmax import softmax
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
        pixels: UInt[np.ndarray, "n size size"],
        logits: Float32[np.ndarray, "n classes"],
        features: Float32[np.ndarray, "n dim"],
    ) -> list[dict[str, Any]]:
        """Return for each image what `brainssl.inference.predict.predict_files` tells of it.

        Args:
            pixels: as they are stored.
            logits: of these images, and
            features: what `Classifier.seen` gives.
        """
        wide = logits.astype(np.float64)
        plain = softmax(wide)
        shares = plain if self.temperature == 1 else softmax(wide / self.temperature)
        held = self._sets.of(shares) if self._sets else None
        near = self._near(pixels, features)
        return [
            self._class(shares[at], plain[at])
            | self._set(None if held is None else held[at])
            | near[at]
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

    def _near(
        self, pixels: UInt[np.ndarray, "n size size"], features: Float32[np.ndarray, "n dim"]
    ) -> list[dict[str, Any]]:
        """Say of each image whether it is familiar, why, and which known cases are like it."""
        known, limit = self._reference, self.limits.familiarity
        nothing: dict[str, Any] = {"familiar": None, "why": None, "oddness": None, "neighbours": []}
        if known is None:
            return [nothing] * len(pixels)
        own = standardised(features, known.frame)
        told = [dict(nothing) for _ in pixels]
        if self._neighbours:
            for row, alike in zip(told, similarities(own, known.features), strict=True):
                row["neighbours"] = self._cases(alike, known)
        if limit:
            apart = Apart(nearest(own, known.features), oddness(appearance(pixels), known.looks))
            for at, score in enumerate((limit.score(apart) / limit.threshold).tolist()):
                told[at]["familiar"], told[at]["oddness"] = score <= 1, score
                told[at]["why"] = _why(
                    beyond(limit.features, apart.features[at]),
                    beyond(limit.looks, apart.looks[at]),
                    len(known),
                )
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


def _why(features: int, looks: int, known: int) -> str:
    """Say in a sentence by what an image is familiar or not, in shares of validation images."""
    return (
        f"Its features lie farther from all {known:,} known training images than those "
        f"of {features} % of validation images, and it looks less like them than {looks} % do."
    )


def _named(names: Sequence[str], shares: Float64[np.ndarray, " n"]) -> dict[str, Any]:
    named = dict(zip(names, shares.tolist(), strict=True))
    label = max(named, key=lambda name: named[name])
    return {"label": label, "probability": named[label], "probabilities": named}

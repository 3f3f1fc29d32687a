"""What a classifier knows of its own limits: fitted on validation, and kept in its file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from brainssl.evaluation.familiarity import NEEDED, Apart, Familiarity
from brainssl.evaluation.group_quantiles import groups_needed
from brainssl.evaluation.promised_sets import LEVELS, PromisedSets
from brainssl.evaluation.sequences import LEAST_PATIENTS, Fusion, Witnesses, choose_fusion

if TYPE_CHECKING:
    from brainssl.evaluation.predictions import Predictions

LEAST_GROUPS = 5
"""Groups of validation below which no temperature is fitted."""

OLDER = (
    "The classifier's file is of an earlier version and does not know its limits: its "
    "probabilities are a plain softmax, and it tells neither sets of classes, nor what is "
    "unfamiliar, nor known cases. Train it again with this version to have them."
)


@dataclass(frozen=True)
class Limits:
    """How sure a classifier may be, of what, and what it cannot tell.

    Attributes:
        images: of validation.
        groups: of these; patients, or clusters of near-copies where patients are not known.
        temperature: that logits are divided by; None where none could be fitted, which means 1.
        sets: thresholds of the sets of classes, by level.
        familiarity: what is unlike anything that was learnt; None where that is not known.
        fusion: how a patient's sequences become one answer.
        lacks: what could not be fitted and why, one sentence each.
    """

    images: int = 0
    groups: int = 0
    temperature: float | None = None
    sets: Mapping[float, PromisedSets] = field(default_factory=dict)
    familiarity: Familiarity | None = None
    fusion: Fusion | None = None
    lacks: tuple[str, ...] = (OLDER,)

    @classmethod
    def fit(
        cls,
        val: "Predictions",
        apart: Apart | None,
        *,
        shared: bool = False,
    ) -> "Limits":
        """Fit all of it on validation, which no limit is measured on.

        Validation also chose the epoch, and the temperature goes before the thresholds: what is
        promised holds to the letter only for images that did neither.

        Args:
            val: what the classifier says of the validation images.
            apart: how far they lie from what was learnt; None where that is not known.
            shared: whether training and validation may hold images of the same patients.
        """
        groups = len(np.unique(val.groups))
        lacks: list[str] = []
        temperature = _temperature(val, groups, lacks)
        fitted = {level: PromisedSets.fit(val, temperature or 1.0, level) for level in LEVELS}
        sets = {level: found for level, found in fitted.items() if found is not None}
        if without := [level for level in LEVELS if level not in sets]:
            lacks.append(
                f"No set of classes is promised at {_in_words(without)}: that takes "
                f"{groups_needed(without[0])} groups of validation images or more, and there are "
                f"{groups}."
            )
        familiarity = None if apart is None else Familiarity.fit(apart, val.groups)
        if apart is None:
            lacks.append(
                "What is unlike anything learnt is not known: the classifier keeps no training "
                "images to compare with."
            )
        elif familiarity is None:
            lacks.append(
                "What is unlike anything learnt is not known: too few groups of validation images "
                f"({groups}) say how far apart images of new patients usually are."
            )
        elif groups < NEEDED:
            lacks.append(
                f"With {groups} groups of validation images, up to "
                f"{100 * familiarity.false_alarms:.1f} % of familiar images may be called "
                f"unfamiliar; 5 % takes {NEEDED} groups."
            )
        if shared and groups:
            lacks.append(
                "Training and validation may hold images of the same patients (protocol of the "
                "split): the limits are those for further images of these, and too narrow for "
                "others."
            )
        return cls(len(val), groups, temperature, sets, familiarity, None, tuple(lacks))

    def with_patients(self, patients: Sequence[Witnesses]) -> "Limits":
        """Return the same with how sequences become one answer, chosen on validation.

        Args:
            patients: of validation, with several sequences each, by calibrated probabilities.
        """
        lacks = self.lacks
        if 0 < len(patients) < LEAST_PATIENTS:
            lacks += (
                f"How a patient's sequences become one answer was not chosen: {len(patients)} "
                f"patients of validation have several, and it takes {LEAST_PATIENTS}.",
            )
        return replace(self, fusion=choose_fusion(patients), lacks=lacks)

    def facts(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "images": self.images,
            "groups": self.groups,
            "temperature": self.temperature,
            "sets": {f"{level:g}": one.facts() for level, one in self.sets.items()},
            "familiarity": self.familiarity and self.familiarity.facts(),
            "fusion": self.fusion and self.fusion.facts(),
            "lacks": list(self.lacks),
        }

    @classmethod
    def read(cls, facts: Mapping[str, Any] | None) -> "Limits":
        """Return what `facts` told; of a file that has none, that it knows nothing."""
        if facts is None:
            return cls()
        sets = [PromisedSets.read(level, one) for level, one in facts["sets"].items()]
        return cls(
            facts["images"],
            facts["groups"],
            facts["temperature"],
            {one.level: one for one in sets},
            facts["familiarity"] and Familiarity.read(facts["familiarity"]),
            facts["fusion"] and Fusion(**facts["fusion"]),
            tuple(facts["lacks"]),
        )


def _temperature(val: "Predictions", groups: int, lacks: list[str]) -> float | None:
    if groups < LEAST_GROUPS:
        lacks.append(
            f"The probabilities are a plain softmax: a temperature takes {LEAST_GROUPS} groups of "
            f"validation images, and there are {groups}."
        )
        return None
    from brainssl.evaluation.calibration import LOWEST, fit_temperature  # for who trains alone

    temperature = fit_temperature(val)
    if temperature <= LOWEST:
        lacks.append(
            "The probabilities are a plain softmax: no validation image is misclassified, so none "
            "can say how sure the classifier may be."
        )
        return None
    return temperature


def _in_words(levels: Sequence[float]) -> str:
    return " and ".join(f"{level:.0%}".replace("%", " %") for level in levels)

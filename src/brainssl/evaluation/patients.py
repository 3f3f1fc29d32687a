"""From slices to patients: what was said of the slices of a unit becomes one answer."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64

from brainssl.evaluation.ensemble import logits_of
from brainssl.evaluation.metrics import evaluate
from brainssl.evaluation.predictions import SPLITS, Predictions, probabilities_of
from brainssl.foundation.errors import BrainsslError

_EQUAL = 1e-6  # nats; float32 logits tell no finer differences apart


@dataclass(frozen=True)
class Units:
    """Which slices are judged together.

    Attributes:
        kind: `patient` or `series` (the slices of one sequence of a patient).
        of: the key of each image's unit, by `image_id`.
        conflicting: keys of units with slices of different truth, which are left out.
        unknown: how many labelled images have no patient and are left out.
    """

    kind: str
    of: Mapping[str, str]
    conflicting: tuple[str, ...]
    unknown: int


@dataclass(frozen=True)
class Rule:
    """How the slices of a unit become one answer.

    Attributes:
        scores: what is averaged, `probabilities` or `logits`.
        surest: over how many slices, those with the highest probability of any class; None: all.
    """

    scores: str
    surest: int | None = None

    @property
    def name(self) -> str:
        """The rule in words."""
        if self.surest is None:
            return f"mean of {self.scores}"
        slices = "slice" if self.surest == 1 else f"{self.surest} slices"
        return f"mean of {self.scores} of the surest {slices}"


RULES = (
    Rule("probabilities"),
    Rule("logits"),
    *(Rule("probabilities", surest) for surest in (5, 3, 1)),
)
"""The candidates, the same for every model; of equals the first is taken."""


def patient_units(families: Mapping[str, str], patients: Mapping[str, str]) -> Units:
    """Return patients as units, of which the tumour family is asked.

    Args:
        families: the true family of each image, by `image_id`.
        patients: of images, by `image_id`; images without one are left out.
    """
    keys = {image: patients[image] for image in families if image in patients}
    return _units("patient", families, keys)


def series_units(
    labels: Mapping[str, str], patients: Mapping[str, str], sequences: Mapping[str, str]
) -> Units:
    """Return patient × sequence as units, of which the class is asked.

    Where no sequence is known the patient's slices of one label are a unit: these are put together
    by their truth, which nobody knows of a new patient.

    Args:
        labels: the class of each image, by `image_id`.
        patients: of images, by `image_id`; images without one are left out.
        sequences: of images, by `image_id`; absent or empty where unknown.
    """
    keys = {
        image: f"{patients[image]} · {sequences.get(image) or label}"
        for image, label in labels.items()
        if image in patients
    }
    return _units("series", labels, keys)


def _units(kind: str, truths: Mapping[str, str], keys: Mapping[str, str]) -> Units:
    first: dict[str, str] = {}
    conflicting = {
        key for image, key in keys.items() if first.setdefault(key, truths[image]) != truths[image]
    }
    kept = {image: key for image, key in keys.items() if key not in conflicting}
    return Units(kind, kept, tuple(sorted(conflicting)), len(truths) - len(keys))


def fuse(predictions: Predictions, units: Mapping[str, str], rule: Rule) -> Predictions:
    """Return one row a unit of each split, sorted by split (train, val, test) and key.

    Means of probabilities and of logits are the sum rule and the product rule of Kittler et al.
    1998 (IEEE TPAMI 20(3)), the latter but for the classes' frequencies and with the number of
    slices divided out: softmax(mean zᵢ) ∝ (∏ pᵢ)^(1/n). Of equally sure slices the first by
    `image_id` count.

    Args:
        predictions: of slices.
        units: the key of each image's unit; images without one are left out.
        rule: how slices become one answer.

    Returns:
        Predictions whose `image_id` is the unit's key; group, split and label are its slices'.

    Raises:
        BrainsslError: slices of a unit differ in group or, within a split, in label.
    """
    held = _Held.of(predictions, units)
    return Predictions.build(
        held.keys, held.groups, held.splits, held.labels, held.said(rule), predictions.classes
    )


@dataclass(frozen=True)
class _Held:
    """The slices of units: m units of n slices, and what a model said of them.

    Attributes:
        keys, groups, splits, labels: of each unit in a split.
        logits, probabilities: of the slices, those of a unit together, the surest first.
        unit: of each of these slices.
    """

    keys: list[str]
    groups: Int64[np.ndarray, " m"]
    splits: list[str]
    labels: Int64[np.ndarray, " m"]
    logits: Float64[np.ndarray, "n classes"]
    probabilities: Float64[np.ndarray, "n classes"]
    unit: Int64[np.ndarray, " n"]

    @classmethod
    def of(cls, predictions: Predictions, units: Mapping[str, str]) -> "_Held":
        """Put the slices of each unit together; units and errors are those of `fuse`."""
        ids = predictions.frame["image_id"].to_numpy(object)
        known = np.array([image in units for image in ids], bool)
        ids, labels, groups = ids[known], predictions.labels[known], predictions.groups[known]
        names, unit = _numbered([units[image] for image in ids])
        _refuse_several(names, unit, unit, groups, "group")
        told = predictions.frame["split"].to_numpy(object)[known]
        split = np.array([SPLITS.index(name) for name in told], np.int64)
        _, heads, number = np.unique(
            split * len(names) + unit, return_index=True, return_inverse=True
        )
        _refuse_several(names, unit, number, labels, "label")
        probabilities = predictions.probabilities()[known]
        # The order of slices must not matter, not even to the last digit of a sum.
        order = np.lexsort((_numbered(ids)[1], -probabilities.max(axis=1), number))
        return cls(
            keys=[names[at] for at in unit[heads]],
            groups=groups[heads],
            splits=[SPLITS[at] for at in split[heads]],
            labels=labels[heads],
            logits=predictions.logits[known].astype(np.float64)[order],
            probabilities=probabilities[order],
            unit=number[order],
        )

    def said(self, rule: Rule) -> Float32[np.ndarray, "m classes"]:
        """Return the logits of each unit by a rule."""
        by_logits = rule.scores == "logits"
        scores, unit = self.logits if by_logits else self.probabilities, self.unit
        sizes = np.bincount(unit, minlength=len(self.keys))
        if rule.surest is not None:
            rank = np.arange(len(unit)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
            kept = rank < rule.surest
            scores, unit, sizes = scores[kept], unit[kept], np.minimum(sizes, rule.surest)
        totals = np.zeros((len(sizes), scores.shape[1]))
        np.add.at(totals, unit, scores)
        means = totals / sizes[:, None]
        return np.asarray(means if by_logits else logits_of(means), np.float32)


def choose_rule(val: Predictions, units: Mapping[str, str]) -> Rule:
    """Return the rule with the least NLL on the units of validation, of equals the most accurate.

    Args:
        val: predictions of slices; rows of other splits are not looked at.
        units: the key of each image's unit.

    Raises:
        BrainsslError: no slice of validation is in a unit, or see `fuse`.
    """
    slices = val.of("val")
    if not any(image in units for image in slices.frame["image_id"]):
        raise BrainsslError(
            "no validation slice belongs to a patient who is known, so nothing can choose how "
            "slices become patients: name the patients of more images in patients.csv"
        )
    held = _Held.of(slices, units)
    found = {rule: evaluate(held.labels, probabilities_of(held.said(rule))) for rule in RULES}
    least = min(measured["nll"] for measured in found.values())
    tied = [rule for rule in RULES if found[rule]["nll"] <= least + _EQUAL]
    return max(tied, key=lambda rule: found[rule]["accuracy"])


def fuse_folds(
    parts: Sequence[tuple[Predictions, Predictions]], units: Mapping[str, str]
) -> tuple[Predictions, tuple[Rule, ...]]:
    """Return the fused test predictions of all folds, and the rule that each fold chose.

    Args:
        parts: what the model of each fold said of its validation and test slices; one pair where
            there are no folds.
        units: the key of each image's unit.

    Raises:
        BrainsslError: folds test slices of the same unit, or see `choose_rule` and `fuse`.
    """
    rules = tuple(choose_rule(val, units) for val, _ in parts)
    fused = [
        fuse(test.of("test"), units, rule) for (_, test), rule in zip(parts, rules, strict=True)
    ]
    return Predictions.joined(fused), rules


def in_words(rules: Sequence[Rule]) -> str:
    """Return the names of what folds chose, the most frequent first, with how often."""
    times = Counter(rule.name for rule in rules).most_common()
    if len(times) == 1:
        return times[0][0]
    return "; ".join(f"{name} ({count} of {len(rules)} folds)" for name, count in times)


def _numbered(values: Sequence[str] | np.ndarray) -> tuple[list[str], Int64[np.ndarray, " n"]]:
    """Return the distinct values, sorted, and the place of each value among them."""
    names = sorted(set(values))
    place = {name: at for at, name in enumerate(names)}
    return names, np.array([place[value] for value in values], np.int64)


def _refuse_several(
    names: Sequence[str],
    unit: Int64[np.ndarray, " n"],
    cell: Int64[np.ndarray, " n"],
    values: Int64[np.ndarray, " n"],
    what: str,
) -> None:
    """Raise BrainsslError that names a unit whose slices of one cell have several values."""
    _, first, number = np.unique(cell, return_index=True, return_inverse=True)
    wrong = np.flatnonzero(values != values[first][number])
    if wrong.size:
        raise BrainsslError(
            f"the slices of {names[unit[wrong[0]]]!r} differ in {what}: leave this unit out, or "
            f"mend the {what} of its images"
        )

"""Series and patients of labelled images, and the rules by which a classifier answers for them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from brainssl.data.families import Families, pairs_of
from brainssl.evaluation.factors import by_factor
from brainssl.evaluation.patients import (
    RULES,
    Rule,
    Units,
    choose_rule,
    patient_units,
    series_units,
)
from brainssl.evaluation.predictions import Predictions

KINDS = ("patient", "series")


def families_asked(classes: Sequence[str], told: Families | None = None) -> list[str] | None:
    """Return what of each class is asked of a patient: its family; None where all have the same.

    Where no sequence is known the family is the class.
    """
    families = [family for family, _ in pairs_of(classes, told)]
    return families if len(set(families)) > 1 else None


def known_units(
    images: pd.DataFrame, classes: Sequence[str], told: Families | None = None
) -> dict[str, Units]:
    """Return the series and the patients of labelled images, by kind.

    Args:
        images: `image_id`, `label` and `patient`, a row an image; those of other labels and of
            none are left out, and so are units of several truths, see
            `brainssl.evaluation.patients`.
        classes: of the model.
        told: families and sequences, see `brainssl.data.families.pairs_of`.
    """
    # A store that was not scanned may know no patients.
    own = images.reindex(columns=["image_id", "label", "patient"]).set_index("image_id")
    own = own[own["label"].isin(classes)]
    labels, patients = _by_image(own["label"]), _by_image(own["patient"].dropna())
    pairs = dict(zip(classes, pairs_of(classes, told), strict=True))
    families = {image: pairs[name][0] for image, name in labels.items()}
    sequences = {image: pairs[name][1] for image, name in labels.items()}
    return {
        "patient": patient_units(families, patients),
        "series": series_units(labels, patients, sequences),
    }


def asked_of(
    predictions: Predictions, kind: str, told: Families | None = None
) -> Predictions | None:
    """Return what a model said of that which a kind of unit is asked.

    Returns:
        Predictions of the class for series, of the family for patients; None for patients where
        all classes are of one family.
    """
    if kind == "series":
        return predictions
    families = families_asked(predictions.classes, told)
    if families == list(predictions.classes):
        return predictions
    return by_factor(predictions, families) if families else None


def choose_rules(
    val: Predictions, images: pd.DataFrame, told: Families | None = None
) -> dict[str, dict[str, Any]]:
    """Choose on validation how the slices of a series and of a patient become one answer.

    Args:
        val: predictions of slices; rows of other splits are not looked at.
        images: as `known_units` takes them.
        told: families and sequences, see `brainssl.data.families.pairs_of`.

    Returns:
        By kind, of those of which validation has units, the fields of `Rule`.
    """
    chosen = {}
    slices = val.of("val")
    # A label of another part must not even say that a patient contradicts himself.
    own = images[images["image_id"].isin(slices.frame["image_id"])]
    for kind, units in known_units(own, val.classes, told).items():
        asked = asked_of(slices, kind, told)
        if asked is not None and units.of:
            chosen[kind] = asdict(choose_rule(asked, units.of))
    return chosen


def rule_of(facts: Mapping[str, Any], kind: str) -> tuple[Rule, bool]:
    """Return a classifier's rule for a kind of unit, and whether it was chosen on validation.

    Args:
        facts: of the classifier. Where they hold no rule it is the mean of probabilities.
        kind: `patient` or `series`.
    """
    held = (facts.get("rules") or {}).get(kind)
    return (RULES[0], False) if held is None else (Rule(**held), True)


def _by_image(column: "pd.Series[str]") -> dict[str, str]:
    return {str(image): str(value) for image, value in column.items()}

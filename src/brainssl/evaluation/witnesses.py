"""What each sequence of a validation patient says of his tumour family, and what is true."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from brainssl.data.families import Families, pairs_of
from brainssl.evaluation.patients import fuse
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.sequences import Witnesses
from brainssl.evaluation.units import asked_of, known_units, rule_of


def tempered(said: Predictions, temperature: float) -> Predictions:
    """Return predictions of the same images whose logits are divided by a temperature."""
    frame = said.frame.copy()
    columns = frame.columns[4:]
    frame[columns] = said.logits / temperature
    return Predictions(frame.astype(dict.fromkeys(columns, "float32")), said.classes)


def witnesses(
    val: Predictions,
    images: pd.DataFrame,
    facts: Mapping[str, Any],
    told: Families | None = None,
) -> list[Witnesses]:
    """Return the patients of validation with several known sequences, sorted by their names.

    Sequences are those of the true classes, which stand for those of the files. Patients of several
    families are left out.

    Args:
        val: calibrated predictions of validation slices.
        images: as `brainssl.evaluation.units.known_units` takes them.
        facts: of the classifier, with its `rules`.
        told: families and sequences, see `brainssl.data.families.pairs_of`.
    """
    own = images[images["image_id"].isin(val.frame["image_id"])]
    units = known_units(own, val.classes, told)
    pairs = dict(zip(val.classes, pairs_of(val.classes, told), strict=True))
    labels = dict(zip(val.frame["image_id"], val.frame["label"], strict=True))
    patients = units["patient"].of
    series = {image: key for image, key in units["series"].of.items() if image in patients}
    sequence = {key: pairs[labels[image]][1] for image, key in series.items()}
    patient = {key: patients[image] for image, key in series.items()}
    asked = asked_of(val, "patient", told)
    if not series or asked is None:
        return []
    together = fuse(asked, patients, rule_of(facts, "patient")[0])
    said = asked_of(fuse(val, series, rule_of(facts, "series")[0]), "patient", told)
    assert said is not None
    by_patient: dict[str, dict[str, Any]] = {}
    for key, shares in zip(said.frame["image_id"], said.probabilities(), strict=True):
        if sequence[key]:
            by_patient.setdefault(patient[key], {})[sequence[key]] = shares
    rows = zip(
        together.frame["image_id"], together.probabilities(), together.labels.tolist(), strict=True
    )
    return [
        Witnesses(by_patient[name], shares, truth)
        for name, shares, truth in sorted(rows, key=lambda row: str(row[0]))
        if len(by_patient.get(name, ())) > 1
    ]

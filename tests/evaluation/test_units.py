"""Units of labelled images, what is asked of them, and the rule that a classifier keeps."""

import numpy as np
import pandas as pd
import pytest

from brainssl.evaluation.patients import RULES, Rule
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.units import (
    asked_of,
    choose_rules,
    families_asked,
    known_units,
    rule_of,
)

CLASSES = ("a", "b", "c")
TOLD = {"a": ["Glioma", "FLAIR"], "b": ["Glioma", "DWI"], "c": ["Normal", ""]}


def images() -> pd.DataFrame:
    """Five patients with two slices of each of their classes; the last contradicts himself."""
    rows = [
        (f"{patient}{label}{i}", label, patient)
        for patient, own in (("v", "ab"), ("w", "c"), ("x", "ab"), ("y", "c"), ("z", "ac"))
        for label in own
        for i in (0, 1)
    ]
    return pd.DataFrame(rows, columns=["image_id", "label", "patient"])


def said(own: pd.DataFrame, right: float = 2.0, seed: int = 0) -> Predictions:
    labels = own["label"].map(CLASSES.index).to_numpy(np.int64)
    split = np.where(own["patient"].isin(["v", "w"]), "test", "val")
    noise = np.random.default_rng(seed).normal(0, 1, (len(own), 3))
    group = own["patient"].map("vwxyz".index).to_numpy(np.int64)
    return Predictions.build(
        own["image_id"].tolist(), group, split.tolist(), labels, noise + right * np.eye(3)[labels],
        CLASSES,
    )  # fmt: skip


def test_a_patient_is_of_one_family_and_a_series_of_one_sequence() -> None:
    units = known_units(images(), CLASSES, TOLD)
    assert units["patient"].conflicting == ("z",)
    assert set(units["patient"].of.values()) == {"v", "w", "x", "y"}
    assert units["series"].conflicting == ()
    assert set(units["series"].of.values()) == {
        *("v · FLAIR", "v · DWI", "w · c", "x · FLAIR", "x · DWI", "y · c", "z · FLAIR", "z · c")
    }
    # By their names alone a and b are families, too.
    assert known_units(images(), CLASSES)["patient"].conflicting == ("v", "x", "z")


def test_images_without_a_label_or_a_patient_are_no_ones() -> None:
    own = images()
    own.loc[own["patient"] == "w", "patient"] = None
    own.loc[own["patient"] == "y", "label"] = None
    units = known_units(own, CLASSES, TOLD)["patient"]
    assert (set(units.of.values()), units.unknown) == ({"v", "x"}, 2)
    assert known_units(own.drop(columns="patient"), CLASSES, TOLD)["patient"].of == {}


def test_patients_are_asked_of_families_that_differ() -> None:
    own = said(images())
    assert asked_of(own, "series", TOLD) is own
    people = asked_of(own, "patient", TOLD)
    assert people is not None
    p = own.probabilities()
    assert people.probabilities() == pytest.approx(
        np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1), abs=1e-6
    )
    assert asked_of(own, "patient") is own, "no sequence is known: the family is the class"
    assert families_asked(("Glioma T1", "Glioma T2")) is None
    one = {name: ["Glioma", ""] for name in CLASSES}
    assert asked_of(own, "patient", one) is None
    assert set(choose_rules(own, images(), one)) == {"series"}


def test_rules_are_chosen_on_validation_alone() -> None:
    own = images()
    chosen = choose_rules(said(own), own, TOLD)
    assert set(chosen) == {"patient", "series"}
    other = own.copy()
    tested = other["patient"].isin(["v", "w"])
    other.loc[tested, "label"] = other.loc[tested, "label"].map({"a": "c", "b": "c", "c": "a"})
    assert choose_rules(said(other, seed=0), other, TOLD) == chosen
    # Were labels of other parts looked at, this one would make a validation patient contradict
    # himself, and validation would have no patient left.
    straddling = own[own["patient"].isin(["v", "x"])].copy()
    straddling.loc[straddling["patient"] == "v", "label"] = "c"
    straddling["patient"] = "x"
    kept = own[own["patient"].isin(["v", "x"])]
    assert "patient" in choose_rules(said(kept), straddling, TOLD)
    assert choose_rules(said(own[tested]), own, TOLD) == {}


def test_a_file_holds_what_was_chosen() -> None:
    for rule in RULES:
        facts = {"rules": {"patient": {"scores": rule.scores, "surest": rule.surest}}}
        assert rule_of(facts, "patient") == (rule, True)
        assert rule_of(facts, "series") == (Rule("probabilities"), False)
    assert rule_of({}, "patient") == (Rule("probabilities"), False)

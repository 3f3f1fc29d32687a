"""Series and patients as units of a study: each answered once, by a rule from validation."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainssl.evaluation.predictions import Predictions
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.arms import Arm
from brainssl.studies.units import unit_rows

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Normal T2")
FEW = EvaluationSettings(draws=50)
PATIENTS, SLICES = 24, 6


def manifest(**changes: Any) -> pd.DataFrame:
    """Six slices a patient, three of each sequence; every second patient is healthy."""
    patient = np.repeat(np.arange(PATIENTS), SLICES)
    family = np.where(patient % 2, "Normal", "Glioma")
    sequence = np.tile(["T1", "T2"], PATIENTS * SLICES // 2)
    frame = pd.DataFrame(
        {
            "image_id": [f"image {n}" for n in range(PATIENTS * SLICES)],
            "label": [f"{f} {s}" for f, s in zip(family, sequence, strict=True)],
            "patient": [f"p{number:02}" for number in patient],
            "group": patient,
        }
    )
    return frame.assign(**changes)


def model(frame: pd.DataFrame, split: np.ndarray, seed: int = 0) -> Predictions:
    """Half of the slices of each patient are named rightly."""
    rng = np.random.default_rng(seed)
    labels = frame["label"].map(CLASSES.index).to_numpy()
    logits = rng.normal(0, 1, (len(frame), 4)) + np.eye(4)[labels]
    return Predictions.build(
        frame["image_id"].tolist(), frame["group"].to_numpy(), list(split), labels, logits, CLASSES
    )


def arm(*models: Predictions, folds: tuple[Arm, ...] = ()) -> Arm:
    return Arm("simclr", "linear", "grouped", 1.0, (0,), ("steps/x",), models, (0.5,), folds=folds)


def written(folder: Path, frame: pd.DataFrame) -> Path:
    (folder / "store").mkdir()
    frame.to_parquet(folder / "store" / "manifest.parquet")
    return folder


def test_each_series_and_each_patient_is_answered_once(tmp_path: Path) -> None:
    frame = manifest()
    split = np.where(frame["group"] < 12, "val", "test")
    own = model(frame, split)
    series, people = unit_rows(written(tmp_path, frame), [arm(own)], FEW)
    assert (series["unit"], series["n"], people["unit"], people["n"]) == (
        "series",
        24,
        "patient",
        12,
    )
    assert series["split"] == people["split"] == "test"
    assert (series["conflicting"], series["unknown"], series["fold"]) == (0, 0, None)
    assert (
        series["metrics"]["accuracy"] > (own.of("test").predicted == own.of("test").labels).mean()
    )


def test_folds_choose_by_themselves_and_are_joined(tmp_path: Path) -> None:
    frame = manifest()
    parts = []
    for number in range(3):
        tested, validated = frame["group"] % 3 == number, frame["group"] % 3 == (number + 1) % 3
        split = np.select([tested, validated], ["test", "val"], "train")
        parts.append(arm(model(frame, split, number)))
    whole = arm(Predictions.joined([one.models[0].of("test") for one in parts]), folds=tuple(parts))
    series, people = unit_rows(written(tmp_path, frame), [whole], FEW)
    assert (series["n"], people["n"]) == (48, 24)
    assert series["fold"] == people["fold"] == "all"


def test_units_that_two_folds_test_are_left_out_and_counted(tmp_path: Path) -> None:
    """Where sites are left out in turn, a patient may have been at two of them."""
    frame = manifest()
    first = (frame["group"] < 12) & ~((frame["group"] == 0) & (np.arange(len(frame)) >= 3))
    parts = []
    for tested in (first, ~first):
        split = np.where(tested, "test", np.where(frame["group"] % 5 == 3, "val", "train"))
        parts.append(arm(model(frame, split)))
    whole = arm(Predictions.joined([one.models[0].of("test") for one in parts]), folds=tuple(parts))
    series, people = unit_rows(written(tmp_path, frame), [whole], FEW)
    assert (people["n"], people["tested_twice"], people["conflicting"]) == (23, 1, 0)
    assert (series["n"], series["tested_twice"]) == (46, 2)


@pytest.mark.parametrize("known", [None, "some"])
def test_images_of_unknown_patients_are_counted(tmp_path: Path, known: str | None) -> None:
    frame = manifest()
    missing = np.ones(len(frame), bool) if known is None else (frame["group"] == 20).to_numpy()
    frame["patient"] = frame["patient"].where(~missing, None)
    split = np.where(frame["group"] < 12, "val", "test")
    rows = unit_rows(written(tmp_path, frame), [arm(model(frame, split))], FEW)
    if known is None:
        assert rows == []
    else:
        assert [(row["n"], row["unknown"]) for row in rows] == [(22, 6), (11, 6)]


def test_without_a_store_there_are_no_units(tmp_path: Path) -> None:
    frame = manifest()
    split = np.where(frame["group"] < 12, "val", "test")
    assert unit_rows(tmp_path, [arm(model(frame, split))], FEW) == []


def test_the_rule_is_that_of_validation_alone(tmp_path: Path) -> None:
    frame = manifest()
    split = np.where(frame["group"] < 12, "val", "test")
    own = model(frame, split)
    turned = own.frame.copy()
    tested = turned["split"] == "test"
    turned.loc[tested, turned.columns[4:]] = -turned.loc[tested, turned.columns[4:]]
    folder = written(tmp_path, frame)
    rules = [
        [row["rule"] for row in unit_rows(folder, [arm(one)], FEW)]
        for one in (own, Predictions(turned, CLASSES))
    ]
    assert rules[0] == rules[1]


def test_where_folds_part_patients_there_are_no_units(tmp_path: Path) -> None:
    """Under `image` nearly every patient is tested in several folds."""
    frame = manifest()
    parts = []
    for number in range(3):
        tested, validated = (np.arange(len(frame)) % 3 == (number + k) % 3 for k in (0, 1))
        split = np.select([tested, validated], ["test", "val"], "train")
        parts.append(arm(model(frame, split, number)))
    joined = Predictions.joined([one.models[0].of("test") for one in parts])
    folder = written(tmp_path, frame)
    whole = arm(joined, folds=tuple(parts))
    assert unit_rows(folder, [replace(whole, protocol="image")], FEW) == []
    assert unit_rows(folder, [whole], FEW) == [], "nor if it were called otherwise"


def test_where_no_sequence_is_known_patients_are_judged_by_class(tmp_path: Path) -> None:
    frame = manifest()
    told = {name: [name, ""] for name in CLASSES}
    alone = frame[frame["label"].isin(["Glioma T1", "Normal T2"])].reset_index(drop=True)
    split = np.where(alone["group"] < 12, "val", "test")
    rows = unit_rows(written(tmp_path, alone), [arm(model(alone, split))], FEW, told)
    series, people = rows
    assert (people["unit"], people["asked"], people["n"]) == ("patient", "class", 12)
    assert set(people["per_class"]) == set(CLASSES)
    assert series["asked"] == "class"


def test_a_patient_of_two_families_is_left_out_and_counted(tmp_path: Path) -> None:
    frame = manifest()
    frame.loc[frame["group"] == 20, "label"] = ["Glioma T1", "Glioma T2", "Normal T1"] * 2
    split = np.where(frame["group"] < 12, "val", "test")
    series, people = unit_rows(written(tmp_path, frame), [arm(model(frame, split))], FEW)
    assert (people["n"], people["conflicting"], people["asked"]) == (11, 1, "family")
    assert (series["n"], series["conflicting"]) == (23, 1)


def test_a_table_says_what_is_asked_of_patients(tmp_path: Path) -> None:
    """The healthy ones have no sequence: all their slices are one series by their label."""
    frame = manifest()
    told = dict(zip(CLASSES, (["G", "FLAIR"], ["G", "DWI"], ["N", ""], ["N", ""]), strict=True))
    split = np.where(frame["group"] < 12, "val", "test")
    folder = written(tmp_path, frame)
    series, people = unit_rows(folder, [arm(model(frame, split))], FEW, told)
    assert set(people["per_class"]) == {"G", "N"}
    assert (series["n"], people["n"]) == (24, 12)

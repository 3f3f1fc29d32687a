from pathlib import Path
from typing import Any

from brainssl.reporting.findings.model_evidence import (
    MODEL_EVIDENCE,
    chosen_row,
    recipe,
    stage_settings,
    where,
)
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study

SHARED = {"epochs": 20, "batch_size": 64, "learning_rate": 0.001}
STEP = "steps/finetune-byol-grouped-f1-s3"


def row(split: str = "test", **changed: Any) -> Row:
    recalls = {"a": 0.9, "b": 0.25, "c": None, "d": 0.5, "e": 0.125}
    raw = {
        "method": "byol",
        "stage": "finetune",
        "protocol": "grouped",
        "label_fraction": 1.0,
        "seed": 3,
        "split": split,
        "n": 1200,
        "metrics": {"accuracy": 0.6404, "f1_macro": 0.5, "ece": 0.1},
        "intervals": {"accuracy": [0.6, 0.68], "f1_macro": None, "ece": [0.05, 0.2]},
        "per_class": {c: {"recall": r, "support": 8.0} for c, r in recalls.items()},
        "step": STEP,
    }
    return Row.parse(raw | changed)


def study(*rows: Row, analysis: dict[str, Any] | None = None, **facts: Any) -> Study:
    chosen = {"best": {"step": STEP, "chosen_by": "macro F1"}}
    return Study(Path("nowhere"), chosen | facts, rows, {}, analysis or {})


def test_the_chosen_model_is_taken_on_the_test_split_alone() -> None:
    other = row(step="steps/other")
    assert chosen_row(study(row("val"), other, row())) == row()
    assert chosen_row(study(row("val"), other)) is None


def test_what_a_method_has_of_its_own_goes_before_what_all_have() -> None:
    settings = {"pretrain": SHARED, "byol": {"pretrain": {"learning_rate": 0.5}}}
    of = study(settings=settings)
    assert stage_settings(of, "byol", "pretrain") == SHARED | {"learning_rate": 0.5}
    assert stage_settings(of, "dino", "pretrain") == SHARED
    assert stage_settings(of, "byol", "finetune") == {}
    assert recipe(SHARED) == "20 epochs, batches of 64, learning rate 0.001"
    assert recipe({"epochs": 20}) == ""


def test_the_trainings_are_those_of_the_methods_and_of_the_baseline() -> None:
    settings = {
        "pretrain": SHARED,
        "finetune": SHARED | {"epochs": 5},
        "byol": {"pretrain": {"epochs": 9}},
    }
    told = MODEL_EVIDENCE["training"](study(settings=settings, methods=["byol"]))
    assert told.startswith("BYOL: pretraining 9 epochs, ")
    assert "; fine-tuning 5 epochs, " in told
    assert "Supervised baseline: 5 epochs, " in told


def test_scores_are_told_with_their_interval_and_where_they_were_measured() -> None:
    told = MODEL_EVIDENCE["performance"](study(row()))
    assert told == (
        "Accuracy 64.0 % (95 % interval 60.0–68.0), Macro F1 50.0 %, on "
        "1\u202f200 images of the test split, protocol “grouped”, seed 3."
    )
    assert where(row("val")).startswith("1\u202f200 images of the validation split")


def test_a_metric_whose_interval_means_nothing_is_not_said_to_have_one() -> None:
    told = MODEL_EVIDENCE["measures"](study(row(), settings={"evaluation": {"draws": 2000}}))
    assert told == (
        "Accuracy and Macro F1, with 95 % intervals of a cluster bootstrap from 2\u202f000 draws "
        "of whole groups; ECE without one."
    )


def test_the_classes_named_are_those_that_are_found_least() -> None:
    told = MODEL_EVIDENCE["weakest"](study(row()))
    assert told.startswith(
        "Lowest recall: e 12.5 % of 8 images, b 25.0 % of 8 images, d 50.0 % of 8 images."
    )


def test_nothing_is_said_of_a_study_without_facts() -> None:
    empty = Study(Path("nowhere"), {}, ())
    assert {told(empty) for told in MODEL_EVIDENCE.values()} == {""}

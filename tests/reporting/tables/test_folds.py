"""The table of folds, and what a study with folds is read as."""

import json
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.findings.answer import where_tested
from brainssl.reporting.findings.cautions import cautions
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.sections.run import content
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.tables.folds import folds_table
from brainssl.reporting.tables.results import counts_table, main_table
from brainssl.reporting.trainings import trainings

SCORES = {
    ("simclr", "finetune"): {1: 0.2, 2: 0.6, "all": 0.4},
    ("supervised", "supervised"): {1: 0.3, 2: 0.5, "all": 0.41},
}


def rows(fraction: float | str) -> list[dict[str, Any]]:
    found = []
    for (method, stage), scores in SCORES.items():
        for fold, score in scores.items():
            name = stage if stage == method else f"{stage}-{method}"
            step = f"steps/{name}-grouped-k{fold}of2-f{fraction}-s0"
            if fold == "all":
                step = f"pooled/{method}-{stage}-grouped-f{fraction}-s0"
            place = {"protocol": "grouped", "label_fraction": fraction, "seed": 0, "fold": fold}
            metrics = {"accuracy": score, "f1_macro": score}
            if fold != "all" and fraction == 1.0:
                place |= {"val_loss": 2.9 if fold == 2 else 0.4, "uniform_loss": 0.7, "epochs": 3}
                place |= {"label_share": 0.5, "labelled": 5 + fold}
            intervals = {"accuracy": [score - 0.1, score + 0.1]}
            found += [
                {"method": method, "stage": stage, **place, "split": split, "n": 10, "step": step}
                | {"metrics": metrics, "intervals": intervals}
                for split in ("val", "test")
            ]
    return found


@pytest.fixture
def study(tmp_path: Path) -> Study:
    facts = {
        "methods": ["simclr"],
        "protocols": ["grouped"],
        "seed": 0,
        "seeds": 1,
        "folds": {"number": 2, "column": None, "values": None},
        "best": {"step": "steps/finetune-simclr-grouped-k2of2-f1.0-s0"},
        "splits": {
            "grouped": {
                "images": {"train": 12, "test": 20},
                "groups": {"test": 9},
                "digest": "all",
                "file": "splits/grouped-k1of2.json",
                "folds": [
                    {"file": f"splits/grouped-k{n}of2.json", "digest": f"{n}" * 64} for n in (1, 2)
                ],
            }
        },
    }
    held = {"study": facts, "rows": [*rows(1.0), *rows("8-shot")], "analysis": {}}
    (tmp_path / "results.json").write_text(json.dumps(held), "utf-8")
    for name in ("pretrain-simclr-grouped-k2of2-s0", "pretrain-simclr-grouped-s0"):
        (tmp_path / "steps" / name).mkdir(parents=True)
    return read_study(tmp_path)


def test_single_folds_stand_beside_the_pool(study: Study) -> None:
    table = folds_table(study, "grouped")
    assert table.columns == ("Fold 1", "Fold 2", "Pooled")
    assert [(line.headers[0], *(cell.text for cell in line.cells)) for line in table.lines] == [
        ("SimCLR, fine-tuned", "20.0", "60.0", "40.0"),
        ("Supervised baseline", "30.0", "50.0", "41.0"),
    ]
    assert "no standard error" in table.caption


def test_values_that_are_left_out_name_their_folds(study: Study) -> None:
    facts = study.facts | {"folds": {"number": 2, "column": "site", "values": ["A", "B"]}}
    named = Study(study.folder, facts, study.rows, of_folds=study.of_folds)
    assert folds_table(named, "grouped").columns == ("A", "B", "Pooled")


def test_a_study_with_folds_speaks_of_what_is_pooled(study: Study) -> None:
    assert study.folds == 2
    assert {row.step.split("/")[0] for row in study.rows} == {"pooled"}
    assert {row.fold for row in study.of_folds} == {1, 2}
    assert [len(arm.rows) for arm in study.arms("grouped")] == [1] * 4
    assert "20 test images of 9 groups, each tested once in 2 folds" in where_tested(study)


def test_the_classifier_of_a_fold_is_measured_by_all(study: Study) -> None:
    assert chosen_step(study) == "pooled/simclr-finetune-grouped-f1.0-s0"


def test_only_the_trainings_of_its_folds_belong_to_a_study(study: Study) -> None:
    [training] = trainings(study)
    assert training.fold == 2
    assert training.title == "SimCLR, fold 2, seed 0"


def test_what_is_of_the_first_fold_is_told_from_what_is_of_all(study: Study) -> None:
    told = {key: value for block in content(study) for key, value in getattr(block, "pairs", ())}
    assert told["Training, first fold"] == "12 images"
    assert told["Test, all folds"] == "20 images of 9 groups"
    assert told["Digest of all folds"] == "all"
    assert told["Fold 2"] == "splits/grouped-k2of2.json, digest 222222222222"
    assert "File" not in told


def test_what_single_trainings_tell_is_not_lost_in_the_pool(study: Study) -> None:
    """Losses and labels are of the folds: what is pooled has none."""
    [caution] = [c.text for c in cautions(study) if "same probability" in c.text]
    assert caution.startswith("The best validation loss of 2 of 4 trainings")
    assert "SimCLR, fine-tuned, fold 2" in caution
    assert "fold 1" not in caution
    assert "100\u00a0% are 6 to 7 images" in main_table(study, "grouped").caption


def test_the_choice_on_validation_is_by_the_mean_of_the_folds(study: Study) -> None:
    scores = study.validated("grouped", "f1_macro")
    assert scores["simclr", "", "finetune", 1.0] == pytest.approx(0.4)
    assert scores["supervised", "", "supervised", 1.0] == pytest.approx(0.4)


def test_training_and_validation_of_one_fold_are_not_added_to_what_all_folds_test(
    study: Study,
) -> None:
    counts = {"train": {"a": 6}, "val": {"a": 4}, "test": {"a": 20}}
    facts = study.facts | {"classes": ["a"], "splits": {"grouped": {"counts": counts}}}
    table = counts_table(Study(study.folder, facts, study.rows, of_folds=study.of_folds), "grouped")
    heads = ("Training, first fold", "Validation, first fold", "Test, all folds", "All")
    assert table.columns == heads
    assert [cell.text for cell in table.lines[0].cells] == ["6", "4", "20", "20"]
    alone = Study(study.folder, facts | {"folds": None}, study.rows)
    assert counts_table(alone, "grouped").lines[0].cells[-1].text == "30"

import json
from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.blocks import Choice, Facts
from brainssl.reporting.results import arm_title, read_study
from brainssl.reporting.sections import read_published, sections


def test_sections_come_in_the_order_of_a_readers_questions(study: Path) -> None:
    assert [section.name for section in sections(read_study(study))] == [
        "answer",
        "cautions",
        "run",
        "results",
        "efficiency",
        "models",
        "losses",
        "data",
        "settings",
        "published",
    ]


def test_several_protocols_stand_side_by_side(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], protocols=["grouped", "image"], extras=False)
    assert "protocols" in [section.name for section in sections(read_study(folder))]


def test_the_model_shown_first_is_the_best_on_validation(study: Path) -> None:
    read = read_study(study)
    rows = [row for arm in read.arms("grouped", "val") for row in arm.rows]
    best = max(rows, key=lambda row: row.metrics["f1_macro"] or 0.0)
    (models,) = (section for section in sections(read) if section.name == "models")
    choice = next(block for block in models.blocks if isinstance(block, Choice))
    title = f"{arm_title(best.method, best.stage)}, 100\u00a0% of labels, seed {best.seed}"
    assert choice.panels[0].title == title
    assert len({panel.name for panel in choice.panels}) == len(read.arms("grouped")) == 8


def test_a_choice_that_the_study_made_is_kept(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b", "c"], fractions=[1.0])
    path = folder / "results.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["study"]["best"] = {
        "classifier": "steps/x/classifier.safetensors",
        "chosen_by": "macro F1 on the validation set",
        "step": "steps/linear-simclr-grouped-f1-s1",
    }
    path.write_text(json.dumps(raw), encoding="utf-8")
    found = {section.name: section for section in sections(read_study(folder))}
    choice = next(block for block in found["models"].blocks if isinstance(block, Choice))
    assert choice.panels[0].title == "SimCLR, linear probe, 100\u00a0% of labels, seed 1"
    facts = next(block for block in found["run"].blocks if isinstance(block, Facts))
    assert dict(facts.pairs)["Classifier"].startswith("steps/x/classifier.safetensors, chosen by")


def test_many_classes_leave_fewer_models_to_look_at(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=[f"class {i}" for i in range(44)], seeds=1)
    (models,) = (s for s in sections(read_study(folder)) if s.name == "models")
    choice = next(block for block in models.blocks if isinstance(block, Choice))
    assert len(choice.panels) == 4


def test_published_numbers_are_those_of_the_study() -> None:
    published = read_published()
    tables = {table["name"]: table for table in published["tables"]}
    assert list(tables) == [f"Table {i}" for i in range(4, 9)]
    assert all(table["measured_on"] for table in tables.values())
    by_method = {row["method"]: row for row in tables["Table 6"]["rows"]}
    assert by_method["SimCLR"] == {
        "method": "SimCLR",
        "accuracy": 97.27,
        "precision": 0.9738,
        "recall": 0.9726,
        "f1": 0.9727,
    }
    assert "training" in tables["Table 5"]["measured_on"]

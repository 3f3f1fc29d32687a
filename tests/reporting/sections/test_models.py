import json
from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.assembly import sections
from brainssl.reporting.blocks import Choice, Facts, Prose
from brainssl.reporting.study import read_study
from brainssl.reporting.titles import arm_title


def test_the_model_shown_first_is_the_best_on_validation(study: Path) -> None:
    read = read_study(study)
    rows = [row for arm in read.arms("grouped", "val") for row in arm.rows]
    best = max(rows, key=lambda row: row.metrics["f1_macro"] or 0.0)
    (models,) = (section for section in sections(read) if section.name == "models")
    choice = next(block for block in models.blocks if isinstance(block, Choice))
    title = f"{arm_title(best.method, best.stage)}, 100\u00a0% of labels, seed {best.seed}"
    assert choice.panels[0].title == title
    assert not any("not shown" in b.paragraphs[0] for b in models.blocks if isinstance(b, Prose))
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
    prose = next(block for block in models.blocks if isinstance(block, Prose))
    assert "4 further models are not shown" in prose.paragraphs[0]
    # The one that was chosen comes first, then those of all labels.
    assert all("100\u00a0% of labels" in panel.title for panel in choice.panels[1:])


def test_the_first_protocol_is_shown_whole_and_the_others_in_turn(
    make_study: Callable[..., Path],
) -> None:
    """Of 12 models 8 have room: 4 of the first protocol, 2 of each other, of all labels."""
    classes = [f"class {i}" for i in range(31)]
    protocols = ["grouped", "image", "paper"]
    folder = make_study(classes=classes, protocols=protocols, seeds=1, fractions=[1.0])
    (models,) = (s for s in sections(read_study(folder)) if s.name == "models")
    choice = next(block for block in models.blocks if isinstance(block, Choice))
    shown = [panel.title.rpartition(", ")[2] for panel in choice.panels]
    assert shown == [*["grouped"] * 4, "image", "paper", "image", "paper"]
    prose = next(block for block in models.blocks if isinstance(block, Prose))
    assert "4 further models are not shown" in prose.paragraphs[0]

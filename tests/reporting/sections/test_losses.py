import json
import shutil
from pathlib import Path
from typing import Any

from brainssl.reporting.blocks import Multiples, Prose
from brainssl.reporting.figures.figure import Figure
from brainssl.reporting.sections.losses import content
from brainssl.reporting.study import read_study
from brainssl.reporting.trainings import histories


def _blocks(folder: Path) -> list[Multiples]:
    blocks = content(read_study(folder))
    return [block for block in blocks if isinstance(block, Multiples)]


def _lines(figure: Figure) -> list[dict[str, Any]]:
    return [t for t in json.loads(figure.specification)["data"] if t["mode"] == "lines"]


def test_a_stage_without_histories_has_no_loss_curve(study: Path) -> None:
    titles = [block.title for block in _blocks(study)]
    assert titles == ["Pretraining", "Fine-tuning and supervised training"]


def test_what_has_no_curve_is_said_in_words(study: Path, tmp_path: Path) -> None:
    def said(folder: Path) -> str:
        blocks = content(read_study(folder))
        return " ".join(text for b in blocks if isinstance(b, Prose) for text in b.paragraphs)

    assert "Pretraining has a training loss only" in said(study)
    assert "kNN accuracy of the sentinel" in said(study)
    assert "no epochs, and hence no curve" in said(study)
    # Probes by AdamW have a curve, and nothing needs saying.
    copy = Path(shutil.copytree(study, tmp_path / "adamw"))
    results = json.loads((copy / "results.json").read_text("utf-8"))
    results["study"]["settings"]["probe"] = {"solver": "adamw"}
    (copy / "results.json").write_text(json.dumps(results), encoding="utf-8")
    history = next(copy.glob("steps/finetune-*/history.csv"))
    for step in copy.glob("steps/linear-*"):
        shutil.copy(history, step / "history.csv")
    assert "no epochs" not in said(copy)
    titles = [block.title for block in _blocks(copy)]
    assert titles == ["Pretraining", "Linear probes", "Fine-tuning and supervised training"]
    for file in copy.glob("steps/*/history.csv"):
        file.unlink()
    assert said(copy) == ""


def test_every_training_has_its_line(study: Path) -> None:
    pretraining, training = _blocks(study)
    found = list(histories(read_study(study)))
    drawn = [trace["y"] for figure in pretraining.figures for trace in _lines(figure)]
    losses = [h.train_loss for h in found if h.training.stage == "pretrain"]
    assert drawn == [[round(loss or 0, 5) for loss in own] for own in losses]
    labels = [figure.key.label for figure in training.figures if figure.key]
    assert labels == [
        f"{percent}\u00a0% of labels, {part}"
        for percent in (10, 100)
        for part in ("training", "validation")
    ]
    for figure, fraction, validated in zip(
        training.figures, (0.1, 0.1, 1.0, 1.0), (False, True) * 2, strict=True
    ):
        own = [h for h in found if h.training.label_fraction == fraction]
        losses = [h.val_loss if validated else h.train_loss for h in own]
        assert len(own) == 4
        assert [trace["y"] for trace in _lines(figure)] == [
            [round(loss or 0, 5) for loss in each] for each in losses
        ]


def test_methods_share_a_panel_where_they_share_a_loss(grid: Path) -> None:
    pretraining, training = _blocks(grid)
    assert [len(_lines(figure)) for figure in pretraining.figures] == [2] * 6
    assert [len(_lines(figure)) for figure in training.figures] == [2 * 7] * 8
    assert [key.label for key in training.keys][-1] == "Supervised baseline"
    assert len(training.keys) == 7

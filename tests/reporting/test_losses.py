import json
from pathlib import Path
from typing import Any

from brainssl.reporting.blocks import Multiples
from brainssl.reporting.figures import Figure
from brainssl.reporting.losses import loss_section
from brainssl.reporting.results import read_study
from brainssl.reporting.trainings import histories


def _blocks(folder: Path) -> list[Multiples]:
    blocks = loss_section(read_study(folder)).blocks
    return [block for block in blocks if isinstance(block, Multiples)]


def _lines(figure: Figure) -> list[dict[str, Any]]:
    return [t for t in json.loads(figure.specification)["data"] if t["mode"] == "lines"]


def test_a_stage_without_histories_has_no_loss_curve(study: Path) -> None:
    titles = [block.title for block in _blocks(study)]
    assert titles == ["Pretraining", "Fine-tuning and supervised training"]


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

"""The section on what a search chose."""

import json
from collections.abc import Callable
from pathlib import Path

from brainssl.reporting.blocks import Fold, Prose
from brainssl.reporting.sections.tuning import content
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table


def searched(folder: Path) -> Path:
    """Give a made-up study searches of two seeds, one trial of which failed."""
    held = json.loads((folder / "results.json").read_text())
    rate = {"finetune.learning_rate": 0.002, "finetune.warmup_epochs": 0.5, "finetune.epochs": 5}
    searches = [
        {
            "step": f"steps/tuned2-supervised-grouped-f1-s{seed}",
            "method": "supervised",
            "stage": "supervised",
            "protocol": "grouped",
            "fold": None,
            "label_fraction": 1.0,
            "seed": seed,
            "chosen": chosen,
            "val_images": 60,
            "tried": [
                {"trial": 1, "changed": {}, "val_nll": 0.9, "temperature": 1.0},
                {"trial": 2, "changed": rate, "val_nll": loss, "error": "diverged"},
            ],
        }
        for seed, chosen, loss in ((0, 2, 0.3), (1, 1, None))
    ]
    held["study"]["tuning"] = {"trials": 2, "searches": searches}
    (folder / "results.json").write_text(json.dumps(held))
    return folder


def cells(table: Table) -> list[list[str]]:
    return [[*line.headers, *(cell.text for cell in line.cells)] for line in table.lines]


def test_an_arm_has_a_line_and_every_trial_one_behind_a_fold(
    make_study: Callable[..., Path],
) -> None:
    study = read_study(searched(make_study(classes=["a", "b"], fractions=[1.0])))
    prose, chosen, fold = content(study)
    assert isinstance(chosen, Table)
    assert cells(chosen) == [
        ["100\u00a0%", "Supervised baseline", "2", "2", "trial 1", "as given", "0.900", "0.600"]
    ]
    assert chosen.lines[0].cells[2].detail == "1 of 2"
    assert isinstance(fold, Fold)
    (table,) = fold.blocks
    assert isinstance(table, Table)
    told = "finetune.learning_rate 0.002, finetune.epochs 5"
    assert cells(table) == [
        ["100\u00a0%", "Supervised baseline", "1", "as given", "0.900", "1", "–"],
        ["100\u00a0%", "Supervised baseline", "2", told, "0.300", "1", "1"],
    ]
    assert table.lines[1].cells[3].detail == "diverged"
    assert isinstance(prose, Prose)
    text = " ".join(prose.paragraphs)
    assert "2 searches in all" in text
    assert "one validation set of 60 images" in text
    assert "1 trial failed" in text


def test_protocols_are_named_where_there_are_several(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], protocols=["grouped", "image"])
    _, chosen, _ = content(read_study(searched(folder)))
    assert isinstance(chosen, Table)
    assert chosen.stub == ("Labels", "Protocol", "Model")
    assert chosen.lines[0].headers == ("100\u00a0%", "grouped", "Supervised baseline")


def test_without_a_search_there_is_no_section(study: Path) -> None:
    assert content(read_study(study)) == ()

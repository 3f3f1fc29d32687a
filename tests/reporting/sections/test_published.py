"""Published numbers are quoted as printed, and a study's own stand beside what they answer to."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brainssl.reporting.blocks import Prose
from brainssl.reporting.sections.published import content, read_published
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table

# What each published table is set against: stage and split.
AGAINST = {
    "Table 4": ("linear", "test"),
    "Table 5": ("finetune", "train"),
    "Table 6": ("finetune", "test"),
    "Table 7": ("finetune", "val"),
}


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
    assert {
        name: (table["stage"], table["split"]) for name, table in tables.items() if "stage" in table
    } == AGAINST


@pytest.fixture(scope="module")
def folder(make_study: Callable[..., Path]) -> Path:
    return make_study(
        classes=["a", "b", "c"],
        methods=["simclr", "dino", "nnclr"],
        protocols=["grouped", "paper"],
        extras=False,
    )


def tables_of(folder: Path) -> dict[str, Table]:
    blocks = content(read_study(folder))
    return {b.caption.partition(" of")[0]: b for b in blocks if isinstance(b, Table)}


@pytest.mark.parametrize("name", AGAINST)
@pytest.mark.parametrize("protocol", ["grouped", "paper"])
def test_own_numbers_stand_below_those_of_the_same_method(
    folder: Path, name: str, protocol: str
) -> None:
    rows = json.loads((folder / "results.json").read_text(encoding="utf-8"))["rows"]
    table, (stage, split) = tables_of(folder)[name], AGAINST[name]
    lines = {line.headers: [cell.text for cell in line.cells] for line in table.lines}
    for method, title in (("simclr", "SimCLR"), ("dino", "DINO")):
        own = [
            row["metrics"]
            for row in rows
            if (row["method"], row["stage"], row["split"]) == (method, stage, split)
            if (row["protocol"], row["label_fraction"]) == (protocol, 1.0)
        ]
        assert len(own) == 2
        names = ("accuracy", "precision_macro", "recall_macro", "f1_macro")
        means = [statistics.fmean(metrics[m] for metrics in own) for m in names]
        *numbers, measured = lines[title, f"this study, “{protocol}”"]
        assert numbers == [f"{100 * means[0]:.2f}", *(f"{mean:.4f}" for mean in means[1:])]
        word = {"train": "training", "val": "validation", "test": "test"}[split]
        assert measured == f"{word}, “{protocol}”, 2 seeds"


def test_every_line_says_what_it_was_measured_on(folder: Path) -> None:
    for table in tables_of(folder).values():
        assert table.columns[-1] == "Measured on"
        assert all(line.cells[-1].text for line in table.lines)
    table = tables_of(folder)["Table 5"]
    assert table.lines[0].cells[-1].text == "not stated; most likely training"
    assert [line.headers[0] for line in table.lines].count("SimCLR") == 3
    # What was not published, or not run, has no line.
    assert [line.headers[0] for line in table.lines].count("BYOL") == 1
    assert "NNCLR" not in {line.headers[0] for line in table.lines}


def test_earlier_studies_are_only_quoted(folder: Path) -> None:
    table = tables_of(folder)["Table 8"]
    assert {line.headers[1] for line in table.lines} == {"published"}
    assert "this study" not in table.caption


def test_a_study_without_these_methods_shows_what_was_published(
    make_study: Callable[..., Path],
) -> None:
    other = make_study(classes=["a", "b"], methods=["nnclr"], extras=False)
    before: list[Any] = read_published()["tables"]
    for table, source in zip(tables_of(other).values(), before, strict=True):
        assert len(table.lines) == len(source["rows"])
    (prose,) = (b for b in content(read_study(other)) if isinstance(b, Prose))
    assert "other images under another protocol" in prose.paragraphs[0]

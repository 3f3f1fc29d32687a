import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brainssl.data.shots import Shots
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.results import (
    class_table,
    confusion_table,
    counts_table,
    full_tables,
    main_table,
    overview_table,
    protocol_table,
)
from brainssl.reporting.wording import HEADLINE, METRICS


def test_main_table_has_a_line_for_the_mean_and_one_for_each_seed(study: Path) -> None:
    table = main_table(read_study(study), "grouped")
    assert [line.kind for line in table.lines] == ["mean", "seed", "seed"] * 8
    assert [line.start for line in table.lines].count(True) == 2
    for line in table.lines:
        for cell in line.cells:
            assert ("±" in cell.detail) == (line.kind == "mean")
    assert "Test split" in table.caption
    assert "grouped" in table.caption


def test_what_label_fractions_came_to_stands_below_the_main_table(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], fractions=[Shots(4), 0.1, 1.0], extras=False)
    file = folder / "results.json"
    raw = json.loads(file.read_text(encoding="utf-8"))
    for row in raw["rows"]:
        if row["label_fraction"] == 0.1:
            share = 0.1 + 0.003 * row["seed"]
            row |= {"label_share": share, "labelled": round(1200 * share)}
    file.write_text(json.dumps(raw), encoding="utf-8")
    table = main_table(read_study(folder), "grouped")
    assert table.caption.endswith(
        "Labels used: 4 a class are 8 images (2.7\u00a0%); "
        "10\u00a0% are 120 to 124 images (10 to 10.3\u00a0%)."
    )
    assert [line.headers[0] for line in table.lines if line.start] == [
        "4 a class",
        "10\u00a0%",
        "100\u00a0%",
    ]
    for row in raw["rows"]:
        del row["label_share"], row["labelled"]
    file.write_text(json.dumps(raw), encoding="utf-8")
    assert "Labels used" not in main_table(read_study(folder), "grouped").caption


def test_main_table_of_one_seed_shows_no_spread(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], seeds=1, fractions=[1.0], extras=False)
    table = main_table(read_study(folder), "grouped")
    assert {line.kind for line in table.lines} == {"seed"}


def test_full_tables_hold_every_metric_of_every_row(study: Path) -> None:
    raw = json.loads((study / "results.json").read_text(encoding="utf-8"))["rows"]
    percent, other = full_tables(read_study(study), "grouped", "val")
    rows = {
        (row["method"], row["stage"], row["label_fraction"], str(row["seed"])): row
        for row in raw
        if row["split"] == "val"
    }
    assert len(percent.lines) == len(other.lines) == len(rows)
    assert percent.columns + other.columns == tuple(metric.title for metric in METRICS)
    first = rows["untrained", "linear", 0.1, "0"]
    cells = percent.lines[0].cells + other.lines[0].cells
    for metric, cell in zip(METRICS, cells, strict=True):
        value = first["metrics"][metric.name]
        expected = f"{100 * value:.1f}" if metric.percent else f"{value:.3f}"
        assert cell.text.replace("−", "-") == expected
        assert bool(cell.detail) == (metric.name != "ece")
    assert "the ECE has none" not in percent.caption
    assert "the ECE has none" in other.caption


def test_overview_sets_models_against_label_fractions(study: Path) -> None:
    read = read_study(study)
    table = overview_table(read, "grouped", HEADLINE)
    assert table.columns == ("10\u00a0%", "100\u00a0%")
    arms = {(arm.title, arm.label_fraction): arm for arm in read.arms("grouped")}
    assert [line.headers[0] for line in table.lines] == [
        "Untrained encoder, linear probe",
        "SimCLR, linear probe",
        "SimCLR, fine-tuned",
        "Supervised baseline",
    ]
    for line in table.lines:
        for fraction, cell in zip((0.1, 1.0), line.cells, strict=True):
            arm = arms[line.headers[0], fraction]
            assert float(cell.text) == pytest.approx(100 * (arm.mean("accuracy") or 0), abs=0.051)
            assert cell.detail.startswith("± ")


def test_protocol_table_gives_the_difference_in_points(make_study: Callable[..., Path]) -> None:
    folder = make_study(
        classes=["a", "b", "c"], protocols=["grouped", "image"], seeds=1, extras=False
    )
    read = read_study(folder)
    table = protocol_table(read, HEADLINE)
    assert table.columns == ("grouped", "image", "image − grouped, points")
    for line, grouped, image in zip(
        table.lines, read.arms("grouped"), read.arms("image"), strict=True
    ):
        gap = 100 * ((image.mean("accuracy") or 0) - (grouped.mean("accuracy") or 0))
        said = float(line.cells[2].text.replace("−", "-").replace("+", ""))
        assert said == pytest.approx(gap, abs=0.051)


def test_confusion_table_gives_counts_and_their_share_of_the_row() -> None:
    table = confusion_table(np.array([[3, 1], [0, 0]]), ["a", "b"], "m", "model")
    first, empty = table.lines
    assert [(cell.text, cell.detail) for cell in first.cells] == [
        ("3", "75 %"),
        ("1", "25 %"),
        ("4", ""),
    ]
    assert [cell.text for cell in empty.cells] == ["·", "·", "0"]
    assert first.cells[0].shade == pytest.approx(0.75)


def test_column_heads_that_were_cut_alike_keep_their_own_names() -> None:
    names = ["Outros Tipos de Lesões (Abscessos, Cistos, Diversas) T1", "x" * 50, "x" * 51]
    table = confusion_table(np.eye(3, dtype=np.int64), names, "m", "model")
    assert [line.cells[i].title for i, line in enumerate(table.lines)] == [
        f"→ {name}" for name in names
    ]


def test_class_table_shows_missing_scores_as_a_dash(study: Path) -> None:
    row = read_study(study).rows[0]
    per_class = {"a": {"support": 0, "precision": None, "intervals": {"precision": None}}}
    empty = type(row)(**{**row.__dict__, "per_class": per_class})
    table = class_table(empty, ["a"], "t", "model")
    assert [cell.text for cell in table.lines[0].cells] == ["0", "–"]


def test_counts_add_up(study: Path) -> None:
    table = counts_table(read_study(study), "grouped")
    *classes, total = table.lines
    for column in range(4):
        numbers = [int(line.cells[column].text) for line in classes]
        assert sum(numbers) == int(total.cells[column].text)
    assert [cell.text for cell in total.cells] == ["300", "60", "120", "480"]

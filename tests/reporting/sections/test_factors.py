"""Family, sequence and planes apart: each number is the one that was measured."""

from dataclasses import replace
from pathlib import Path

from brainssl.reporting.blocks import flat
from brainssl.reporting.sections.factors import content
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table


def measured(accuracy: float) -> dict[str, dict[str, object]]:
    return {
        "metrics": {"accuracy": accuracy, "balanced_accuracy": accuracy / 2},
        "intervals": {"accuracy": [accuracy - 0.05, accuracy + 0.05], "balanced_accuracy": None},
    }


def test_each_model_has_a_line(study: Path) -> None:
    read = read_study(study)
    steps = [r.step for r in read.rows if (r.label_fraction, r.split) == (1.0, "test")]
    models = {
        step: {"factors": {"family": measured(0.4 + i / 100), "sequence": measured(0.8)}}
        for i, step in enumerate(steps)
    }
    (table, _) = flat(content(replace(read, analysis={"models": models})))
    assert isinstance(table, Table)
    assert table.columns[1] == "Tumour family: accuracy"
    assert len(table.lines) == len(steps)
    shown = {(line.headers, line.cells[1].text, line.cells[1].detail) for line in table.lines}
    first = next(r for r in read.rows if r.step == steps[0])
    assert first.method == "simclr"
    assert (("SimCLR, linear probe", "0"), "40.0", "35.0–45.0") in shown
    assert all(line.cells[2].detail == "" for line in table.lines)


def test_planes_stand_in_a_table_of_their_own(study: Path) -> None:
    read = read_study(study)
    steps = [r.step for r in read.rows if (r.label_fraction, r.split) == (1.0, "test")]
    planes = {
        "axial": {"n": 90, "accuracy": 0.75, "interval": [0.7, 0.8]},
        "coronal": {"n": 1, "accuracy": 0.5, "interval": None},
    }
    models = {step: {"factors": {}, "planes": planes} for step in steps}
    (_, table) = flat(content(replace(read, analysis={"models": models})))
    assert isinstance(table, Table)
    assert table.columns == ("axial (90 images)", "coronal (1 image)")
    assert len(table.lines) == len(steps)
    assert {tuple((c.text, c.detail) for c in line.cells) for line in table.lines} == {
        (("75.0", "70.0–80.0"), ("50.0", ""))
    }


def test_classes_that_are_no_pairs_have_no_factors(study: Path) -> None:
    read = read_study(study)
    models = {row.step: {"factors": {}} for row in read.rows}
    assert content(replace(read, analysis={"models": models})) == ()

"""Family and sequence apart: each number is the one that was measured."""

from dataclasses import replace
from pathlib import Path

from brainssl.reporting.factors import factor_section
from brainssl.reporting.results import read_study
from brainssl.reporting.tables import Table


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
    (_, table) = factor_section(replace(read, analysis={"models": models})).blocks
    assert isinstance(table, Table)
    assert table.columns[1] == "Tumour family: accuracy"
    assert len(table.lines) == len(steps)
    shown = {(line.headers, line.cells[1].text, line.cells[1].detail) for line in table.lines}
    first = next(r for r in read.rows if r.step == steps[0])
    assert first.method == "simclr"
    assert (("SimCLR, linear probe", "0"), "40.0", "35.0–45.0") in shown
    assert all(line.cells[2].detail == "" for line in table.lines)


def test_classes_that_are_no_pairs_have_no_factors(study: Path) -> None:
    read = read_study(study)
    models = {row.step: {"factors": {}} for row in read.rows}
    assert factor_section(replace(read, analysis={"models": models})).blocks == ()

"""Tables and figures of certainty show what was measured."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from brainssl.evaluation.calibration import calibration
from brainssl.evaluation.conformal import conformal
from brainssl.evaluation.selective import risk_coverage
from brainssl.reporting.blocks import Columns, Fold
from brainssl.reporting.figures.figure import Figure
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.sections.certainty import content
from brainssl.reporting.study import Study, read_study
from brainssl.reporting.tables.table import Table


@pytest.fixture(scope="module")
def analysed(study: Path) -> Study:
    read, models = read_study(study), {}
    for row in read.rows:
        if row.split == "test" and row.label_fraction == 1.0 and row.method != "untrained":
            val, test = (read.predictions(replace(row, split=s)) for s in ("val", "test"))
            assert val is not None
            assert test is not None
            models[row.step] = {
                "calibration": calibration(val, test),
                "conformal": conformal(val, test, draws=50),
                "selective": risk_coverage(test),
            }
    return replace(read, analysis={"models": models})


def blocks_of(study: Study) -> tuple[dict[str, Table], list[Figure]]:
    blocks = content(study)
    inner = [b for fold in blocks if isinstance(fold, Fold) for b in fold.blocks]
    tables = {b.name: b for b in [*blocks, *inner] if isinstance(b, Table)}
    (pair,) = (b for b in blocks if isinstance(b, Columns))
    return tables, [b for b in pair.blocks if isinstance(b, Figure)]


def test_each_model_has_its_scores_before_and_after(analysed: Study) -> None:
    tables, _ = blocks_of(analysed)
    lines = tables["calibration"].lines
    assert len(lines) == len(analysed.analysis["models"]) == 6
    rows = {(r.method, r.stage, r.seed): r.step for r in analysed.rows if r.label_fraction == 1}
    found = analysed.analysis["models"][rows["supervised", "supervised", 1]]["calibration"]
    line = next(li for li in lines if li.headers == ("Supervised baseline", "1"))
    expected = [found["temperature"]]
    for name in ("nll", "brier", "ece", "classwise_ece"):
        expected += [found["before"][name], found["after"][name]]
    assert [cell.text for cell in line.cells] == [f"{value:.3f}" for value in expected]


def test_the_worst_class_is_told_beside_the_average(analysed: Study) -> None:
    tables, _ = blocks_of(analysed)
    for line, found in zip(
        tables["coverage"].lines, analysed.analysis["models"].values(), strict=True
    ):
        sets = found["conformal"]
        known = [c["coverage"] for c in sets["per_class"].values() if c["coverage"] is not None]
        assert line.cells[0].text == f"{100 * sets['coverage']:.1f}"
        assert line.cells[1].text == f"{100 * min(known):.1f}"
        assert line.cells[2].text == f"{sets['mean_size']:.1f}"
    assert len(tables["coverage-classes"].lines) == len(analysed.classes)


def test_the_diagram_shows_the_bins(analysed: Study) -> None:
    _, (diagram, curve) = blocks_of(analysed)
    models = analysed.analysis["models"]
    shown, first = models[chosen_step(analysed)], next(iter(models.values()))
    _, before, after = json.loads(diagram.specification)["data"]
    for trace, name in ((before, "before"), (after, "after")):
        bins = shown["calibration"][name]["bins"]
        assert trace["x"] == pytest.approx([b["confidence"] for b in bins], abs=1e-4)
        assert trace["customdata"] == [b["n"] for b in bins]
    traces = json.loads(curve.specification)["data"]
    assert len(traces) == 3  # one seed of each arm
    assert traces[0]["y"][-1] == pytest.approx(100 * first["selective"]["risk"][-1], abs=0.01)


def test_without_an_analysis_there_is_no_section(study: Path) -> None:
    assert content(read_study(study)) == ()

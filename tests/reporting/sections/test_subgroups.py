"""Subgroups on the page: one sentence that claims no more than was shown, and their tables."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from brainssl.reporting.blocks import Prose, flat
from brainssl.reporting.documents.exports import frame_of
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.findings.subgroups import sentences
from brainssl.reporting.sections.subgroups import content
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table


def value(name: str | None, gap: float | None = None, p: float = 1.0, **more: Any) -> Any:
    """Return a subgroup of ten groups; with a gap it was set against the rest."""
    difference = {"difference": gap, "interval": [-0.3, 0.3], "p_value": p, "p_holm": p}
    return {
        "value": name,
        "n": 40,
        "groups": 10,
        "patients": 10,
        "accuracy": 0.75,
        "balanced_accuracy": 0.5,
        "intervals": {"accuracy": [0.7, 0.8], "balanced_accuracy": None},
        "why": None,
        "difference": None if gap is None else difference,
    } | more


def few(name: str) -> Any:
    scores = dict.fromkeys(("accuracy", "balanced_accuracy"))
    return value(
        name, groups=2, patients=2, why="2 groups, fewer than 5", intervals=scores, **scores
    )


def told(*columns: Any, compared: int = 4) -> dict[str, Any]:
    left = [{"column": "model", "why": "x everywhere"}]
    return {"least_groups": 5, "compared": compared, "columns": columns, "left_out": left}


def column(name: str, *values: Any, **more: Any) -> dict[str, Any]:
    base = {"column": name, "cuts": None, "told_by_class": False, "unknown": 0}
    return base | {"values": list(values)} | more


SITES = column("site", value("a", -0.2, 0.01), value("b", 0.05), few("c"), value(None), unknown=40)
AGES = column("age", value("below 45", 0.1), value("45 and above", -0.1), cuts=[45.0])


def test_what_is_told_apart_is_named_and_what_is_not_is_not_called_alike() -> None:
    said = " ".join(sentences(told(SITES, AGES)))
    assert "1 subgroup is told apart from the rest after correction for 4 comparisons" in said
    assert "Site a: 75.0 % right, 20.0 points below the rest (95 % interval −30.0 to 30.0)." in said
    assert "Why is not asked here" in said
    assert "Not scored, as fewer than 5 groups: site c (2 groups)." in said
    assert "Not known: site of 40 images." in said
    nothing = " ".join(sentences(told(AGES, compared=1)))
    assert "No subgroup is told apart" in nothing
    assert "correction for 1 comparison (" in nothing
    assert "does not show that they are alike" in nothing
    assert "Why" not in nothing
    alone = " ".join(sentences(told(column("site", few("a"), few("b")), compared=0)))
    assert alone.startswith("No subgroup was set against the rest: that takes at least 5 groups")


def test_of_two_values_the_worse_is_named_once_and_classes_that_tell_it_are() -> None:
    pair = column("sex", value("F", 0.2, 0.001), value("M", -0.2, 0.001), told_by_class=True)
    said = " ".join(sentences(told(pair, compared=1)))
    assert "1 subgroup is told apart" in said
    assert "Sex M" in said
    assert "Sex F" not in said
    assert "All images of a class are alike in sex" in said


def test_the_chosen_model_is_shown_and_every_one_in_a_table_for_files(study: Path) -> None:
    read = read_study(study)
    steps = [r.step for r in read.rows if (r.label_fraction, r.split) == (1.0, "test")]
    models: dict[str, Any] = {step: {"subgroups": told(AGES)} for step in steps}
    models[chosen_step(read)] = {"subgroups": told(SITES, AGES)}
    blocks = list(flat(content(replace(read, analysis={"models": models}))))
    own, every = (block for block in blocks if isinstance(block, Table))
    assert [line.headers for line in own.lines] == [
        *(("Site", name) for name in ("a", "b", "c", "unknown")),
        *(("Age (years)", name) for name in ("below 45", "45 and above")),
    ]
    assert [cell.text for cell in own.lines[0].cells] == [
        *("75.0", "−20.0", "0.010", "50.0", "40", "10")
    ]
    assert [cell.text for cell in own.lines[2].cells] == ["–", "–", "–", "–", "40", "2"]
    assert "Cut at tertiles of the training part: age at 45." in own.caption
    frame = frame_of(every)
    assert len(frame) == 4 + 2 * len(steps)
    assert list(frame.columns[:4]) == ["Model", "Seed", "Column", "Subgroup"]
    assert set(frame["Accuracy, %: range"]) == {"70.0–80.0", ""}
    assert isinstance(blocks[-1], Prose)
    assert "model (x everywhere)" in blocks[-1].paragraphs[0]


def test_without_columns_there_is_no_section(study: Path) -> None:
    read = read_study(study)
    none = {row.step: {"subgroups": {}} for row in read.rows}
    assert content(replace(read, analysis={"models": none})) == ()
    assert sentences({}) == []

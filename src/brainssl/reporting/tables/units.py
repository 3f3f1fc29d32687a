"""Tables with series and patients as the unit."""

from collections.abc import Mapping
from typing import Any

from brainssl.reporting.rows import finite, interval
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import title_of
from brainssl.reporting.wording import METRIC, MISSING, counted, percent

_SHOWN = tuple(METRIC[name] for name in ("accuracy", "balanced_accuracy", "f1_macro"))
_ASKED = {
    "series": ("series", "series", "Class of each series (a patient’s slices of one sequence)"),
    "patient": ("patient", "patients", "{what} of each patient"),
}


def unit_tables(study: Study, protocol: str) -> tuple[Table, ...]:
    """Return the scores of patients, then of series; none where patients are not known."""
    rows = [row for row in study.analysis.get("units") or () if row.get("protocol") == protocol]
    return tuple(
        _table(kind, protocol, own)
        for kind in ("patient", "series")
        if (own := [row for row in rows if row.get("unit") == kind])
    )


def _table(kind: str, protocol: str, rows: list[Mapping[str, Any]]) -> Table:
    one, many, asked = _ASKED[kind]
    first = rows[0]
    asked = asked.format(what="Class" if first.get("asked") == "class" else "Tumour family")
    told = ""
    if conflicting := first.get("conflicting"):
        told += f" Left out: {counted(conflicting, one, many)} whose slices contradict each other."
    if twice := first.get("tested_twice"):
        told += f" Left out: {counted(twice, one, many)} that two folds tested."
    if unknown := first.get("unknown"):
        told += f" Left out: {counted(unknown, 'image')} of unknown patients."
    lines = [
        Line(
            (title_of(row), f"{row['seed']}"),
            tuple(_scored(row, metric.name) for metric in _SHOWN),
        )
        for row in rows
    ]
    return Table(
        name=f"{kind}-{protocol}",
        caption=(
            f"{asked}, protocol “{protocol}”: {counted(first['n'], one, many)} of the test set, "
            "with 95 % intervals. How slices become one answer was chosen on validation among the "
            "mean of logits, of probabilities, and of those of the surest slices (“rule” in "
            f"results.json).{told}"
        ),
        stub=("Model", "Seed"),
        columns=tuple(metric.heading for metric in _SHOWN),
        lines=tuple(lines),
    )


def _scored(row: Mapping[str, Any], name: str) -> Cell:
    score = finite(row["metrics"].get(name))
    limits = interval((row.get("intervals") or {}).get(name))
    if score is None:
        return Cell(MISSING)
    return Cell(percent(score), "" if limits is None else METRIC[name].range(limits))

"""The section that asks how well tumour family and sequence are told, each alone."""

from collections.abc import Mapping
from typing import Any

from brainssl.reporting.blocks import Prose, Section
from brainssl.reporting.results import Row, Study, arm_title, interval
from brainssl.reporting.tables import Cell, Line, Table
from brainssl.reporting.wording import HEADLINE, METRIC, fraction_title

_TITLES = {"family": "Tumour family", "sequence": "Sequence"}
_SHOWN = (HEADLINE, METRIC["balanced_accuracy"])

_WHY = (
    "A class here is a tumour family seen in one sequence. The sequence shows in the grey values "
    "of every slice and is the easier half, so it flatters the score of the classes; what a "
    "clinician asks for is the family. The probabilities of all classes of a family, or of a "
    "sequence, are added up, and the highest sum is what the model says."
)


def factor_section(study: Study) -> Section:
    """Show the accuracy of all classes, of the family alone and of the sequence alone."""
    about = study.analysis.get("models") or {}
    arms = [arm for protocol in study.protocols[:1] for arm in study.arms(protocol)]
    rows = [row for arm in arms for row in arm.rows if about.get(row.step, {}).get("factors")]
    most = max((row.label_fraction for row in rows), default=0.0)
    rows = [row for row in rows if row.label_fraction == most]
    if not rows:
        return Section("factors", "Family and sequence apart")
    return Section("factors", "Family and sequence apart", (Prose((_WHY,)), _table(rows, about)))


def _table(rows: list[Row], about: Mapping[str, Any]) -> Table:
    names = list(about[rows[0].step]["factors"])
    lines = []
    for row in rows:
        factors = about[row.step]["factors"]
        cells = [Cell(HEADLINE.number(row.metrics[HEADLINE.name]), _range(row, HEADLINE.name))]
        for name in names:
            for metric in _SHOWN:
                limits = interval((factors[name]["intervals"] or {}).get(metric.name))
                value = factors[name]["metrics"][metric.name]
                cells.append(
                    Cell(metric.number(value), "" if limits is None else metric.range(limits))
                )
        lines.append(Line((arm_title(row.method, row.stage), str(row.seed)), tuple(cells)))
    heads = [
        f"{_TITLES.get(name, name)}: {metric.title.lower()}" for name in names for metric in _SHOWN
    ]
    return Table(
        name="factors",
        caption=(
            f"Family and sequence alone (%), test split, protocol “{rows[0].protocol}”, "
            f"{fraction_title(rows[0].label_fraction)} of labels, with 95 % intervals (cluster "
            "bootstrap)."
        ),
        stub=("Model", "Seed"),
        columns=("All classes: accuracy", *heads),
        lines=tuple(lines),
    )


def _range(row: Row, name: str) -> str:
    limits = row.intervals.get(name)
    return "" if limits is None else HEADLINE.range(limits)

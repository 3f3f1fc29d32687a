"""The section on parts of the task: tumour family alone, sequence alone, and each plane."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.reporting.blocks import Block, Fold, Prose
from brainssl.reporting.rows import Row, interval
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import HEADLINE, METRIC, counted, labels_title

_TITLES = {"family": "Tumour family", "sequence": "Sequence"}
_SHOWN = (HEADLINE, METRIC["balanced_accuracy"])

_WHY = (
    "A class here is a tumour family seen in one sequence. The sequence shows in the grey values "
    "of every slice and is the easier half, so it flatters the score of the classes; what a "
    "clinician asks for is the family. The probabilities of all classes of a family, or of a "
    "sequence, are added up, and the highest sum is what the model says."
)
_PLANES = (
    "The same anatomy looks different in each plane, and a collection seldom has as many images of "
    "each: a model that is right in the commonest one may fail in the others."
)


def content(study: Study) -> tuple[Block, ...]:
    """Show the accuracy of the family alone, of the sequence alone, and in each plane."""
    about = study.analysis.get("models") or {}
    blocks: list[Block] = []
    if rows := _analysed(study, about, "factors"):
        blocks += [_table(rows, about), Fold("Why the two apart", (Prose((_WHY,)),))]
    if seen := _analysed(study, about, "planes"):
        blocks.append(Fold("By plane", (Prose((_PLANES,)), plane_table(seen, about))))
    return tuple(blocks)


def plane_table(rows: Sequence[Row], about: Mapping[str, Any]) -> Table:
    """Return each model's accuracy on the test images of each plane."""
    planes = list(about[rows[0].step]["planes"])
    lines = []
    for row in rows:
        cells = []
        for plane in planes:
            found = about[row.step]["planes"][plane]
            limits = interval(found["interval"])
            detail = "" if limits is None else HEADLINE.range(limits)
            cells.append(Cell(HEADLINE.number(found["accuracy"]), detail))
        lines.append(Line((row.title, str(row.seed)), tuple(cells)))
    sizes = about[rows[0].step]["planes"]
    return Table(
        name="planes",
        caption=(
            f"Accuracy (%) by plane, test split, protocol “{rows[0].protocol}”, "
            f"{labels_title(rows[0].label_fraction)}, with 95 % intervals (cluster "
            "bootstrap). Images whose plane is not known are left out."
        ),
        stub=("Model", "Seed"),
        columns=tuple(f"{plane} ({counted(sizes[plane]['n'], 'image')})" for plane in planes),
        lines=tuple(lines),
    )


def _analysed(study: Study, about: Mapping[str, Any], part: str) -> list[Row]:
    """Return the models of the first protocol of which this part was analysed."""
    arms = [arm for protocol in study.protocols[:1] for arm in study.arms(protocol)]
    rows = [row for arm in arms for row in arm.rows if about.get(row.step, {}).get(part)]
    most = max((row.label_fraction for row in rows), default=0.0)
    return [row for row in rows if row.label_fraction == most]


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
        lines.append(Line((row.title, str(row.seed)), tuple(cells)))
    heads = [
        f"{_TITLES.get(name, name)}: {metric.title.lower()}" for name in names for metric in _SHOWN
    ]
    return Table(
        name="factors",
        caption=(
            f"Family and sequence alone (%), test split, protocol “{rows[0].protocol}”, "
            f"{labels_title(rows[0].label_fraction)}, with 95 % intervals (cluster "
            "bootstrap)."
        ),
        stub=("Model", "Seed"),
        columns=("All classes: accuracy", *heads),
        lines=tuple(lines),
    )


def _range(row: Row, name: str) -> str:
    limits = row.intervals.get(name)
    return "" if limits is None else HEADLINE.range(limits)

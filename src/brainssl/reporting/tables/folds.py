"""A table of single folds: how far one split alone might have led."""

from brainssl.reporting.rows import ArmKey, Row
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import HEADLINE, MISSING, labels_title, percent


def folds_table(study: Study, protocol: str) -> Table:
    """Return accuracy on the test set of each fold, and of all folds pooled, at the most labels."""
    arms = study.arms(protocol)
    most = max(arm.label_fraction for arm in arms)
    numbers = range(1, study.folds + 1)
    single = {(*_cell(row), row.fold): row for row in study.of_folds if row.split == "test"}
    lines = []
    for arm in arms:
        for row in arm.rows if arm.label_fraction == most else ():
            own = [single.get((*_cell(row), number)) for number in numbers]
            if any(own):
                cells = [_scored(one) for one in (*own, row)]
                lines.append(Line((arm.title, f"{row.seed}"), tuple(cells)))
    values = (study.facts.get("folds") or {}).get("values")
    return Table(
        name=f"folds-{protocol}",
        caption=(
            f"{HEADLINE.heading} on the test set of each fold, protocol “{protocol}”, "
            f"{labels_title(most)}, with 95 % intervals. Any one of them is what a "
            "single split would have told. Their spread is no standard error of the pooled figure: "
            "training sets overlap."
        ),
        stub=("Model", "Seed"),
        columns=(*(values or [f"Fold {number}" for number in numbers]), "Pooled"),
        lines=tuple(lines),
        layout="wide",
    )


def _cell(row: Row) -> tuple[ArmKey, str, int]:
    return row.key, row.protocol, row.seed


def _scored(row: Row | None) -> Cell:
    if row is None:
        return Cell(MISSING)
    limits = row.intervals.get(HEADLINE.name)
    detail = "" if limits is None else HEADLINE.range(limits)
    return Cell(percent(row.metrics[HEADLINE.name]), detail)

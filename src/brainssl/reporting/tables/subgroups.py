"""Tables of the subgroups of a test set."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.evaluation.subgroups import LEVEL
from brainssl.reporting.rows import Row, interval
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import column_title
from brainssl.reporting.wording import METRIC, MISSING, count, join, labels_title, percent, signed

_SHOWN = tuple(METRIC[name] for name in ("accuracy", "balanced_accuracy"))
_STUB = ("Column", "Subgroup")


def subgroup_table(told: Mapping[str, Any], what: str) -> Table:
    """Return the subgroups of one model, each against the rest.

    Args:
        told: what `brainssl.evaluation.subgroups.by_subgroup` found.
        what: of which model and images, for the caption.
    """
    patients = _tells_patients([told])
    heads = [metric.heading for metric in _SHOWN]
    lines = []
    for headers, value, start in _lines(told):
        accuracy, balanced = _scores(value)
        cells = (accuracy, *_against(value), balanced, *_sizes(value, patients=patients))
        lines.append(Line(headers, cells, start=start))
    return Table(
        name="subgroups-chosen",
        caption=(
            f"Subgroups of {what}, with 95 % intervals (cluster bootstrap). Difference: accuracy "
            "minus that of the images of which another value is known, in points; p is corrected "
            f"for all of them, and below {LEVEL:g} where a subgroup is told apart.{_cuts(told)}"
        ),
        stub=_STUB,
        columns=(heads[0], "Difference", "p", heads[1], *_sized(patients=patients)),
        lines=tuple(lines),
        layout="wide",
    )


def subgroups_of_models(models: Sequence[tuple[Row, Mapping[str, Any]]]) -> Table:
    """Return the scores of each model in each subgroup; `models` with what was found of each."""
    patients = _tells_patients([told for _, told in models])
    row, told = models[0]
    lines = [
        Line(
            (one.title, str(one.seed), *headers),
            (*_scores(value), *_sizes(value, patients=patients)),
            start=place == 0,
        )
        for one, found in models
        for place, (headers, value, _) in enumerate(_lines(found))
    ]
    return Table(
        name="subgroups-models",
        caption=(
            f"Subgroups, every model, test split, protocol “{row.protocol}”, "
            f"{labels_title(row.label_fraction)}, with 95 % intervals (cluster bootstrap)."
            f"{_cuts(told)}"
        ),
        stub=("Model", "Seed", *_STUB),
        columns=(*(metric.heading for metric in _SHOWN), *_sized(patients=patients)),
        lines=tuple(lines),
        layout="wide",
    )


def _lines(told: Mapping[str, Any]) -> list[tuple[tuple[str, str], Mapping[str, Any], bool]]:
    """Return headers and content of each subgroup, and whether a column begins."""
    return [
        ((column_title(column["column"]), value["value"] or "unknown"), value, place == 0)
        for column in told["columns"]
        for place, value in enumerate(column["values"])
    ]


def _tells_patients(found: Sequence[Mapping[str, Any]]) -> bool:
    """Tell whether numbers of patients say more than those of groups."""
    values = [v for told in found for column in told["columns"] for v in column["values"]]
    return any(value["patients"] not in (None, value["groups"]) for value in values)


def _sized(*, patients: bool) -> tuple[str, ...]:
    return ("Images", "Groups", *["Patients"] * patients)


def _sizes(value: Mapping[str, Any], *, patients: bool) -> list[Cell]:
    names = ["n", "groups", *["patients"] * patients]
    return [Cell(count(value[name])) for name in names]


def _scores(value: Mapping[str, Any]) -> list[Cell]:
    cells = []
    for metric in _SHOWN:
        limits = interval(value["intervals"][metric.name])
        detail = "" if limits is None else metric.range(limits)
        cells.append(Cell(metric.number(value[metric.name]), detail, title=value["why"] or ""))
    return cells


def _against(value: Mapping[str, Any]) -> list[Cell]:
    gap = value["difference"]
    if gap is None:
        return [Cell(MISSING, title=value["why"] or ""), Cell(MISSING)]
    limits = interval(gap["interval"])
    detail = "" if limits is None else f"{percent(limits[0])} to {percent(limits[1])}"
    return [Cell(signed(gap["difference"]), detail), Cell(f"{gap['p_holm']:.3f}")]


def _cuts(told: Mapping[str, Any]) -> str:
    """Say where numbers were cut: "age at 43 and 66"."""
    cuts = [
        f"{column['column'].replace('_', ' ')} at {join([f'{cut:g}' for cut in column['cuts']])}"
        for column in told["columns"]
        if column["cuts"]
    ]
    return f" Cut at tertiles of the training part: {join(cuts)}." if cuts else ""

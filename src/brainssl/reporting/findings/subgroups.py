"""What is said of subgroups: which are told apart from the rest, and nothing beyond."""

from collections.abc import Iterator, Mapping
from typing import Any

from brainssl.evaluation.subgroups import LEVEL
from brainssl.reporting.rows import interval
from brainssl.reporting.titles import column_title
from brainssl.reporting.wording import count, counted, join, percent, some

_MOST = 6  # subgroups that sentences name
Value = Mapping[str, Any]


def sentences(told: Mapping[str, Any]) -> list[str]:
    """Return what `brainssl.evaluation.subgroups.by_subgroup` found, in words; none for nothing.

    A paragraph each: whether any is told apart, which, and what could not be scored.
    """
    if not told.get("columns"):
        return []
    found = [_verdict(told), " ".join(_apart(told)), " ".join(_untold(told))]
    return [text for text in found if text]


def _untold(told: Mapping[str, Any]) -> list[str]:
    """Name what has too few groups, and what is not known."""
    said = []
    if few := [_named(name, value) for name, value in _values(told) if value["accuracy"] is None]:
        said.append(f"Not scored, as fewer than {told['least_groups']} groups: {some(few)}.")
    unknown = [
        f"{column['column'].replace('_', ' ')} of {counted(column['unknown'], 'image')}"
        for column in told["columns"]
        if column["unknown"]
    ]
    return said + ([f"Not known: {join(unknown)}."] if unknown else [])


def is_told_apart(value: Value) -> bool:
    """Tell whether a subgroup differs from the rest after correction."""
    p = (value["difference"] or {}).get("p_holm")
    return p is not None and p < LEVEL


def _verdict(told: Mapping[str, Any]) -> str:
    compared = told["compared"]
    if not compared:
        return (
            "No subgroup was set against the rest: that takes at least "
            f"{told['least_groups']} groups on both sides."
        )
    after = f"after correction for {counted(compared, 'comparison')} (Holm, p < {LEVEL:g})"
    apart = len(_worst(told))
    if not apart:
        return (
            f"No subgroup is told apart from the rest {after}. That does not show that they are "
            "alike: the intervals say how large a difference may be."
        )
    verb = "subgroup is" if apart == 1 else "subgroups are"
    return f"{count(apart)} {verb} told apart from the rest {after}."


def _apart(told: Mapping[str, Any]) -> Iterator[str]:
    """Say by how much subgroups differ, and what may be behind it."""
    found = sorted(_worst(told), key=lambda pair: pair[1]["difference"]["difference"])
    for column, value in found[:_MOST]:
        gap = value["difference"]
        side = "above" if gap["difference"] > 0 else "below"
        limits = interval(gap["interval"])
        ends = "" if limits is None else f" (95 % interval {_ends(limits)})"
        yield (
            f"{column_title(column['column'])} {value['value']}: {percent(value['accuracy'])} % "
            f"right, {percent(abs(gap['difference']))} points {side} the rest{ends}."
        )
    if not found:
        return
    if (more := len(found) - _MOST) > 0:
        yield f"{count(more)} more: see the table."
    yield "Why is not asked here: a subgroup may hold other classes than the rest."
    if by_class := dict.fromkeys(c["column"] for c, _ in found if c["told_by_class"]):
        names = join([name.replace("_", " ") for name in by_class])
        yield f"All images of a class are alike in {names}, so there it is classes that differ."


def _worst(told: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Value]]:
    """Return subgroups that are told apart; of two that are each other's rest, the worse."""
    found = []
    for column in told["columns"]:
        apart = [value for value in column["values"] if is_told_apart(value)]
        known = [value for value in column["values"] if value["value"] is not None]
        if len(known) == len(apart) == 2:
            apart = [min(apart, key=lambda value: value["difference"]["difference"])]
        found += [(column, value) for value in apart]
    return found


def _values(told: Mapping[str, Any]) -> Iterator[tuple[str, Value]]:
    return ((c["column"], value) for c in told["columns"] for value in c["values"])


def _named(column: str, value: Value) -> str:
    name = f"{column.replace('_', ' ')} {value['value'] or 'unknown'}"
    return f"{name} ({counted(value['groups'], 'group')})"


def _ends(limits: tuple[float, float]) -> str:
    return f"{percent(limits[0])} to {percent(limits[1])}"

"""The page of an external test: the own score and the one elsewhere, by the drawing of figure 1."""

from collections.abc import Mapping
from typing import Any

from brainssl.reporting.blocks import Block, Cautions, Prose, Section
from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.findings.cautions_of_data import ENOUGH_GROUPS
from brainssl.reporting.findings.external import WHAT, external_answer, external_warnings
from brainssl.reporting.findings.subgroups import sentences
from brainssl.reporting.page import Page, render_page
from brainssl.reporting.rows import finite, interval
from brainssl.reporting.scoreboard import Board, Entry, Point, kind_of, largest_share
from brainssl.reporting.sections.answer import scoreboard
from brainssl.reporting.tables.subgroups import subgroup_table
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import arm_title
from brainssl.reporting.wording import HEADLINE, MAIN_METRICS, counted, join

_HOW = "The same classifier on both collections, with 95\u00a0% intervals for the choice of groups."


def render_external(told: Mapping[str, Any]) -> str:
    """Return the page as text.

    Args:
        told: what `external.json` holds, see `brainssl.inference.external.evaluate_external`.
    """
    what = WHAT[told["labels"]]
    drop = told["drop"]
    rows = {"Elsewhere": told["row"]} | ({"Own test images": drop["row"]} if drop else {})
    rows = dict(reversed(rows.items()))
    shown = [board for name, row in rows.items() if (board := _board(name, row, told))]
    groups = int(told["groups"])
    warnings = external_warnings(told)
    against = [
        *([f"only {counted(groups, 'group')} tested"] if groups < ENOUGH_GROUPS else []),
        *(["it may know some of the images"] if told["learnt"] is None else []),
    ]
    serious = bool(against)
    rests = (
        f"{f'To be read with care: {join(against)}' if serious else 'Measured elsewhere'}. "
        f"{counted(int(told['images']), 'slice')} of {counted(groups, 'group')}; asked for {what}."
    )
    blocks: list[Block] = [
        Prose((external_answer(told),), lead=True),
        Prose((rests,), mark="serious" if serious else "calm"),
    ]
    if shown:
        blocks.append(scoreboard(shown, _HOW))
    blocks.append(_table(rows))
    sections = [Section("answer", "Answer", tuple(blocks))]
    if warnings:
        items = tuple(Caution("note", f"{warning}.") for warning in warnings)
        sections.append(Section("cautions", "What to be careful about", (Cautions(items),)))
    if said := sentences(told.get("subgroups") or {}):
        table = subgroup_table(told["subgroups"], "the images elsewhere")
        title = "By site, scanner, age and the like"
        sections.append(Section("subgroups", title, (Prose(tuple(said)), table)))
    page = Page(
        "brainssl external test",
        str(told["source"]),
        "",
        sections,
        "from external.json and the predictions beside it",
        opening=True,
    )
    return render_page(page)


def _board(name: str, row: Mapping[str, Any], told: Mapping[str, Any]) -> Board | None:
    value = finite(row["metrics"].get(HEADLINE.name))
    if value is None:
        return None
    facts = told["classifier"]
    method, stage = str(facts.get("method") or "classifier"), str(facts.get("stage") or "")
    limits = interval((row.get("intervals") or {}).get(HEADLINE.name))
    point = Point(int(facts.get("seed") or 0), value, limits)
    entry = Entry(arm_title(method, stage), kind_of(method, stage), (point,))
    return Board(name, "slice", (entry,), largest_share(row.get("per_class") or {}))


def _table(rows: Mapping[str, Mapping[str, Any]]) -> Table:
    lines = []
    for name, row in rows.items():
        limits = {key: interval(value) for key, value in (row.get("intervals") or {}).items()}
        cells = [
            Cell(
                metric.number(finite(row["metrics"].get(metric.name))),
                metric.range(limits[metric.name]) if limits.get(metric.name) else "",
            )
            for metric in MAIN_METRICS
        ]
        lines.append(Line((name,), (Cell(str(row["n"])), *cells)))
    return Table(
        "external",
        "Both collections, with 95 % intervals (cluster bootstrap); of the own test images those "
        "of the labels that occur elsewhere.",
        ("Images",),
        ("Number", *(metric.heading for metric in MAIN_METRICS)),
        tuple(lines),
    )

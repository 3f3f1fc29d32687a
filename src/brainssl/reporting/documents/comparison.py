"""The page of a comparison: figure 1 with a panel a study, then every model with its difference."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.data.shots import LabelFraction
from brainssl.reporting.blocks import Block, Choice, Panel, Prose, Section
from brainssl.reporting.findings.belief import belief
from brainssl.reporting.page import Page, render_page
from brainssl.reporting.rows import interval
from brainssl.reporting.scoreboard import Board, slice_board
from brainssl.reporting.sections.answer import FIGURE, scoreboard
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import (
    HEADLINE,
    MISSING,
    counted,
    fraction_title,
    labels_title,
    percent,
    signed,
)

_HOW = (
    "A panel a study, a marker the test score of one seed, its line the 95\u00a0% interval for the "
    "choice of test groups. Highest first by the first study; controls stand below."
)


def render_comparison(studies: Sequence[Study], compared: Mapping[str, Any]) -> str:
    """Return the page as text.

    Args:
        studies: that were compared, in the order in which they were named.
        compared: what `brainssl.studies.compare.compare_studies` says of them.
    """
    names = [f"{place}: {study.folder.name}" for place, study in enumerate(studies, start=1)]
    blocks: list[Block] = [Prose((_answer(compared, names),), lead=True)]
    for name, study in zip(names, studies, strict=True):
        if worth := belief(study):
            blocks.append(Prose((f"Study {name}. {worth.text}",), mark=worth.severity))
    if found := _figures(studies, names):
        blocks.append(found)
    sections = [
        Section("answer", "Answer", tuple(blocks)),
        Section("models", "Every model", (_table(compared, names),)),
    ]
    title = " · ".join(study.folder.name for study in studies)
    origin = "from the results and the stored predictions of these studies"
    return render_page(Page("brainssl comparison", title, "", sections, origin, opening=True))


def _answer(compared: Mapping[str, Any], names: Sequence[str]) -> str:
    """Say how many models differ from those of the first study."""
    said = []
    for place, name in enumerate(names[1:], start=1):
        scores = [model["scores"][place] for model in compared["models"]]
        limits = [interval(s["interval"]) for s in scores if s and s.get("interval")]
        known = [ends for ends in limits if ends is not None]
        higher = sum(low > 0 for low, _ in known)
        lower = sum(high < 0 for _, high in known)
        said.append(
            f"{name} against {names[0]}: of {counted(len(known), 'model')} that both have, "
            f"{higher} higher, {lower} lower, {len(known) - higher - lower} not told apart"
        )
    return f"{'; '.join(said)} (accuracy, 95\u00a0% intervals, not corrected)."


def _figures(studies: Sequence[Study], names: Sequence[str]) -> Choice | None:
    """Return figure 1 at each label fraction that a study has, the most labels first."""
    boards: dict[LabelFraction, list[Board]] = {}
    for study, name in zip(studies, names, strict=True):
        for protocol in study.protocols[:1]:
            arms = [arm for arm in study.arms(protocol) if arm.values(HEADLINE.name)]
            for fraction in {arm.label_fraction for arm in arms}:
                own = [arm for arm in arms if arm.label_fraction == fraction]
                board = slice_board(study, own, fraction)
                named = Board(f"{name} (“{protocol}”)", board.unit, board.entries, board.guess)
                boards.setdefault(fraction, []).append(named)
    panels: list[Panel] = []
    for fraction in sorted(boards, reverse=True):
        figure = FIGURE if not panels else f"{FIGURE}-f{fraction:g}"
        shown = scoreboard(boards[fraction], _HOW, figure)
        panels.append(Panel(f"labels-f{fraction:g}", labels_title(fraction), (shown,)))
    return Choice("labels", "Labels", tuple(panels)) if panels else None


def _table(compared: Mapping[str, Any], names: Sequence[str]) -> Table:
    lines = []
    for model in compared["models"]:
        cells = [_cell(score) for score in model["scores"]]
        head = (model["protocol"], fraction_title(model["label_fraction"]), model["title"])
        lines.append(Line(head, tuple(cells)))
    return Table(
        "comparison",
        f"{HEADLINE.heading} on test, mean over seeds; under it the difference from the first "
        "study in points with its 95 % interval: on the same test images where both were measured "
        "on them, else as two independent samples (“unpaired”).",
        ("Protocol", "Labels", "Model"),
        tuple(names),
        tuple(lines),
    )


def _cell(score: Mapping[str, Any] | None) -> Cell:
    if score is None:
        return Cell(MISSING)
    limits = interval(score.get("interval"))
    detail = ""
    if limits is not None:
        detail = f"{signed(score['difference'])} ({percent(limits[0])} to {percent(limits[1])}"
        detail += ")" if score["paired"] else ", unpaired)"
    return Cell(percent(score["accuracy"]), detail)

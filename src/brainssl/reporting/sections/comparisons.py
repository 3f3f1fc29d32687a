"""The section that compares models in pairs, on the same test images."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.reporting.blocks import Block, Fold, Prose
from brainssl.reporting.findings.starts import said as said_of_starts
from brainssl.reporting.findings.starts import worths
from brainssl.reporting.rows import interval
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import BASELINE, title_of
from brainssl.reporting.wording import HEADLINE, counted, join, labels_title, percent, signed
from brainssl.settings.starts import RANDOM

LEVEL = 0.05
_MOST_SENTENCES = 6
_PLAIN = ("untrained", "supervised", "decision_tree", "knn")  # titles that are no proper names

_OF_STARTS = (
    " “What self-supervision adds” asks for fewer differences and corrects for those alone, so a "
    "pair has another corrected p value there."
)
_HOW = (
    "Two models are compared on the same test images: groups are drawn again and again, the same "
    "ones for both, and the interval is that of the difference (paired cluster bootstrap, mean "
    "over seeds). That can tell models apart whose own intervals overlap. Many pairs are compared "
    "at once, so p values are corrected for all pairs of models with the same labels (Holm); "
    "intervals are not. What further seeds or another split would change is not in them."
)


def content(study: Study) -> tuple[Block, ...]:
    """Show which models differ, in words and as a table of all pairs."""
    pairs = [
        pair
        for pair in study.analysis.get("comparisons") or ()
        if pair["metric"] == HEADLINE.name and pair["protocol"] in study.protocols[:1]
    ]
    fractions = sorted({label_fraction(p["label_fraction"]) for p in pairs}, reverse=True)
    blocks: list[Block] = []
    for place, fraction in enumerate(fractions):
        own = [pair for pair in pairs if pair["label_fraction"] == fraction]
        said, open_ones = sentences(own), undecided(own)
        shown: tuple[Block, ...] = (Prose(tuple(said)), difference_table(own, fraction))
        if open_ones:
            shown += (Fold("Pairs that cannot be told apart", (Prose(tuple(open_ones)),)),)
        title = f"With {labels_title(fraction, of='the labels')}"
        blocks += shown if place == 0 else [Fold(title, shown)]
    if pairs:
        how = _HOW + _OF_STARTS * bool(said_of_starts(worths(study)))
        blocks.append(Fold("How models are compared", (Prose((how,)),)))
    return tuple(blocks)


def sentences(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say how many pairs differ, and by how much those that do most."""
    labels = labels_title(pairs[0]["label_fraction"], of="the labels")
    sure = sorted((p for p in pairs if _differs(p)), key=lambda p: -abs(p["difference"]))
    said = [
        f"With {labels}, {len(sure)} of {counted(len(pairs), 'pair')} of models "
        f"{'differs' if len(sure) == 1 else 'differ'} after correction for all of them (Holm, p < "
        f"{LEVEL:g})."
    ]
    return said + [f"{_difference(pair)}." for pair in sure[:_MOST_SENTENCES]]


def undecided(pairs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of pairs that a reader would ask about, but do not differ, how far they are apart."""
    asked = [p for p in pairs if not _differs(p) and _is_of_methods(p)]
    widest = sorted(asked, key=lambda p: -abs(p["difference"]))[:_MOST_SENTENCES]
    return [_undecided(pair, len(pairs)) for pair in widest]


def difference_table(pairs: Sequence[Mapping[str, Any]], fraction: LabelFraction) -> Table:
    """Return all pairs: the model of the row minus that of the column, in points."""
    names = list(dict.fromkeys(title_of(p[side]) for p in pairs for side in ("first", "second")))
    found = {}
    for pair in pairs:
        first, second = title_of(pair["first"]), title_of(pair["second"])
        found[first, second] = _cell(pair, 1, len(pairs))
        found[second, first] = _cell(pair, -1, len(pairs))
    lines = [
        Line((row,), tuple(found.get((row, column), Cell("·")) for column in names))
        for row in names
    ]
    return Table(
        name=f"differences-f{fraction:g}",
        caption=(
            f"{HEADLINE.title} of the model of the row minus that of the column, in points, with "
            f"{labels_title(fraction, of='the labels')}; under it the 95 % interval of the "
            f"difference. Shaded: p < {LEVEL:g} after correction for all pairs of the table."
        ),
        stub=("Model",),
        columns=tuple(names),
        lines=tuple(lines),
        layout="matrix",
    )


def _cell(pair: Mapping[str, Any], sign: int, pairs: int) -> Cell:
    limits = interval(pair["interval"])
    detail = ""
    if limits is not None:
        low, high = sorted(sign * limit for limit in limits)
        detail = f"{percent(low)} to {percent(high)}"
    p = pair["p_holm"]
    title = ""
    if p is not None:
        title = f"p = {pair['p_value']:.4f}, corrected for {counted(pairs, 'pair')} {p:.4f}"
    shade = 0.5 if _differs(pair) else None
    return Cell(signed(sign * pair["difference"]), detail, shade, title)


def _differs(pair: Mapping[str, Any]) -> bool:
    return pair["p_holm"] is not None and pair["p_holm"] < LEVEL


def _is_of_methods(pair: Mapping[str, Any]) -> bool:
    """Tell whether both were trained, at the same stage or one of them from labels alone."""
    methods = {pair[side]["method"] for side in ("first", "second")}
    stages = {pair[side]["stage"] for side in ("first", "second")}
    return "untrained" not in methods and (len(stages) == 1 or stages == {"finetune", "supervised"})


def _difference(pair: Mapping[str, Any]) -> str:
    ahead, behind = pair["first"], pair["second"]
    sign = 1
    if pair["difference"] < 0:
        ahead, behind, sign = behind, ahead, -1
    return f"{title_of(ahead)} is ahead of {within(behind)} by {_points(pair, sign)}"


def _undecided(pair: Mapping[str, Any], pairs: int) -> str:
    limits = interval(pair["interval"])
    if limits is not None and not limits[0] <= 0 <= limits[1]:
        return (
            f"{_difference(pair)}; corrected for {counted(pairs, 'pair')}, that may be chance "
            f"(p = {pair['p_holm']:.2f})."
        )
    both = join([title_of(pair["first"]), within(pair["second"])])
    return f"{both} cannot be told apart on these data: difference {_points(pair, 1)}."


def _points(pair: Mapping[str, Any], sign: int) -> str:
    text = f"{percent(sign * pair['difference'])} points"
    limits = interval(pair["interval"])
    if limits is None:
        return f"{text}, without an interval"
    low, high = sorted(sign * limit for limit in limits)
    return f"{text}, 95 % interval {percent(low)} to {percent(high)}"


def within(model: Mapping[str, Any]) -> str:
    """Return the title as it stands inside a sentence."""
    title, start = title_of(model), model.get("start")
    plain = model["method"] in _PLAIN or model["stage"] == "ensemble"
    if model["method"] == BASELINE and start:
        return f"{title[0].lower()}{title[1:]}"
    if not plain or start not in (None, "", RANDOM):
        return title
    return f"the {title[0].lower()}{title[1:]}"

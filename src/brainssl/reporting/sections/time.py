"""The section that says where the time of a study went."""

from typing import Any

from brainssl.reporting.blocks import Block, Prose
from brainssl.reporting.study import Study
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import duration, percent

_TITLES = {
    "pretraining": "Pretraining",
    "linear probes": "Linear probes",
    "fine-tuning": "Fine-tuning",
    "semi-supervised training": "Semi-supervised training",
    "supervised training": "Supervised training",
    "classical baselines": "Classical baselines",
    "reading": "Reading, fingerprints and near-duplicates",
    "audit": "Audit",
    "images": "Images decoded into the store",
    "maps of features": "Maps of features",
    "explanations": "Explanations",
    "analysis": "Analysis of the predictions",
    "report": "Report and model card",
}


def content(study: Study) -> tuple[Block, ...]:
    """Return a table of seconds by kind of work."""
    spent: list[dict[str, Any]] = study.facts.get("time") or []
    total = sum(one["seconds"] for one in spent)
    if not total:
        return ()
    trained = sum(one["seconds"] for one in spent if one["training"])
    lines = [_line(one, total) for one in spent]
    whole = Line(("All",), (Cell(""), Cell(duration(total)), Cell(percent(1.0))), "mean", True)
    table = Table(
        "time",
        "Of steps that several processes shared, the sum over these. A step of training includes "
        "the measuring of what was trained; work that was done in several runs counts once.",
        ("Work",),
        ("Steps", "Time", "Share, %"),
        (*lines, whole),
    )
    share = trained / total
    said = (
        f"{percent(share)} % of the time went into training, {percent(1 - share)} % into "
        "everything around it."
    )
    return (Prose((said,)), table)


def _line(one: dict[str, Any], total: float) -> Line:
    cells = (
        Cell(str(one["steps"] or "")),
        Cell(duration(one["seconds"])),
        Cell(percent(one["seconds"] / total)),
    )
    return Line((_TITLES.get(one["what"], one["what"]),), cells)

"""What a review leaves in its folder, `review.csv` and `review.json`, and says in the terminal."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl import __version__
from brainssl.evaluation.label_errors import Wrong
from brainssl.foundation.spreadsheet import csv_of
from brainssl.foundation.storage import write_json, write_text
from brainssl.studies.review import ALIKE, COPIES, DOUBT, LABEL, Review

TABLE, FACTS = "review.csv", "review.json"
VERSION = 1
SHOWN = 20
"""Rows that the terminal shows."""

_WIDEST = 38
_REASONS = {
    COPIES: "the same pixels stand under another label",
    LABEL: "models are sure of another class",
    ALIKE: "a near-duplicate has another label",
    DOUBT: "another class is likelier",
}


def facts_of(found: Review, study: str) -> dict[str, Any]:
    """Return what `review.json` holds.

    Args:
        found: the review.
        study: name of the study's folder.
    """
    first = found.rows["why"].str.split(";").str[0]
    return {
        "format": "brainssl-review",
        "version": VERSION,
        "brainssl": __version__,
        "study": study,
        "classes": list(found.classes),
        "folds": found.folds or None,
        "models": list(found.models),
        "images": found.whole.images,
        "groups": found.whole.groups,
        "listed": {reason: int((first == reason).sum()) for reason in _REASONS},
        "agreement": round(found.agreement, 4),
        "wrong": asdict(found.whole),
        "by_class": {
            name: asdict(one) for name, one in zip(found.classes, found.by_class, strict=True)
        },
        "joint": [[round(float(cell), 3) for cell in row] for row in found.joint],
        "notes": list(found.notes),
    }


def write_review(found: Review, out: Path, facts: dict[str, Any]) -> None:
    """Write `review.csv` and `review.json`; those of before are replaced, nothing else is."""
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / TABLE, csv_of(found.rows.round(5)))
    write_json(out / FACTS, facts)


def text_of(found: Review, facts: dict[str, Any]) -> str:
    """Return the review in lines: the share that is wrong, then the first rows."""
    lines = [
        f"{found.whole.images:,} labels of {found.whole.groups:,} groups were reviewed by "
        f"{len(found.models)} models, which give {100 * found.agreement:.1f} % of them, too.",
        f"Probably wrong: {_share(found.whole)}.",
    ]
    wide = max(map(len, found.classes))
    for name, one in zip(found.classes, found.by_class, strict=True):
        lines.append(
            f"  {name:{wide}} {one.images:>6} images {one.groups:>5} groups  {_share(one)}"
        )
    listed = facts["listed"]
    told = [f"{listed[reason]} where {words}" for reason, words in _REASONS.items()]
    lines.append(f"To look at: {', '.join(told)}.")
    if len(found.rows):
        lines += ["", *_table(found.rows.head(SHOWN))]
    return "\n".join([*lines, "", *found.notes])


def words_of(why: str) -> str:
    """Return the reasons of a row in words."""
    return "; ".join(_REASONS[reason] for reason in why.split(";"))


def _share(one: Wrong) -> str:
    if one.share is None or one.interval is None:
        return "too little to tell"
    low, high = one.interval
    return f"{100 * one.share:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def _table(rows: pd.DataFrame) -> list[str]:
    cells = [["", "score", "label", "suggested", "why", "path"]]
    for rank, row in enumerate(rows.to_dict("records"), start=1):
        score = "" if pd.isna(row["score"]) else f"{row['score']:.3f}"
        words = [str(row[name]) for name in ("label", "suggested", "why")]
        cells.append([str(rank), score, *words, _shortened(str(row["path"]))])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return [_line(line, widths) for line in cells]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()


def _shortened(path: str) -> str:
    shown = path if len(path) <= _WIDEST else f"…{path[1 - _WIDEST :]}"
    return "".join(letter if letter.isprintable() else "�" for letter in shown)

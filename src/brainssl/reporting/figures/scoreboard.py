"""Figure 1: a row a model, a panel a label fraction; each seed a marker with its interval."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from brainssl.reporting.figures.figure import (
    BASELINE_COLOUR,
    COLOURS,
    CONTROL_COLOUR,
    Figure,
    Key,
    escape,
    specification,
)
from brainssl.reporting.scoreboard import APART, Board, Entry, Kind, ordered
from brainssl.reporting.wording import HEADLINE, join

KEYS: dict[Kind, Key] = {
    "finetune": Key("Fine-tuned", COLOURS[0], "circle", ""),
    "linear": Key("Linear probe", COLOURS[1], "square", ""),
    "semi-supervised": Key("Semi-supervised", COLOURS[2], "star", ""),
    "supervised": Key("Labels alone", BASELINE_COLOUR, "diamond", ""),
    "ensemble": Key("Ensemble", COLOURS[3], "triangle-up", ""),
    "control": Key("Untrained encoder (control)", CONTROL_COLOUR, "cross", ""),
    "classical": Key("Hand-made features (control)", CONTROL_COLOUR, "triangle-down", ""),
}
"""Each kind of model has a colour and a marker of its own."""

_AS_THEY_ARE = "Weights as they are (control)"
GUESSING = Key("Guessing", CONTROL_COLOUR, "", "dot")

_CASES = {"slice": "slices", "series": "series", "patient": "patients"}
_ASKED = {"class": HEADLINE.title, "family": "Family right"}
_ROW, _LOW_ROW = 17, 15  # CSS pixels; the lower where there are many
_MANY_ROWS = 12
_AXIS = 44  # below the rows
_GAP = 0.5  # of a row, between the models and what stands apart
_SPREAD = 0.34  # of a row, over which the seeds of a model lie
_LETTER = 6.2  # CSS pixels of a letter of a model's name, at most


def panels(name: str, boards: Sequence[Board]) -> tuple[Figure, ...]:
    """Draw a panel a board, all with the same rows and the same scale.

    Args:
        name: of the first panel; the others are numbered from 2.
        boards: one at least, with a model at least.
    """
    rows = _rows(boards)
    layout = _axes(boards, rows)
    row = _LOW_ROW if len(rows) > _MANY_ROWS else _ROW
    made = []
    for place, board in enumerate(boards, start=1):
        traces = [*_guess(board, rows), *_markers(board, rows)]
        axis = {**layout["xaxis"], "title": {"text": _axis_title(board)}}
        made.append(
            Figure(
                name if place == 1 else f"{name}-{place}",
                _description(board),
                specification(traces, {**layout, "xaxis": axis}),
                round(row * (max(rows.values()) + 1)) + _AXIS,
                key=Key(board.title, ""),
            )
        )
    return tuple(made)


def legend(boards: Sequence[Board]) -> tuple[Key, ...]:
    """Return how each kind of model is drawn that is there, and the level of guessing."""
    entries = [entry for board in boards for entry in board.entries]
    kinds = {entry.kind for entry in entries}
    keys = [key for kind, key in KEYS.items() if kind in kinds]
    if len({entry.title for entry in entries if entry.kind == "control"}) > 1:  # several starts
        keys[keys.index(KEYS["control"])] = replace(KEYS["control"], label=_AS_THEY_ARE)
    return (*keys, *([GUESSING] if any(board.guess is not None for board in boards) else ()))


def label_width(boards: Sequence[Board]) -> int:
    """Return how wide the names of the models are, in CSS pixels."""
    return round(_LETTER * max(len(title) for title, _ in ordered(boards))) + 12


def _rows(boards: Sequence[Board]) -> dict[str, float]:
    """Return where each model stands, the first at 0, downwards."""
    models = ordered(boards)
    inside = any(kind not in APART for _, kind in models)
    return {
        title: place + (_GAP if kind in APART and inside else 0.0)
        for place, (title, kind) in enumerate(models)
    }


def _axes(boards: Sequence[Board], rows: dict[str, float]) -> dict[str, Any]:
    points = [point for board in boards for entry in board.entries for point in entry.points]
    ends = [end for point in points for end in (point.value, *(point.limits or ()))]
    ends += [board.guess for board in boards if board.guess is not None]
    low, high = max(0.0, 100 * min(ends) - 2), min(100.0, 100 * max(ends) + 2)
    return {
        "margin": {"l": label_width(boards), "r": 10, "t": 4, "b": 40},
        "font": {"size": 12 if len(rows) <= _MANY_ROWS else 11},
        "showlegend": False,
        "xaxis": {
            "range": [round(low - 0.01 * (high - low), 2), round(high + 0.01 * (high - low), 2)],
            "dtick": 20 if high - low > 60 else 10 if high - low > 20 else 5,
        },
        "yaxis": {
            "range": [max(rows.values()) + 0.6, -0.6],
            "tickvals": list(rows.values()),
            "ticktext": [escape(title) for title in rows],
            "automargin": False,
            "ticks": "",
        },
    }


def _axis_title(board: Board) -> str:
    return f"{_ASKED[board.asked]}, % of {_CASES[board.unit]}"


def _guess(board: Board, rows: dict[str, float]) -> list[dict[str, Any]]:
    if board.guess is None:
        return []
    at = round(100 * board.guess, 2)
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [at, at],
            "y": [-0.6, max(rows.values()) + 0.6],
            "line": GUESSING.line(1.5),
            "hovertemplate": f"{GUESSING.label}: {HEADLINE.number(board.guess)}<extra></extra>",
        }
    ]


def _markers(board: Board, rows: dict[str, float]) -> list[dict[str, Any]]:
    """Return a trace a kind: seeds beside each other, each with its interval."""
    traces = []
    for kind, key in KEYS.items():
        x, y, above, below, text = [], [], [], [], []
        for entry in (entry for entry in board.entries if entry.kind == kind):
            for place, point in enumerate(entry.points):
                low, high = point.limits or (point.value, point.value)
                x.append(round(100 * point.value, 2))
                y.append(round(rows[entry.title] + _aside(place, len(entry.points)), 3))
                above.append(round(100 * (high - point.value), 2))
                below.append(round(100 * (point.value - low), 2))
                text.append(_said(entry, place))
        if not x:
            continue
        bars: dict[str, Any] = {
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
        }
        many = max(len(entry.points) for entry in board.entries)
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": x,
                "y": y,
                "text": text,
                "marker": key.marker(8 if many == 1 else 7 if many < 4 else 5),
                "error_x": bars | {"thickness": 1.4, "width": 0, "color": key.colour},
                "hovertemplate": "%{text}<extra></extra>",
            }
        )
    return traces


def _aside(place: int, seeds: int) -> float:
    """Return how far from the middle of its row a seed lies, in rows."""
    return 0.0 if seeds == 1 else _SPREAD * (place / (seeds - 1) - 0.5)


def _said(entry: Entry, place: int) -> str:
    point = entry.points[place]
    span = "no interval" if point.limits is None else HEADLINE.range(point.limits)
    return f"{escape(entry.title)}, seed {point.seed}: {HEADLINE.number(point.value)} ({span})"


def _description(board: Board) -> str:
    """Return the panel in words, for who does not see it."""
    found = {entry.title: entry for entry in board.entries}
    said = []
    for title, _ in ordered([board]):
        values = [HEADLINE.number(point.value) for point in found[title].points]
        said.append(f"{title} {join(values)}")
    guess = "" if board.guess is None else f"; guessing {HEADLINE.number(board.guess)}"
    return f"{board.title}: {HEADLINE.title.lower()} in %, highest first: {'; '.join(said)}{guess}"

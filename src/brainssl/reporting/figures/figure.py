"""What figures are made of: Plotly specifications, and a style for each method."""

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from brainssl.reporting.study import Study
from brainssl.reporting.titles import (
    BASELINE,
    CLASSICAL,
    CONTROLS,
    ENSEMBLE,
    METHOD_TITLES,
    Learner,
    method_title,
)

# Mid tones, legible on white and on near-black alike; the first is the page's accent. The first
# eight, one a method, stay apart for the colour-blind, and each method has a symbol besides.
COLOURS = (
    "#12908a",
    "#d2871e",
    "#4e5eba",
    "#b43c69",
    "#c378e1",
    "#78692d",
    "#843cf0",
    "#f06060",
    "#4a9fd0",
    "#4f9a3d",
    "#9a7b6a",
)
DASHES = ("solid", "dash", "longdash", "dashdot")  # one a start
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "cross", "x", "star")
CONTROL_COLOUR = "#8a929c"
FAINT = "rgba(128,136,144,0.4)"
# The page's ink, which report.css turns over for a dark theme.
BASELINE_COLOUR = "#1b1f23"

_DASHES = {"dot": "2 3", "dash": "5 3", "longdash": "8 3", "dashdot": "6 2 2 2"}
# Outlines of the symbols, for a legend that is not Plotly's; centred, five across.
_OUTLINES = {
    "circle": "M-4,0a4,4 0 1,0 8,0a4,4 0 1,0 -8,0z",
    "square": "M-3.6,-3.6h7.2v7.2h-7.2z",
    "diamond": "M0,-5l5,5l-5,5l-5,-5z",
    "triangle-up": "M0,-4.6l4.8,8.2h-9.6z",
    "triangle-down": "M0,4.6l4.8,-8.2h-9.6z",
    "x": "M0,-2.2l2.7,-2.7l2.2,2.2l-2.7,2.7l2.7,2.7l-2.2,2.2l-2.7,-2.7l-2.7,2.7l-2.2,-2.2"
    "l2.7,-2.7l-2.7,-2.7l2.2,-2.2z",
    "star": "M0,-5.4l1.2,3.7h3.9l-3.1,2.3l1.2,3.8l-3.2,-2.3l-3.2,2.3l1.2,-3.8l-3.1,-2.3h3.9z",
    "cross": "M-1.6,-4.6h3.2v3h3v3.2h-3v3h-3.2v-3h-3v-3.2h3z",
}


@dataclass(frozen=True)
class Key:
    """How something is drawn, and what it is called: an entry of a legend."""

    label: str
    colour: str
    symbol: str = ""
    dash: str = "solid"

    @property
    def outline(self) -> str:
        """The symbol as the path of an SVG, centred; empty without one."""
        return _OUTLINES.get(self.symbol, "")

    @property
    def dashes(self) -> str:
        """The dash as an SVG has it; empty of a solid line."""
        return _DASHES.get(self.dash, "")

    def line(self, width: float) -> dict[str, Any]:
        """Return the line of a Plotly trace, `width` in CSS pixels."""
        return {"color": self.colour, "dash": self.dash, "width": width}

    def marker(self, size: float) -> dict[str, Any]:
        """Return the marker of a Plotly trace, `size` in CSS pixels."""
        return {"color": self.colour, "symbol": self.symbol or "circle", "size": size}


@dataclass(frozen=True)
class Figure:
    """A Plotly figure: `specification` is JSON text, safe inside a `<script>` element.

    Attributes:
        name: Anchor, unique on the page.
        caption: What is shown and measured on what.
        height: In CSS pixels, without the legend that a narrow page sets below.
        square: Whether the plotting area should be as wide as it is high.
        key: What heads the figure where it is one of several panels.
    """

    name: str
    caption: str
    specification: str
    height: int = 380
    square: bool = False
    key: Key | None = None
    kind: ClassVar[str] = "figure"


def learner_keys(study: Study) -> dict[Learner, Key]:
    """Return how each method from each start is drawn: a start has a dash of its own.

    With one start that is how `method_keys` draws the methods.
    """
    starts = study.starts
    if not study.tells_starts:
        return {(method, ""): key for method, key in method_keys(study).items()}
    keys: dict[Learner, Key] = {}
    for method, key in method_keys(study).items():
        if method in CLASSICAL or method == ENSEMBLE:
            keys[method, ""] = key
            continue
        for place, start in enumerate(starts):
            dash = DASHES[place % len(DASHES)]
            keys[method, start] = replace(key, label=method_title(method, start), dash=dash)
    return keys


def method_keys(study: Study) -> dict[str, Key]:
    """Return how each method is drawn, the same in every report; controls and baseline last."""
    named = {str(method) for method in study.facts.get("methods") or ()}
    named |= {row.method for row in study.rows} - {BASELINE}
    apart = CONTROLS | set(METHOD_TITLES) | set(CLASSICAL)
    known = [*METHOD_TITLES, *sorted(named - apart)]
    keys = {
        method: Key(method_title(method), COLOURS[i % len(COLOURS)], SYMBOLS[i % len(SYMBOLS)])
        for i, method in enumerate(known)
        if method in named
    }
    for control in sorted(CONTROLS & named):
        keys[control] = Key(method_title(control), CONTROL_COLOUR, "circle", "dot")
    for family in (family for family in CLASSICAL if family in named):
        keys[family] = Key(method_title(family), CONTROL_COLOUR, "diamond", "dash")
    return keys | {BASELINE: Key(method_title(BASELINE), BASELINE_COLOUR, "circle")}


def panel(
    name: str,
    key: Key,
    caption: str,
    traces: Sequence[dict[str, Any]],
    layout: dict[str, Any],
    height: int = 200,
) -> Figure:
    """Return one of several small figures that share a legend and a caption."""
    small = {"font": {"size": 11}, "margin": {"l": 34, "r": 8, "t": 6, "b": 26}}
    return Figure(
        name,
        caption,
        specification(traces, small | {"showlegend": False} | layout),
        height,
        key=key,
    )


def epoch_traces(
    key: Key, title: str, epochs: Sequence[int], values: Sequence[float | None]
) -> list[dict[str, Any]]:
    """Return a thin line over epochs that ends in the symbol of its method."""
    points = [(epoch, value) for epoch, value in zip(epochs, values, strict=True)]
    last = next((point for point in reversed(points) if point[1] is not None), None)
    if last is None:
        return []
    said = f"epoch %{{x}}: %{{y:.4~g}}<extra>{escape(title)}</extra>"
    shared = {"type": "scatter", "hovertemplate": said}
    line = {"mode": "lines", "x": list(epochs), "y": rounded(values, 5), "line": key.line(1.2)}
    end = {"mode": "markers", "x": [last[0]], "y": rounded([last[1]], 5), "marker": key.marker(6)}
    return [shared | line, shared | end]


def epoch_axis(last: int) -> dict[str, Any]:
    """Return an axis that marks whole epochs up to the last one."""
    return {"dtick": 1} if last <= 5 else {"nticks": 6}


def specification(traces: Sequence[dict[str, Any]], layout: dict[str, Any]) -> str:
    """Return a checked Plotly figure as JSON that may stand inside a `<script>` element."""
    import plotly.graph_objects as go

    # Plotly checks the property names here; its default template is left out, the page has styles.
    figure = go.Figure(data=list(traces), layout=layout).to_plotly_json()
    figure["layout"].pop("template", None)
    text = json.dumps(figure, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def escape(text: str) -> str:
    """Return text that Plotly shows as it is: its labels are a small dialect of HTML."""
    return html.escape(text, quote=False)


def rounded(values: Sequence[float | None], digits: int) -> list[float | None]:
    """Return the values as a page needs them, None where one is missing."""
    return [None if value is None else round(float(value), digits) for value in values]

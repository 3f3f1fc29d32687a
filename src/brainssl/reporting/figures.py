"""The figures of a report, as Plotly specifications that the page draws."""

import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from brainssl.reporting.results import BASELINE, CONTROLS, Arm, History, Study
from brainssl.reporting.wording import HEADLINE, fraction_title

_BASELINE_COLOUR, CONTROL_COLOUR = "#8b6f5a", "#8a929c"
# Mid tones, legible on white and on near-black alike; the first is the page's accent.
COLOURS = (
    "#12908a",
    "#d9772b",
    "#5b84d6",
    "#b75a9c",
    "#8c9130",
    "#cf5550",
    "#7c6fd0",
    "#3d9a50",
    "#b98a1d",
    "#4aa3c2",
)


@dataclass(frozen=True)
class Figure:
    """A Plotly figure: `specification` is JSON text, safe inside a `<script>` element.

    Attributes:
        name: Anchor, unique on the page.
        caption: What is shown and measured on what.
        height: In CSS pixels, without the legend that a narrow page sets below.
        square: Whether the plotting area should be as wide as it is high.
    """

    name: str
    caption: str
    specification: str
    height: int = 380
    square: bool = False
    kind: ClassVar[str] = "figure"


def label_efficiency(study: Study, protocol: str) -> Figure:
    """Plot the score against the label fraction.

    Lines go through the means over seeds; markers are single models, each with its own interval,
    so that the scatter of seeds and the uncertainty of sampling stay two things.
    """
    by_model: dict[str, list[Arm]] = {}
    for arm in study.arms(protocol):
        if arm.mean(HEADLINE.name) is not None:
            by_model.setdefault(arm.title, []).append(arm)
    colour_of = method_colours(study)
    fractions = sorted({arm.label_fraction for arms in by_model.values() for arm in arms}) or [1.0]
    traces = []
    for place, (title, arms) in enumerate(by_model.items()):
        colour = colour_of.get(arms[0].method, CONTROL_COLOUR)
        # Models of one label fraction stand side by side; the hover names the true fraction.
        shift = 1.0 + 0.035 * (place - (len(by_model) - 1) / 2)
        dash = "dot" if arms[0].stage == "linear" else "solid"
        traces += [_mean_line(arms, title, colour, dash, shift), _models(arms, colour, shift)]
    layout = {
        "xaxis": {
            "title": {"text": "Training labels used"},
            "type": "log",
            "range": [math.log10(70 * fractions[0]), math.log10(140 * fractions[-1])],
            "tickvals": [round(100 * f, 4) for f in fractions],
            "ticktext": [fraction_title(f) for f in fractions],
        },
        "yaxis": {"title": {"text": f"{HEADLINE.title} on test, %"}, "rangemode": "tozero"},
        "showlegend": True,
    }
    caption = (
        f"{HEADLINE.title} on the test split of “{protocol}” against the share of training labels. "
        "Lines go through the means over seeds; each marker is the model of one seed with its "
        "95 % interval."
    )
    return Figure(f"efficiency-{protocol}", caption, specification(traces, layout), 420)


def loss_curves(stage: str, title: str, histories: Sequence[History]) -> Figure:
    """Plot the losses of one stage: training drawn through, validation dashed."""
    arms = list(dict.fromkeys(history.arm for history in histories))
    named: set[str] = set()
    traces = []
    for history in histories:
        colour = COLOURS[arms.index(history.arm) % len(COLOURS)]
        both = (("training", history.train_loss, "solid"), ("validation", history.val_loss, "dot"))
        for split, losses, dash in both:
            if all(loss is None for loss in losses):
                continue
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines" if len(losses) > 1 else "markers",
                    "name": escape(history.arm),
                    "legendgroup": escape(history.arm),
                    "showlegend": history.arm not in named,
                    "x": history.epochs,
                    "y": rounded(losses, 5),
                    "line": {"color": colour, "dash": dash, "width": 1.6},
                    "marker": {"color": colour, "size": 6},
                    "hovertemplate": "epoch %{x}: %{y:.4f}<extra>"
                    f"{escape(f'{history.label}, {split}')}</extra>",
                }
            )
            named.add(history.arm)
    validated = any(any(v is not None for v in history.val_loss) for history in histories)
    layout = {
        "xaxis": {"title": {"text": "Epoch"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "Loss"}},
        "showlegend": True,
    }
    caption = f"{title}: loss by epoch, a line for each seed" + (
        ", training drawn through, validation dotted." if validated else ", on the training split."
    )
    return Figure(f"loss-{stage}", caption, specification(traces, layout), 320)


def method_colours(study: Study) -> dict[str, str]:
    """Return one colour a method, the same in every figure."""
    methods = [str(m) for m in study.facts.get("methods") or ()]
    methods += sorted({row.method for row in study.rows} - set(methods))
    own = [method for method in methods if method != BASELINE and method not in CONTROLS]
    colours = {method: COLOURS[i % len(COLOURS)] for i, method in enumerate(own)}
    return colours | {BASELINE: _BASELINE_COLOUR}


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


def _mean_line(
    arms: Sequence[Arm], title: str, colour: str, dash: str, shift: float
) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(title),
        "legendgroup": escape(title),
        "x": [round(100 * arm.label_fraction * shift, 4) for arm in arms],
        "y": [round(100 * (arm.mean(HEADLINE.name) or 0.0), 2) for arm in arms],
        "line": {"color": colour, "dash": dash, "width": 1.8},
        "hoverinfo": "skip",
    }


def _models(arms: Sequence[Arm], colour: str, shift: float) -> dict[str, Any]:
    """Return the markers of single models, seeds a little apart, with their intervals."""
    x, y, above, below, text = [], [], [], [], []
    for arm in arms:
        rows = [row for row in arm.rows if row.metrics.get(HEADLINE.name) is not None]
        for place, row in enumerate(rows):
            value = row.metrics.get(HEADLINE.name) or 0.0
            low, high = row.intervals.get(HEADLINE.name) or (value, value)
            x.append(round(100 * arm.label_fraction * shift * 1.008 ** (place - len(rows) / 2), 4))
            y.append(round(100 * value, 2))
            above.append(round(100 * (high - value), 2))
            below.append(round(100 * (value - low), 2))
            text.append(
                f"{escape(arm.title)}, {fraction_title(arm.label_fraction)}, seed {row.seed}: "
                f"{HEADLINE.number(value)} ({HEADLINE.range((low, high))})"
            )
    bars = {"type": "data", "symmetric": False, "array": above, "arrayminus": below}
    return {
        "type": "scatter",
        "mode": "markers",
        "legendgroup": escape(arms[0].title),
        "showlegend": False,
        "x": x,
        "y": y,
        "text": text,
        "marker": {"size": 6, "color": colour},
        "error_y": {**bars, "thickness": 1.1, "width": 3, "color": colour},
        "hovertemplate": "%{text}<extra></extra>",
    }


def rounded(values: Sequence[float | None], digits: int) -> list[float | None]:
    """Return the values as a page needs them, None where one is missing."""
    return [None if value is None else round(float(value), digits) for value in values]

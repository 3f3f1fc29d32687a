"""ROC and precision–recall curves of every class against the rest."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from brainssl.evaluation.factors import family_and_sequence
from brainssl.reporting.figures.figure import (
    COLOURS,
    CONTROL_COLOUR,
    Figure,
    escape,
    rounded,
    specification,
)
from brainssl.reporting.wording import shorten

_DASHES = ("solid", "dash", "dot", "dashdot")
_CURVE_POINTS = 300
_CHANCE: dict[str, Any] = {
    "type": "scatter",
    "mode": "lines",
    "x": [0, 1],
    "y": [0, 1],
    "line": {"color": CONTROL_COLOUR, "width": 1, "dash": "dot"},
    "showlegend": False,
    "hoverinfo": "skip",
}

_Positive = Int64[np.ndarray, " n"]
_Scores = Float64[np.ndarray, " n"]


def roc_curves(
    labels: Int64[np.ndarray, " n"],
    probabilities: Float64[np.ndarray, "n classes"],
    classes: Sequence[str],
    name: str,
    title: str,
) -> Figure:
    """Plot the ROC curve of each class against the rest, with its area in the legend."""
    from sklearn.metrics import auc, roc_curve

    def curve(positive: _Positive, scores: _Scores) -> tuple[np.ndarray, np.ndarray, float]:
        false, true, _ = roc_curve(positive, scores)
        return false, true, float(auc(false, true))

    traces = _class_traces(curve, labels, probabilities, classes, "AUROC", "linear")
    layout = _unit_axes("False positive rate", "True positive rate")
    caption = (
        f"ROC, one class against the rest, {title}. The legend gives the area under each; "
        "click a class to hide it, twice to see it alone."
    )
    return Figure(name, caption, specification([_CHANCE, *traces], layout), 460, square=True)


def pr_curves(
    labels: Int64[np.ndarray, " n"],
    probabilities: Float64[np.ndarray, "n classes"],
    classes: Sequence[str],
    name: str,
    title: str,
) -> Figure:
    """Plot the precision–recall curve of each class, with its average precision in the legend."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    def curve(positive: _Positive, scores: _Scores) -> tuple[np.ndarray, np.ndarray, float]:
        precision, recall, _ = precision_recall_curve(positive, scores)
        return recall, precision, float(average_precision_score(positive, scores))

    traces = _class_traces(curve, labels, probabilities, classes, "AP", "hv")
    layout = _unit_axes("Recall", "Precision")
    caption = (
        f"Precision–recall, one class against the rest, {title}. The legend gives the average "
        "precision; chance is the share of the class."
    )
    return Figure(name, caption, specification(traces, layout), 460, square=True)


def class_styles(classes: Sequence[str]) -> list[dict[str, str]]:
    """Return colour and dash of each class: colour by family, dash by sequence where named."""
    split = [family_and_sequence(name) for name in classes]
    if all(sequence for _, sequence in split):
        families = list(dict.fromkeys(family for family, _ in split))
        sequences = list(dict.fromkeys(sequence for _, sequence in split))
        places = [(families.index(f), sequences.index(s)) for f, s in split]
    else:
        places = [(i % len(COLOURS), i // len(COLOURS)) for i in range(len(classes))]
    return [
        {"color": COLOURS[colour % len(COLOURS)], "dash": _DASHES[dash % len(_DASHES)]}
        for colour, dash in places
    ]


def _class_traces(
    curve: Callable[[_Positive, _Scores], tuple[np.ndarray, np.ndarray, float]],
    labels: Int64[np.ndarray, " n"],
    probabilities: Float64[np.ndarray, "n classes"],
    classes: Sequence[str],
    area: str,
    shape: str,
) -> list[dict[str, Any]]:
    """Return a curve for each class that has a positive and a negative image: no other has one."""
    traces = []
    for index, style in enumerate(class_styles(classes)):
        positive = (labels == index).astype(np.int64)
        if not 0 < positive.sum() < len(positive):
            continue
        x, y, value = curve(positive, probabilities[:, index])
        kept = _thinned(len(x))
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(f"{shorten(classes[index], 34)}  {value:.3f}"),
                "x": rounded(x[kept].tolist(), 4),
                "y": rounded(y[kept].tolist(), 4),
                "line": dict(style, width=1.7, shape=shape),
                "hovertemplate": f"%{{x:.2f}}, %{{y:.2f}}<extra>{escape(classes[index])}"
                f"<br>{area} {value:.3f}</extra>",
            }
        )
    return traces


def _thinned(n: int) -> Int64[np.ndarray, " kept"]:
    """Return at most `_CURVE_POINTS` indices of n, both ends among them."""
    return np.unique(np.linspace(0, n - 1, min(n, _CURVE_POINTS)).round().astype(np.int64))


def _unit_axes(x: str, y: str) -> dict[str, Any]:
    axis = {"range": [-0.02, 1.02], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    return {
        "xaxis": {**axis, "title": {"text": x}},
        "yaxis": {**axis, "title": {"text": y}},
        "showlegend": True,
    }

"""The section on how sure models are: calibration, prediction sets, and when to abstain."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from brainssl.reporting.blocks import Block, Columns, Fold, Prose
from brainssl.reporting.figures.figure import (
    Figure,
    Key,
    escape,
    learner_keys,
    rounded,
    specification,
)
from brainssl.reporting.findings.outcomes import chosen_step
from brainssl.reporting.rows import Row
from brainssl.reporting.study import Study
from brainssl.reporting.tables.certainty import (
    Analysed,
    calibration_table,
    class_coverage_table,
    coverage_table,
    novelty_table,
)

_CALIBRATION = (
    "A model is calibrated if of the images of which it is 80 % sure 80 % are right. One "
    "temperature, fitted on validation, divides the logits; it changes no prediction. ECE is "
    "biased upwards where images are few, so read it beside Brier and NLL: lower is better in all. "
    "With few validation images the temperature is a guess, and scaling may make things worse."
)
_SETS = (
    "Instead of one class a model can name a set that should hold the true class in 90 % of "
    "images, its threshold set on validation (split conformal prediction). The guarantee is for "
    "exchangeable images, and slices of a group are not, so it is the measured coverage that "
    "counts; and an average of 90 % can hide a class that is missed."
)
_ABSTAINING = (
    "A model may leave to a person what it is least sure of. The curve shows the error among the "
    "images that it answers, the surest first: one that falls steeply to the left knows when it "
    "does not know."
)

_STRANGE = (
    "A classifier has an answer for everything. Images without a label are taken here as images of "
    "classes that it was never taught (if they may be of known ones, leave this table out), and it "
    "is asked whether it is less sure of them than of the test images. Self-supervised encoders "
    "have seen them in pretraining, without labels. AUROC 0.5 and FPR95 95 % are blindness."
)


def content(study: Study) -> tuple[Block, ...]:
    """Show calibration, conformal sets and risk–coverage curves of the best-fed models."""
    models = _models(study)
    if not models:
        return ()
    step = chosen_step(study)
    shown = next((m for m in models if m[0].step == step), models[0])
    blocks: list[Block] = [
        Columns((_reliability(study, *shown), _risk_coverage(study, models))),
        calibration_table(models),
        Fold("How to read this", (Prose((_CALIBRATION, _ABSTAINING)),)),
        Fold("Sets of classes instead of one", (Prose((_SETS,)), coverage_table(models))),
        Fold(f"Coverage of each class, {_title(shown[0])}", (class_coverage_table(*shown),)),
    ]
    strange = [(row, about) for row, about in models if "novelty" in about]
    if strange:
        blocks += [novelty_table(strange), Fold("What is asked here", (Prose((_STRANGE,)),))]
    return tuple(blocks)


def _models(study: Study) -> list[Analysed]:
    """Return the models of the first protocol that were analysed, with what was found."""
    about = study.analysis.get("models") or {}
    arms = [arm for protocol in study.protocols[:1] for arm in study.arms(protocol)]
    rows = [row for arm in arms for row in arm.rows if row.step in about]
    most = max((row.label_fraction for row in rows), default=0.0)
    return [(row, about[row.step]) for row in rows if row.label_fraction == most]


def _reliability(study: Study, row: Row, about: Mapping[str, Any]) -> Figure:
    key = learner_keys(study)[row.learner]
    traces: list[dict[str, Any]] = [_diagonal()]
    for name, title, line in (
        ("before", "as trained", Key("", key.colour, key.symbol, "dot")),
        ("after", "temperature scaled", key),
    ):
        bins = about["calibration"][name]["bins"]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": title,
                "x": rounded([b["confidence"] for b in bins], 4),
                "y": rounded([b["accuracy"] for b in bins], 4),
                "customdata": [b["n"] for b in bins],
                "line": line.line(1.6),
                "marker": line.marker(7),
                "hovertemplate": "sure %{x:.2f}, right %{y:.2f}, %{customdata} images"
                f"<extra>{title}</extra>",
            }
        )
    axis = {"range": [-0.02, 1.02], "tickvals": [0, 0.25, 0.5, 0.75, 1]}
    layout = {
        "xaxis": {**axis, "title": {"text": "How sure it is"}},
        "yaxis": {**axis, "title": {"text": "How often it is right"}},
        "showlegend": True,
    }
    caption = (
        f"Reliability, {_title(row)}: for images of which the model is about equally sure, how "
        "many it names rightly. On the dotted line it would be calibrated."
    )
    return Figure("reliability", caption, specification(traces, layout), 460, square=True)


def _risk_coverage(study: Study, models: Sequence[Analysed]) -> Figure:
    keys, seen, traces = learner_keys(study), set(), []
    for row, about in models:
        if row.key in seen:
            continue  # the first seed of each
        seen.add(row.key)
        key, curve = keys[row.learner], about["selective"]
        title = row.title
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": escape(title),
                "x": rounded([100 * value for value in curve["coverage"]], 2),
                "y": rounded([100 * value for value in curve["risk"]], 2),
                "line": replace(key, dash=_dash(row, key)).line(1.6),
                "hovertemplate": f"answers %{{x:.0f}} %, wrong %{{y:.1f}} %<extra>"
                f"{escape(title)}</extra>",
            }
        )
    layout = {
        "xaxis": {"range": [0, 102], "title": {"text": "Images that it answers, %"}},
        "yaxis": {"rangemode": "tozero", "title": {"text": "Errors among them, %"}},
        "showlegend": True,
    }
    caption = (
        "Risk–coverage on the test split, the first seed of each model; linear probes are dotted."
    )
    return Figure("risk-coverage", caption, specification(traces, layout), 460, square=True)


def _dash(row: Row, key: Key) -> str:
    return "dot" if row.stage == "linear" else key.dash if row.start else "solid"


def _diagonal() -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [0, 1],
        "y": [0, 1],
        "line": {"color": "#8a929c", "width": 1, "dash": "dot"},
        "showlegend": False,
        "hoverinfo": "skip",
    }


def _title(row: Row) -> str:
    return f"{row.title}, seed {row.seed}"

"""The section that sets pretrained against supervised models at each label fraction."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from brainssl.data.shots import Shots
from brainssl.reporting.blocks import Block, Fold, Multiples, Prose
from brainssl.reporting.figures.figure import FAINT, Key, escape, learner_keys, panel
from brainssl.reporting.findings.classical import strongest
from brainssl.reporting.rows import Arm, Row
from brainssl.reporting.study import Study
from brainssl.reporting.titles import (
    BASELINE,
    CLASSICAL,
    CONTROLS,
    Learner,
    is_self_supervised,
    method_title,
)
from brainssl.reporting.wording import HEADLINE, fraction_title, join
from brainssl.settings import SEMI_SUPERVISED
from brainssl.settings.starts import mark_of

# In the order in which they are shown; without a method there are controls and baseline alone.
_STAGES = {"finetune": "Fine-tuned models", "linear": "Linear probes", "": "Models"}

_CLOSEST = 0.05  # decades between two label fractions that stand beside each other
_UNKNOWN = 0.01  # share of labels of shots that do not say what they came to

_HOW_TO_READ = (
    "Lines go through the means over seeds. Each marker is the model of one seed with its "
    "95\u00a0% interval for the choice of test groups; how far seeds scatter is another thing. "
    "Models of one label fraction stand side by side."
)


def content(study: Study) -> tuple[Block, ...]:
    """Plot the score against the label fraction: for each stage, a panel a method."""
    blocks: list[Block] = []
    for protocol in study.protocols:
        arms = [arm for arm in study.arms(protocol) if arm.mean(HEADLINE.name) is not None]
        stages = {arm.stage for arm in arms if arm.pretrained} or {""}
        known = [stage for stage in _STAGES if stage in stages]
        order = [*known, *sorted(stages - set(known))] if arms else []
        blocks += [_stage(study, protocol, stage, arms) for stage in order]
    if blocks:
        blocks.append(Fold("How to read this", (Prose((_HOW_TO_READ,)),)))
    return tuple(blocks)


def _stage(study: Study, protocol: str, stage: str, arms: Sequence[Arm]) -> Multiples:
    keys = learner_keys(study)
    own = _by_learner(arm for arm in arms if arm.pretrained and arm.stage == stage)
    most = [arm for arm in arms if arm.label_fraction == arms[-1].label_fraction]
    classical = strongest(study, [arm for arm in most if arm.method in CLASSICAL])
    beside = _by_learner(
        arm
        for arm in arms
        if arm.method in (BASELINE, *SEMI_SUPERVISED)
        or (arm.method in CONTROLS and stage in ("", arm.stage))
        or (classical is not None and arm.method == classical.method)
    )
    layout = _axes([arm for group in (*own.values(), *beside.values()) for arm in group])
    figures = []
    for learner in own or [("", "")]:
        method, start = learner
        near = {name: group for name, group in beside.items() if name[1] in ("", start) or not own}
        shown = near | {name: group for name, group in own.items() if name == learner}
        faint = [_mean_line(group, Key("", FAINT), 1.0) for group in own.values()]
        figures.append(
            panel(
                f"efficiency-{protocol}-{stage or 'all'}-{method or 'all'}{mark_of(start)}",
                keys.get(learner, Key("All models", "")),
                f"{HEADLINE.title} by label fraction, {stage or 'all'}: "
                + ", ".join(keys[name].label for name in shown),
                [*faint, *_models(shown, keys)],
                layout,
                250,
            )
        )
    title = _STAGES.get(stage, stage)
    baseline = any(method == BASELINE for method, _ in beside)
    title += " against the supervised baseline" if own and baseline else ""
    title += f", protocol “{protocol}”" if len(study.protocols) > 1 else ""
    caption = (
        f"{HEADLINE.title} on the test split of “{protocol}”, in %, against the share of training "
        "labels. All panels have the same scale."
    )
    names = dict.fromkeys(name for name, _ in own if name and not is_self_supervised(name))
    if names:
        taught = join([method_title(name) for name in names])
        caption += f" Pretrained with these labels, too: {taught}."
    others = [Key("Means of the other methods", FAINT)] if len(own) > 1 else []
    legend = (*(keys[learner] for learner in beside), *others)
    across = 2 if len(figures) in (1, 2, 4) else 3
    name = f"efficiency-{protocol}-{stage or 'all'}"
    return Multiples(name, title, caption, legend, tuple(figures), across)


def _by_learner(arms: Iterable[Arm]) -> dict[Learner, list[Arm]]:
    found: dict[Learner, list[Arm]] = {}
    for arm in arms:
        found.setdefault(arm.learner, []).append(arm)
    return found


def _axes(arms: Sequence[Arm]) -> dict[str, Any]:
    places = {arm.label_fraction: _place(arm) for arm in arms}
    fractions = sorted(places.values())
    ends = [end for arm in arms for limits in arm.intervals(HEADLINE.name) for end in limits]
    scores = [*ends, *(value for arm in arms for value in arm.values(HEADLINE.name))]
    low, high = 100 * min(scores) - 2, 100 * max(scores) + 2
    pad = _room(fractions)
    return {
        "xaxis": {
            "type": "log",
            "range": [math.log10(100 * fractions[0]) - pad, math.log10(100 * fractions[-1]) + pad],
            "tickvals": [round(100 * place, 4) for place in places.values()],
            "ticktext": [fraction_title(fraction) for fraction in places],
        },
        "yaxis": {"range": [round(low, 1), round(high, 1)], "dtick": 20 if high - low > 50 else 10},
    }


def _place(arm: Arm) -> float:
    """Return the share of labels that an arm stands at: of shots what they came to."""
    if not isinstance(arm.label_fraction, Shots):
        return arm.label_fraction
    return fmean([row.label_share for row in arm.rows if row.label_share] or [_UNKNOWN])


def _room(fractions: Sequence[float]) -> float:
    """Return how far to each side of a label fraction there is room, in decades."""
    gaps = [math.log10(b / a) for a, b in pairwise(fractions)]
    return 0.3 * max(min(gaps, default=0.5), _CLOSEST)


def _mean_line(arms: Sequence[Arm], key: Key, width: float) -> dict[str, Any]:
    arms = sorted(arms, key=_place)
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [round(100 * _place(arm), 4) for arm in arms],
        "y": [round(100 * (arm.mean(HEADLINE.name) or 0.0), 2) for arm in arms],
        "line": key.line(width),
        "hoverinfo": "skip",
    }


def _models(shown: dict[Learner, list[Arm]], keys: dict[Learner, Key]) -> list[dict[str, Any]]:
    """Return the mean lines, and markers of single models side by side, with their intervals."""
    fractions = sorted({_place(arm) for group in shown.values() for arm in group})
    most = {one: max(len(arm.rows) for arm in group) for one, group in shown.items()}
    step = min(0.03, 2 * _room(fractions) / sum(most.values()))
    lines, markers, begun = [], [], 0
    for learner, group in shown.items():
        middle = (sum(most.values()) - 1) / 2
        points = [
            (100 * _place(arm) * 10 ** (step * (begun + place - middle)), arm, row)
            for arm in group
            for place, row in enumerate(arm.rows)
            if row.metrics.get(HEADLINE.name) is not None
        ]
        begun += most[learner]
        lines.append(_mean_line(group, keys[learner], 1.8))
        markers.append(_markers(points, keys[learner]))
    return lines + markers


def _markers(points: Sequence[tuple[float, Arm, Row]], key: Key) -> dict[str, Any]:
    y, above, below, text = [], [], [], []
    for _, arm, row in points:
        value = row.metrics.get(HEADLINE.name) or 0.0
        low, high = row.intervals.get(HEADLINE.name) or (value, value)
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
        "x": [round(x, 4) for x, _, _ in points],
        "y": y,
        "text": text,
        "marker": key.marker(6),
        "error_y": {**bars, "thickness": 1.1, "width": 2, "color": key.colour},
        "hovertemplate": "%{text}<extra></extra>",
    }

"""The score of a model in words, with what scatters and its interval."""

from brainssl.reporting.rows import Arm
from brainssl.reporting.wording import (
    HEADLINE,
    percent,
)


def brief_score(arm: Arm) -> str:
    """Return "60.0 %", with the interval if it is of one model."""
    limits = arm.rows[0].intervals.get(HEADLINE.name)
    span = f" ({HEADLINE.range(limits)})" if len(arm.rows) == 1 and limits else ""
    return f"{percent(arm.mean(HEADLINE.name))}\u00a0%{span}"


def scores_of(arm: Arm) -> str:
    """Return "42.5 ± 0.6 % (mean ± sd of 2 seeds; seed 0: 42.8 %, 95 % interval 38.0–47.5 %)"."""
    first = next(row for row in arm.rows if row.metrics.get(HEADLINE.name) is not None)
    limits = first.intervals.get(HEADLINE.name)
    sampled = "no interval" if limits is None else f"95 % interval {HEADLINE.range(limits)} %"
    score = f"{percent(first.metrics[HEADLINE.name])} %"
    sd = arm.sd(HEADLINE.name)
    if sd is None:
        text = f"{score} (seed {first.seed}, {sampled})"
    else:
        seeds = len(arm.values(HEADLINE.name))
        scatter = f"{percent(arm.mean(HEADLINE.name))} ± {percent(sd)} %"
        text = f"{scatter} (mean ± sd of {seeds} seeds; seed {first.seed}: {score}, {sampled})"
    # A number stays with its sign when the line breaks.
    return text.replace(" %", "\u00a0%").replace(" ± ", "\u00a0±\u00a0")

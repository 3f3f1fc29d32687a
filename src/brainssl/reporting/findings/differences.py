"""Two arms against each other: on the same test images, or by their intervals."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from brainssl.reporting.rows import Arm, Interval, interval
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE, learner_and_stage
from brainssl.reporting.wording import (
    HEADLINE,
    percent,
    signed,
)
from brainssl.settings.starts import start_title

Verdict = Literal["above", "below", "undecided"]


@dataclass(frozen=True)
class Difference:
    """One arm minus another on the same test images, in the mean over seeds, and its interval."""

    first: Arm
    second: Arm
    gap: float
    limits: Interval

    @property
    def text(self) -> str:
        """The difference in words."""
        second = self.second
        title = full_title(second)
        if second.method == BASELINE:
            title = f"supervised{from_start(second)}" if second.start else "the supervised baseline"
        return (
            f"On the same images {full_title(self.first)}, minus {title}: {signed(self.gap)} "
            f"points, 95\u00a0% interval {percent(self.limits[0])} to {percent(self.limits[1])}"
            + (
                ", so these figures do not tell the two apart."
                * (of_interval(self.limits) == "undecided")
                or "."
            )
        )


def compare(arm: Arm, baseline: Arm) -> Verdict:
    """Say whether two arms' intervals lie apart, over all of their seeds.

    For studies whose models were not compared on the same images.

    "above" needs every interval of `arm` to lie above every interval of `baseline`; anything that
    overlaps, and a seed without an interval, is "undecided". That is stricter than a test of the
    difference on the same cases would be.
    """
    own, other = arm.intervals(HEADLINE.name), baseline.intervals(HEADLINE.name)
    if len(own) < len(arm.rows) or len(other) < len(baseline.rows):
        return "undecided"
    if min(low for low, _ in own) > max(high for _, high in other):
        return "above"
    if max(high for _, high in own) < min(low for low, _ in other):
        return "below"
    return "undecided"


def compared(study: Study, first: Arm, second: Arm) -> tuple[Mapping[str, Any], int] | None:
    """Return what the study found of two arms on the same test images; None if it did not compare.

    Returns:
        An entry of its comparisons, and 1 where that is of `first` minus `second`, else -1.
    """
    place = (first.protocol, first.label_fraction, HEADLINE.name)
    asked = [(arm.learner, arm.stage) for arm in (first, second)]
    for pair in study.analysis.get("comparisons") or ():
        if (pair["protocol"], pair["label_fraction"], pair["metric"]) == place:
            sides = [learner_and_stage(pair[side]) for side in ("first", "second")]
            if sides in (asked, asked[::-1]):
                return pair, 1 if sides == asked else -1
    return None


def paired(study: Study, arm: Arm, baseline: Arm) -> tuple[float, Interval] | None:
    """Return arm − baseline on the same test images, if the study has compared the two."""
    found = compared(study, arm, baseline)
    limits = interval(found[0]["interval"]) if found else None
    if found is None or limits is None:
        return None
    pair, sign = found
    low, high = sorted(sign * end for end in limits)
    return sign * pair["difference"], (low, high)


def of_interval(limits: Interval) -> Verdict:
    """Judge by whether an interval of a difference leaves out 0."""
    if limits[0] > 0:
        return "above"
    return "below" if limits[1] < 0 else "undecided"


def full_title(arm: Arm) -> str:
    """Return the title, and that labels were used before fine-tuning where they were."""
    taught = arm.pretrained and not arm.self_supervised
    return f"{arm.title}{' (pretrained with the labels)' * taught}"


def from_start(arm: Arm) -> str:
    """Return the start where there are several: " from ImageNet"."""
    return f" from {start_title(arm.start)}" if arm.start else ""

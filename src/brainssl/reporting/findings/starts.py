"""What self-supervision adds to the weights that encoders begin with, in words."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from brainssl.data.shots import LabelFraction
from brainssl.evaluation.comparison import holm
from brainssl.reporting.findings.classical import strongest
from brainssl.reporting.study import (
    BASELINE,
    CONTROLS,
    Arm,
    Interval,
    Study,
    interval,
    learner_and_stage,
    method_title,
)
from brainssl.reporting.wording import HEADLINE, join, labels_title, percent, signed
from brainssl.settings.starts import RANDOM, start_title

LEVEL = 0.05


@dataclass(frozen=True)
class Contrast:
    """One model minus another one on the same test images.

    Attributes:
        first: the model.
        second: what it is set against.
        difference: of their accuracies, in the mean over seeds.
        limits: its 95 % interval (paired cluster bootstrap); None with fewer than two groups.
        p_value: two-sided; NaN with fewer than two groups.
        p_holm: corrected for all contrasts of all starts and label fractions.
    """

    first: Arm
    second: Arm
    difference: float
    limits: Interval | None
    p_value: float
    p_holm: float = math.nan

    @property
    def sure(self) -> bool:
        """Whether it is more than chance after correction."""
        return self.p_holm < LEVEL


@dataclass(frozen=True)
class Worth:
    """A start at one label fraction; None stands for what the study does not have.

    Attributes:
        start: its short name.
        label_fraction: a share in (0, 1], or shots.
        as_it_is: a linear probe on the weights themselves.
        probed: the linear probe after pretraining that is best on validation.
        supervised: fine-tuned without pretraining.
        finetuned: of those fine-tuned after pretraining the best on validation.
        frozen: `probed` minus `as_it_is`.
        trained: `finetuned` minus `supervised`.
        itself: `supervised` minus the same from random weights.
    """

    start: str
    label_fraction: LabelFraction
    as_it_is: Arm | None
    probed: Arm | None
    supervised: Arm | None
    finetuned: Arm | None
    frozen: Contrast | None
    trained: Contrast | None
    itself: Contrast | None


def worths(study: Study) -> list[Worth]:
    """Return what each start is worth under the default protocol, by label fraction and start.

    Nothing is returned of a study that began with random weights alone.
    """
    if not study.protocols or study.starts == [RANDOM]:
        return []
    protocol = study.protocols[0]
    arms = [arm for arm in study.arms(protocol) if arm.mean(HEADLINE.name) is not None]
    fractions = sorted({arm.label_fraction for arm in arms}, reverse=True)
    return _corrected(
        [
            _worth(study, [arm for arm in arms if arm.label_fraction == fraction], start, fraction)
            for fraction in fractions
            for start in study.starts
        ]
    )


def said(found: Sequence[Worth]) -> list[str]:
    """Say of each start what self-supervision adds to it, then what the start adds itself."""
    told = []
    for start in dict.fromkeys(one.start for one in found):
        own = [one for one in found if one.start == start]
        kinds = (("fine-tuning", "trained"), ("a linear probe", "frozen"))
        clauses = [
            _clause(contrast, what, method_title(contrast.first.method), one.label_fraction)
            for what, kind in kinds
            for one in own
            if (contrast := getattr(one, kind)) is not None
        ]
        if clauses:
            told.append(
                f"From {start_title(start)}, self-supervision on these images {join(clauses)}."
            )
    for start in dict.fromkeys(one.start for one in found if one.itself):
        what = f"supervised training from {start_title(RANDOM)}"
        clauses = [
            _clause(one.itself, what, "", one.label_fraction)
            for one in found
            if one.start == start and one.itself
        ]
        told.append(f"{start_title(start)} without self-supervision {join(clauses)}.")
    return told


def _worth(study: Study, arms: Sequence[Arm], start: str, fraction: LabelFraction) -> Worth:
    def of(name: str) -> list[Arm]:
        # Where there is one start, arms do not tell it.
        return [arm for arm in arms if arm.start == (name if len(study.starts) > 1 else "")]

    own = of(start)
    pretrained = [arm for arm in own if arm.self_supervised]
    as_it_is = next((arm for arm in own if arm.method in CONTROLS), None)
    supervised = next((arm for arm in own if arm.method == BASELINE), None)
    plain = next((arm for arm in of(RANDOM) if arm.method == BASELINE), None)
    probed = strongest(study, [arm for arm in pretrained if arm.stage == "linear"])
    finetuned = strongest(study, [arm for arm in pretrained if arm.stage == "finetune"])
    return Worth(
        start,
        fraction,
        as_it_is,
        probed,
        supervised,
        finetuned,
        _contrast(study, probed, as_it_is),
        _contrast(study, finetuned, supervised),
        None if start == RANDOM else _contrast(study, supervised, plain),
    )


def _contrast(study: Study, first: Arm | None, second: Arm | None) -> Contrast | None:
    """Return what the analysis found of two arms; None where it compared them not."""
    if first is None or second is None or first is second:
        return None
    asked = [(first.learner, first.stage), (second.learner, second.stage)]
    place = (first.protocol, first.label_fraction, HEADLINE.name)
    for pair in study.analysis.get("comparisons") or ():
        if (pair["protocol"], pair["label_fraction"], pair["metric"]) != place:
            continue
        sides = [learner_and_stage(pair[side]) for side in ("first", "second")]
        if sides in (asked, asked[::-1]):
            return _read(pair, first, second, 1 if sides == asked else -1)
    return None


def _read(pair: Mapping[str, Any], first: Arm, second: Arm, sign: int) -> Contrast:
    limits = interval(pair["interval"])
    low, high = sorted(sign * end for end in limits) if limits else (0.0, 0.0)
    p = pair["p_value"]
    return Contrast(
        first,
        second,
        sign * pair["difference"],
        (low, high) if limits else None,
        math.nan if p is None else float(p),
    )


_KINDS = ("frozen", "trained", "itself")


def _corrected(found: Sequence[Worth]) -> list[Worth]:
    """Correct for all contrasts that there are."""
    contrasts = [own for one in found for kind in _KINDS if (own := getattr(one, kind))]
    corrected = iter(holm([contrast.p_value for contrast in contrasts]))

    def of(one: Worth) -> Iterator[tuple[str, Contrast]]:
        for kind in _KINDS:
            if own := getattr(one, kind):
                yield kind, replace(own, p_holm=next(corrected))

    return [replace(one, **dict(of(one))) for one in found]


def _clause(contrast: Contrast, what: str, method: str, fraction: LabelFraction) -> str:
    """Return "adds 3.1 points to fine-tuning with 10 % of labels (SimCLR; ...)"."""
    to = f"{what} with {labels_title(fraction, of='the labels')}"
    points = f"{percent(abs(contrast.difference))} points"
    if not contrast.sure:
        told = f"adds nothing to {to} that can be told from chance"
        method = f"{method}: " * bool(method) + f"{signed(contrast.difference)} points"
    elif contrast.difference > 0:
        told = f"adds {points} to {to}"
    else:
        told = f"takes {points} from {to}"
    if contrast.limits is None:
        rest = "no interval"
    else:
        rest = f"95\u00a0% interval {percent(contrast.limits[0])} to {percent(contrast.limits[1])}"
    return f"{told} ({', '.join(filter(None, [method, rest]))})"

"""What self-supervision adds to the weights that encoders begin with, in words."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from brainssl.data.shots import LabelFraction
from brainssl.evaluation.comparison import holm
from brainssl.reporting.findings.classical import strongest
from brainssl.reporting.findings.differences import compared
from brainssl.reporting.findings.tuning import trials_of
from brainssl.reporting.rows import Arm, Interval, interval
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE, CONTROLS, method_title
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
        family: how many those are.
    """

    first: Arm
    second: Arm
    difference: float
    limits: Interval | None
    p_value: float
    p_holm: float = math.nan
    family: int = 0

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
    """Say of each start in a sentence what self-supervision adds, then what the start itself does.

    What is not more than chance after correction is said not to be told.
    """
    starts = list(dict.fromkeys(one.start for one in found))
    told: list[str] = []
    for start in starts:
        own = [one for one in found if one.start == start]
        items = [("fine-tuning", one.trained) for one in own]
        items += [("a linear probe", one.frozen) for one in own]
        subject = "self-supervision on these images"
        told += _sentence(f"from {start_title(start)}, ", subject, items)
    for start in starts:
        own = [one for one in found if one.start == start]
        subject = f"starting from {start_title(start)} instead of {start_title(RANDOM)}"
        told += _sentence("", subject, [("supervised training", one.itself) for one in own])
    return told


def level(study: Study, found: Sequence[Worth]) -> list[str]:
    """Say which optimiser steps and how many trials the two sides of the contrasts had."""
    told: list[str] = []
    if any(one.trained for one in found):
        own = (study.facts.get("settings") or {}).get(BASELINE) or {}
        told.append(_EQUAL_STEPS if own.get("equal_steps") else _FEWER_STEPS)
    if any(one.trained or one.frozen for one in found):
        told.append(_trials(study, found))
    return told


# Studies from before the setting had a baseline without it.
_EQUAL_STEPS = (
    "Steps are level (supervised.equal_steps): pretrained encoders had those of a pretraining "
    "before those of fine-tuning, the weights as they are as many more of supervised training."
)
_FEWER_STEPS = (
    "Steps are not level: pretrained encoders had those of their pretraining before those of "
    "fine-tuning, the weights as they are had those of fine-tuning alone, so that a part of what "
    "pretraining adds may be the longer training. supervised.equal_steps gives both as many."
)


def _trials(study: Study, found: Sequence[Worth]) -> str:
    """Say among how many trials each side was chosen."""
    tried = trials_of(study)
    if tried == 1:
        return "Trials are level: one of each model, with the settings as they were given."
    told = f"Trials (--tune): every pretrained model is the best of {tried} on validation"
    if any(one.trained for one in found):
        told += ", and so is supervised training"
    if any(one.frozen for one in found):
        told += (
            "; the probe on the weights as they are is one alone, which is not level: a part of "
            "what pretraining adds to a probe may be the choice"
        )
    return f"{told}."


def _sentence(
    head: str, subject: str, items: Sequence[tuple[str, Contrast | None]]
) -> Iterator[str]:
    """Yield what a subject adds to what, takes from what, and where that cannot be told."""
    known = [(what, one) for what, one in items if one is not None]
    sure = [(what, one) for what, one in known if one.sure]
    open_ones = [_item(what, one) for what, one in known if not one.sure]
    family = max((one.family for _, one in known), default=1)
    after = f"after correction for {family} differences " if family > 1 else ""
    clauses = [
        f"{word} {join(own)}"
        for word, sign in (("adds to", 1), ("takes from", -1))
        if (own := [_item(what, one) for what, one in sure if sign * one.difference > 0])
    ]
    said_so = f"{subject} {' and '.join(clauses)}" if clauses else ""
    if open_ones:
        whom = "it" if clauses else subject
        undecided = f"{after}it cannot be told whether {whom} adds to {join(open_ones, 'or')}"
        said_so = "; ".join(filter(None, [said_so, undecided]))
    if said_so:
        sentence = f"{head}{said_so}."
        yield sentence[0].upper() + sentence[1:]


def _item(what: str, contrast: Contrast) -> str:
    """Return "fine-tuning with 10 % of the labels (SimCLR: +3.1 points, ...)"."""
    first = contrast.first
    method = "" if first.method == BASELINE else f"{method_title(first.method)}: "
    span = "no interval"
    if contrast.limits is not None:
        low, high = map(percent, contrast.limits)
        span = f"95\u00a0% interval {low} to {high}"
    labels = labels_title(contrast.first.label_fraction, of="the labels")
    return f"{what} with {labels} ({method}{signed(contrast.difference)} points, {span})"


def _worth(study: Study, arms: Sequence[Arm], start: str, fraction: LabelFraction) -> Worth:
    def of(name: str) -> list[Arm]:
        # Where there is one start, arms do not tell it.
        return [arm for arm in arms if arm.start == (name if study.tells_starts else "")]

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
    found = compared(study, first, second) if first and second else None
    if first is None or second is None or found is None:
        return None
    pair, sign = found
    limits, p = interval(pair["interval"]), pair["p_value"]
    low, high = sorted(sign * end for end in limits) if limits else (0.0, 0.0)
    return Contrast(
        first,
        second,
        sign * pair["difference"],
        (low, high) if limits else None,
        math.nan if p is None else float(p),
    )


def _corrected(found: Sequence[Worth]) -> list[Worth]:
    """Correct for all contrasts that have a p value."""
    every = [own for one in found for own in (one.frozen, one.trained, one.itself) if own]
    corrected = iter(holm([contrast.p_value for contrast in every]))
    family = sum(not math.isnan(contrast.p_value) for contrast in every)

    def of(contrast: Contrast | None) -> Contrast | None:
        return contrast and replace(contrast, p_holm=next(corrected), family=family)

    return [
        replace(one, frozen=of(one.frozen), trained=of(one.trained), itself=of(one.itself))
        for one in found
    ]

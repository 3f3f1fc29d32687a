"""What the protocols of a study differ in, and what its controls expose, in words."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from brainssl.data.shots import label_fraction
from brainssl.reporting.rows import interval
from brainssl.reporting.study import Study
from brainssl.reporting.titles import title_of
from brainssl.reporting.wording import HEADLINE, join, percent, signed
from brainssl.settings.starts import RANDOM

HONEST = "grouped"
UNTRAINED_PROBE = ("untrained", "linear")
"""Method and stage of the control whose encoder was never trained."""

LARGE, WIDE = 0.1, 0.2
"""An interval of random labels that reaches the first, or is wider than the second, tells nothing:
a leak by which a tenth of the test images are recognised could hide in it."""

TOO_WIDE = (
    f"an interval that reaches {percent(LARGE)} points, or is wider than {percent(WIDE)}, leaves "
    "room for a leak that matters, and only more groups make it narrower"
)
Leak = Literal["found", "none", "open"]


def leak_of(control: Mapping[str, Any]) -> Leak | None:
    """Judge a control by random labels; None where it has no interval, and tested nothing.

    "open" cannot tell: the interval of accuracy minus guessing holds 0 and is too wide.
    """
    if control["learnt"]:
        return "found"
    limits = interval(control.get("interval"))
    if limits is None:
        return None
    low, high = limits
    return "open" if high >= LARGE or high - low > WIDE else "none"


def protocol_finding(study: Study) -> str:
    """Return what the protocols differ in and what the controls expose, in words; else nothing."""
    controls = {str(c["protocol"]): c for c in study.analysis.get("random_labels") or ()}
    gaps = study.analysis.get("optimism") or ()
    sentences = [*_flattery(gaps), *_recognition(gaps)]
    found = {protocol: leak_of(control) for protocol, control in controls.items()}
    learnt, clean, undecided = (
        [protocol for protocol, leak in found.items() if leak == one]
        for one in ("found", "none", "open")
    )
    if learnt:
        told = join([f"{_right(controls[p])} under “{p}”" for p in learnt])
        sentences.append(
            f"Labels drawn at random are learnt: {told}. That is possible only by recognising test "
            "images from training, so no score under "
            f"{'that protocol' if len(learnt) == 1 else 'these protocols'} can be believed."
        )
    if clean:
        told = join([f"“{p}” ({_right(controls[p])})" for p in clean])
        sentences.append(
            f"Nothing shows that labels drawn at random were learnt under {told}"
            + (
                "."
                if study.patients
                else ", as far as that can be told: groups are made by likeness, so patients who "
                "stand in two groups go unseen."
            )
        )
    if undecided:
        told = join([f"“{p}” ({_right(controls[p])})" for p in undecided])
        sentences.append(
            f"Whether labels drawn at random were learnt cannot be told under {told}: {TOO_WIDE}."
        )
    return " ".join(sentences)


def _flattery(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each protocol what it does to the model that scores highest under `grouped`."""
    trained = [gap for gap in gaps if gap["method"] != UNTRAINED_PROBE[0]]
    if not trained:
        return []
    most = max(label_fraction(gap["label_fraction"]) for gap in trained)
    sentences = []
    for protocol in dict.fromkeys(str(gap["protocol"]) for gap in trained):
        own = [g for g in trained if (g["protocol"], g["label_fraction"]) == (protocol, most)]
        best = max(own, key=lambda gap: float(gap["honest"]))
        limits = interval(best["interval"])
        drawn = "" if limits is None else f" (95 % interval {HEADLINE.range(limits)})"
        sentence = (
            f"{title_of(best)} scores {percent(best['accuracy'])} % "
            f"under protocol “{protocol}” and {percent(best['honest'])} % under “{HONEST}”: "
            f"a difference of {signed(best['difference'])} points{drawn}"
        )
        above = limits is not None and limits[0] > 0
        sentences.append(f"{sentence}, which is no skill." if above else f"{sentence}.")
    return sentences


def _recognition(gaps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say of each protocol what it does to encoders that were not trained on its images."""
    untrained = [gap for gap in gaps if (gap["method"], gap["stage"]) == UNTRAINED_PROBE]
    most = max((label_fraction(gap["label_fraction"]) for gap in untrained), default=0.0)
    sentences = []
    for gap in untrained:
        if gap["label_fraction"] != most:
            continue
        untold = str(gap.get("start") or RANDOM) == RANDOM
        encoder = "an encoder that was never trained" if untold else title_of(gap)
        sentences.append(
            f"A linear probe on {encoder} scores "
            f"{percent(gap['accuracy'])} % under “{gap['protocol']}” and {percent(gap['honest'])} "
            f"% under “{HONEST}”{_gained(interval(gap['interval']), untold)}."
        )
    return sentences


def _gained(limits: tuple[float, float] | None, untold: bool) -> str:
    if limits is None:
        return ""
    if limits[0] > 0:
        learnt = "no features" if untold else "nothing from these images"
        return f": it has learnt {learnt}, and gains by images whose like stood in training"
    return ", which are not told apart" if limits[1] >= 0 else ": no sign of recognition"


def _right(control: Mapping[str, Any]) -> str:
    limits = interval(control["interval"])
    span = "" if limits is None else f", 95 % interval of the difference {HEADLINE.range(limits)}"
    shares = f"{percent(control['accuracy'])} % right, guessing {percent(control['guessing'])} %"
    return f"{shares}{span}"

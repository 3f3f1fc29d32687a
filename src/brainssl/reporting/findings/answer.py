"""The whole study in one sentence, with its number and interval."""

from collections.abc import Sequence

from brainssl.data.shots import LabelFraction
from brainssl.reporting.findings.differences import from_start
from brainssl.reporting.findings.outcomes import Outcome, outcomes
from brainssl.reporting.findings.scores import brief_score, scores_of
from brainssl.reporting.rows import Arm
from brainssl.reporting.study import Study
from brainssl.reporting.titles import method_title
from brainssl.reporting.wording import (
    HEADLINE,
    count,
    labels_title,
    percent,
    signed,
)


def answer(study: Study) -> str:
    """Return the whole study in one sentence, with its number and interval."""
    found = outcomes(study)
    if not found:
        return "No model was measured on a test split: there is no result to report."
    compared = [one for one in reversed(found) if one.verdict is not None]
    if not compared:
        best = found[-1].best
        return (
            "There is no pair of a method and the supervised baseline to compare; "
            f"highest {HEADLINE.title.lower()} with "
            f"{labels_title(best.label_fraction, of='the labels')}: {best.title}, "
            f"{scores_of(best)}."
        )
    most, *others = compared
    clauses = [_first_clause(most), *(_further_clause(one, most) for one in others)]
    return f"{'; '.join(clauses)}{_below_guessing(compared)}."


def where_tested(study: Study) -> str:
    """Return "On 120 test images of 40 groups (protocol “grouped”)", as far as it is known."""
    protocol = study.protocols[0]
    images = (study.split(protocol).get("images") or {}).get("test")
    groups = (study.split(protocol).get("groups") or {}).get("test")
    where = f"On {count(images)} test images" if images else "On the test images"
    where += f" of {count(groups)} groups" if groups else ""
    where += f", each tested once in {count(study.folds)} folds" if study.folds else ""
    return f"{where} (protocol “{protocol}”)"


# How a verdict is said first in a sentence, and how after another one.
_VERDICT_CLAUSES = {
    "above": ("is ahead of", "ahead"),
    "below": ("is behind", "behind"),
    "undecided": ("cannot be told apart from", "not told apart"),
}


_INTERVAL = "95\u00a0% interval "


def _first_clause(one: Outcome) -> str:
    rival, baseline = one.rival, one.baseline
    assert rival is not None
    assert baseline is not None
    assert one.verdict is not None
    chosen = from_start(rival) + ", chosen on validation," * (one.candidates > 1)
    scores = f"{brief_score(rival)} against {brief_score(baseline)} of slices right"
    named = method_title(rival.method)
    if rival.pretrained:
        named += " pretraining" if rival.self_supervised else " pretraining with them"
    return (
        f"With {labels_title(one.label_fraction, of='the labels')}, {named}{chosen} "
        f"{_VERDICT_CLAUSES[one.verdict][0]} {_alone(rival)}{from_start(baseline)}: {scores}"
        f"{_gap(one, _INTERVAL)}"
    )


def _further_clause(one: Outcome, first: Outcome) -> str:
    rival, before = one.rival, first.rival
    assert rival is not None
    assert before is not None
    assert one.verdict is not None
    other = [method_title(*rival.learner)] if rival.learner != before.learner else []
    if one.baseline and first.baseline and one.baseline.start != first.baseline.start:
        other.append(f"against {_alone(rival)}{from_start(one.baseline)}")
    named = f" ({' '.join(other)})" if other else ""
    told = f"with {labels_title(one.label_fraction)}{named} {_VERDICT_CLAUSES[one.verdict][1]}"
    return f"{told}{_gap(one)}"


def _alone(rival: Arm) -> str:
    """Return what the baseline is to a rival: one that is pretrained with labels has no others."""
    taught = rival.pretrained and not rival.self_supervised
    return "supervised training alone" if taught else "labels alone"


def _gap(one: Outcome, interval_is: str = "") -> str:
    if one.difference is None:
        return ""
    gap, (low, high) = one.difference
    return f", {signed(gap)} points ({interval_is}{percent(low)} to {percent(high)})"


def _below_guessing(compared: Sequence[Outcome]) -> str:
    """Say where both sides know less than which class is the most frequent."""
    below = [one for one in compared if one.below_guessing]
    if not below:
        return ""
    where = "" if len(below) == len(compared) else _with([one.label_fraction for one in below])
    return f"; both are below guessing ({percent(below[0].guess)}\u00a0%){where}"


def _with(fractions: Sequence[LabelFraction]) -> str:
    return f" with {labels_title(*fractions)}"

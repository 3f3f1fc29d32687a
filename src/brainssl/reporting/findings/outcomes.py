"""What the numbers say, in words: computed, never composed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from brainssl.data.shots import LabelFraction
from brainssl.reporting.study import BASELINE, Arm, Interval, Study, interval, method_title
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    count,
    labels_title,
    percent,
    signed,
)

CHOOSING = METRIC["f1_macro"]
"""What chooses on the validation split, here as in the study itself."""

Verdict = Literal["above", "below", "undecided"]


@dataclass(frozen=True)
class Outcome:
    """The answer at one label fraction.

    Attributes:
        label_fraction: a share in (0, 1], or shots.
        best: the arm with the highest score on test, of all.
        self_supervised: the arm that is set against the baseline, chosen on validation.
        candidates: how many arms it was chosen from.
        baseline: trained from labels alone.
        verdict: on `self_supervised` against `baseline`; None where one of them is missing.
        difference: of the two on the same test images, with its interval; None in older studies.
    """

    label_fraction: LabelFraction
    best: Arm
    self_supervised: Arm | None
    candidates: int
    baseline: Arm | None
    verdict: Verdict | None
    difference: tuple[float, Interval] | None = None

    @property
    def text(self) -> str:
        """The outcome in words."""
        sentences = [f"Highest {HEADLINE.title.lower()}: {self.best.title}, {_scores(self.best)}."]
        rival, baseline = self.self_supervised, self.baseline
        if rival is None and self.candidates > 1:
            sentences.append(
                "There are no validation scores by which to choose the self-supervised method that "
                "is compared with the supervised baseline."
            )
        if rival is not None and baseline is not None and self.verdict is not None:
            if self.candidates > 1:
                sentences.append(
                    f"Of {self.candidates} self-supervised methods, {rival.title}, has the best "
                    f"{CHOOSING.title[0].lower()}{CHOOSING.title[1:]} on validation, which alone "
                    "chooses what is compared."
                )
            others = [arm for arm in (rival, baseline) if arm is not self.best]
            sentences += [f"{arm.title}: {_scores(arm)}." for arm in others]
            sentences.append(self._verdict_sentence(rival))
        return " ".join(sentences)

    def _verdict_sentence(self, rival: Arm) -> str:
        if self.difference is None:
            assert self.verdict is not None
            return _VERDICT_SENTENCE[self.verdict].format(first=rival.title)
        gap, limits = self.difference
        return (
            f"On the same images {rival.title}, minus the supervised baseline: {signed(gap)} "
            f"points, 95\u00a0% interval {percent(limits[0])} to {percent(limits[1])}"
            + (
                ", so these figures do not tell the two apart." * (self.verdict == "undecided")
                or "."
            )
        )


def outcomes(study: Study) -> list[Outcome]:
    """Return, for each label fraction of the default protocol, what was best on test.

    The self-supervised arm that is set against the baseline is one of those that were trained
    like it: fine-tuned, if there is any. Of several the best on validation is taken, for the
    highest on test would be flattered by the choice.
    """
    if not study.protocols:
        return []
    protocol = study.protocols[0]
    arms = [a for a in study.arms(protocol) if a.mean(HEADLINE.name) is not None]
    validated = study.validated(protocol, CHOOSING.name)
    found = []
    for fraction in sorted({arm.label_fraction for arm in arms}):
        here = [arm for arm in arms if arm.label_fraction == fraction]
        own = [arm for arm in here if arm.self_supervised]
        tuned = [arm for arm in own if arm.stage == "finetune"] or own
        rival = _chosen(tuned, [validated.get(_key(arm)) for arm in tuned])
        baseline = next((arm for arm in here if arm.method == BASELINE), None)
        verdict, difference = None, None
        if rival is not None and baseline is not None:
            difference = paired(study, rival, baseline)
            verdict = of_interval(difference[1]) if difference else compare(rival, baseline)
        best = max(here, key=lambda arm: arm.mean(HEADLINE.name) or 0.0)
        found.append(Outcome(fraction, best, rival, len(tuned), baseline, verdict, difference))
    return found


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


def paired(study: Study, arm: Arm, baseline: Arm) -> tuple[float, Interval] | None:
    """Return arm − baseline on the same test images, if the study has compared the two."""
    for pair in study.analysis.get("comparisons") or ():
        place = (pair["protocol"], pair["label_fraction"], pair["metric"])
        limits = interval(pair["interval"])
        if place != (arm.protocol, arm.label_fraction, HEADLINE.name) or limits is None:
            continue
        sides = [(pair[side]["method"], pair[side]["stage"]) for side in ("first", "second")]
        pairing = [(arm.method, arm.stage), (baseline.method, baseline.stage)]
        if sides == pairing:
            return pair["difference"], limits
        if sides == pairing[::-1]:
            return -pair["difference"], (-limits[1], -limits[0])
    return None


def of_interval(limits: Interval) -> Verdict:
    """Judge by whether an interval of a difference leaves out 0."""
    if limits[0] > 0:
        return "above"
    return "below" if limits[1] < 0 else "undecided"


def answer(study: Study) -> str:
    """Return the whole study in a few sentences of plain language."""
    found = outcomes(study)
    if not found:
        return "No model was measured on a test split: there is no result to report."
    protocol = study.protocols[0]
    images = (study.split(protocol).get("images") or {}).get("test")
    groups = (study.split(protocol).get("groups") or {}).get("test")
    where = f"On {count(images)} test images" if images else "On the test images"
    where += f" of {count(groups)} groups" if groups else ""
    where += f", each tested once in {count(study.folds)} folds" if study.folds else ""
    verdicts = {o.label_fraction: o.verdict for o in found if o.verdict is not None}
    if not verdicts:
        return f"{where} (protocol “{protocol}”), there is no pair of a self-supervised method " + (
            "and the supervised baseline at the same label fraction to compare."
        )
    clauses: list[str] = []
    for kind, (first, further) in _VERDICT_CLAUSES.items():
        concerned = [f for f, verdict in verdicts.items() if verdict == kind]
        if concerned:
            labels = labels_title(*concerned, of="labels" if clauses else "the labels")
            clauses.append((further if clauses else first).format(labels=labels))
    return f"{where} (protocol “{protocol}”), {_subject(found)} {'; '.join(clauses)}."


# How a verdict is said first in a sentence, and how after another one.
_VERDICT_CLAUSES = {
    "above": (
        f"gave a higher {HEADLINE.title.lower()} than the supervised baseline with {{labels}}",
        "",
    ),
    "below": (
        f"gave a lower {HEADLINE.title.lower()} than the supervised baseline with {{labels}}",
        "with {labels} a lower one",
    ),
    "undecided": (
        "could not be told apart from the supervised baseline with {labels}",
        "with {labels} the two could not be told apart",
    ),
}
_VERDICT_SENTENCE = {
    "above": "Every interval of “{first}” lies above every one of the supervised baseline.",
    "below": "Every interval of “{first}” lies below every one of the supervised baseline.",
    "undecided": "The intervals of “{first}” and of the supervised baseline do not lie apart, so "
    "these figures do not tell the two apart.",
}


def _key(arm: Arm) -> tuple[str, str, LabelFraction]:
    return arm.method, arm.stage, arm.label_fraction


def _chosen(arms: Sequence[Arm], validated: Sequence[float | None]) -> Arm | None:
    """Return the only arm, or the one with the best of the validation scores that there are."""
    if len(arms) == 1:
        return arms[0]
    scored = [(score, arm) for score, arm in zip(validated, arms, strict=True) if score is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _subject(found: Sequence[Outcome]) -> str:
    compared = [o for o in found if o.self_supervised is not None]
    titles = {method_title(o.self_supervised.method) for o in compared if o.self_supervised}
    chosen = max((o.candidates for o in compared), default=1) > 1
    if len(titles) > 1:
        return "pretraining by the method that was best on validation at each label fraction"
    return f"{titles.pop()} pretraining" + (", chosen on validation," if chosen else "")


def _scores(arm: Arm) -> str:
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


def chosen_step(study: Study) -> str:
    """Return the step that the study chose on validation, or that has the best macro F1 there.

    Of folds it is the one of their pooled predictions.
    """
    named = (study.facts.get("best") or {}).get("step")
    if named:
        return study.measured_as(str(named))
    protocols = study.protocols[:1]
    candidates = [row for p in protocols for arm in study.arms(p, "val") for row in arm.rows]
    best = max(candidates, key=lambda row: row.metrics.get(CHOOSING.name) or 0.0, default=None)
    return "" if best is None else best.step

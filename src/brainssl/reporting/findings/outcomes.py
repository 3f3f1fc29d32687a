"""What the numbers say, in words: computed, never composed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from brainssl.data.shots import LabelFraction
from brainssl.reporting.scoreboard import guessing
from brainssl.reporting.study import (
    BASELINE,
    Arm,
    Interval,
    Study,
    interval,
    learner_and_stage,
    method_title,
)
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    count,
    labels_title,
    percent,
    signed,
)
from brainssl.settings import SEMI_SUPERVISED
from brainssl.settings.starts import start_title

CHOOSING = METRIC["f1_macro"]
"""What chooses on the validation split, here as in the study itself."""

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
        named = _named(second)
        if second.method == BASELINE:
            named = f"supervised{_from(second)}" if second.start else "the supervised baseline"
        return (
            f"On the same images {_named(self.first)}, minus {named}: {signed(self.gap)} points, "
            f"95\u00a0% interval {percent(self.limits[0])} to {percent(self.limits[1])}"
            + (
                ", so these figures do not tell the two apart."
                * (of_interval(self.limits) == "undecided")
                or "."
            )
        )


@dataclass(frozen=True)
class Outcome:
    """The answer at one label fraction.

    Attributes:
        label_fraction: a share in (0, 1], or shots.
        best: the arm with the highest score on test, of all.
        rival: the arm that is set against the baseline, chosen on validation among self-supervised
            ones; where a study has none, among those pretrained with labels, else among
            semi-supervised ones.
        candidates: how many arms it was chosen from.
        baseline: trained from labels alone; of several starts that which is best on validation.
        verdict: on `rival` against `baseline`; None where one of them is missing.
        difference: of the two on the same test images, with its interval; None in older studies.
        guess: what naming the most frequent class alone gets right; None where not known.
        beside: differences from an arm pretrained with labels and from a semi-supervised one, each
            chosen on validation, that stand beside the rival: of each from the baseline, and of the
            rival from each.
    """

    label_fraction: LabelFraction
    best: Arm
    rival: Arm | None
    candidates: int
    baseline: Arm | None
    verdict: Verdict | None
    difference: tuple[float, Interval] | None = None
    guess: float | None = None
    beside: tuple[Difference, ...] = ()

    @property
    def below_guessing(self) -> bool:
        """Whether both sides are right less often than who names the most frequent class."""
        sides = [arm.mean(HEADLINE.name) for arm in (self.rival, self.baseline) if arm]
        known = [score for score in sides if score is not None]
        return self.guess is not None and len(known) == 2 and max(known) < self.guess

    @property
    def text(self) -> str:
        """The outcome in words."""
        sentences = [f"Highest {HEADLINE.title.lower()}: {self.best.title}, {_scores(self.best)}."]
        rival, baseline = self.rival, self.baseline
        if rival is None and self.candidates > 1:
            sentences.append(
                "There are no validation scores by which to choose the method that is "
                "compared with the supervised baseline."
            )
        if rival is not None and baseline is not None and self.verdict is not None:
            if self.candidates > 1:
                kinds = _kinds(rival)
                sentences.append(
                    f"Of {self.candidates} {kinds}, {rival.title}, has the best "
                    f"{CHOOSING.title[0].lower()}{CHOOSING.title[1:]} on validation, which alone "
                    "chooses what is compared."
                )
            others = [arm for arm in (rival, baseline) if arm is not self.best]
            sentences += [f"{arm.title}: {_scores(arm)}." for arm in others]
            sentences.append(self._verdict_sentence(rival, baseline))
            if self.below_guessing:
                sentences.append(
                    "Both are right less often than who always names the most frequent class "
                    f"({percent(self.guess)}\u00a0%), so neither is of use."
                )
        sentences += [one.text for one in self.beside]
        return " ".join(sentences)

    def _verdict_sentence(self, rival: Arm, baseline: Arm) -> str:
        if self.difference is None:
            assert self.verdict is not None
            return _VERDICT_SENTENCE[self.verdict].format(first=rival.title)
        return Difference(rival, baseline, *self.difference).text


def outcomes(study: Study) -> list[Outcome]:
    """Return, for each label fraction of the default protocol, what was best on test.

    The self-supervised arm that is set against the baseline is one of those that were trained
    like it: fine-tuned, if there is any. Of several the best on validation is taken, for the
    highest on test would be flattered by the choice. Those pretrained with labels and
    semi-supervised ones stand beside it: what they add is not what images without labels do.
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
        taught = _alike([arm for arm in here if arm.pretrained and not arm.self_supervised])
        semi = [arm for arm in here if arm.method in SEMI_SUPERVISED]
        tuned = _alike(own) or taught or semi
        rival = _chosen(tuned, [validated.get(arm.key) for arm in tuned])
        alone = [arm for arm in here if arm.method == BASELINE]
        baseline = _chosen(alone, [validated.get(arm.key) for arm in alone]) if alone else None
        verdict, difference = None, None
        if rival is not None and baseline is not None:
            difference = paired(study, rival, baseline)
            verdict = of_interval(difference[1]) if difference else compare(rival, baseline)
        best = max(here, key=lambda arm: arm.mean(HEADLINE.name) or 0.0)
        guess = guessing(study, best)
        sets = [those for those in (taught, semi) if those and those is not tuned]
        others = [_chosen(those, [validated.get(arm.key) for arm in those]) for those in sets]
        pairs = [pair for other in others for pair in ((other, baseline), (rival, other)) if other]
        beside = tuple(
            Difference(first, second, *told)
            for first, second in pairs
            if first and second and (told := paired(study, first, second))
        )
        found.append(
            Outcome(fraction, best, rival, len(tuned), baseline, verdict, difference, guess, beside)
        )
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
            f"{labels_title(best.label_fraction, of='the labels')}: {best.title}, {_scores(best)}."
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


# What a rival was chosen from: whether without labels, and whether each has several starts.
# How a verdict is said first in a sentence, and how after another one.
_VERDICT_CLAUSES = {
    "above": ("is ahead of", "ahead"),
    "below": ("is behind", "behind"),
    "undecided": ("cannot be told apart from", "not told apart"),
}
_VERDICT_SENTENCE = {
    "above": "Every interval of “{first}” lies above every one of the supervised baseline.",
    "below": "Every interval of “{first}” lies below every one of the supervised baseline.",
    "undecided": "The intervals of “{first}” and of the supervised baseline do not lie apart, so "
    "these figures do not tell the two apart.",
}


def _alike(arms: Sequence[Arm]) -> list[Arm]:
    """Return those that were fine-tuned, as the baseline is; all where none was."""
    return [arm for arm in arms if arm.stage == "finetune"] or list(arms)


def _kinds(arm: Arm) -> str:
    """Return what all arms are from which one was chosen."""
    if arm.pretrained and not arm.self_supervised:
        if arm.start:
            return "pairs of start and method that pretrains with labels"
        return "methods that pretrain with labels"
    kind = "self-supervised" if arm.pretrained else "semi-supervised"
    return f"pairs of {kind} method and start" if arm.start else f"{kind} methods"


def _named(arm: Arm) -> str:
    """Return the title, and that labels were used before fine-tuning where they were."""
    taught = arm.pretrained and not arm.self_supervised
    return f"{arm.title}{' (pretrained with the labels)' * taught}"


def _chosen(arms: Sequence[Arm], validated: Sequence[float | None]) -> Arm | None:
    """Return the only arm, or the one with the best of the validation scores that there are."""
    if len(arms) == 1:
        return arms[0]
    scored = [(score, arm) for score, arm in zip(validated, arms, strict=True) if score is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


_INTERVAL = "95\u00a0% interval "


def _first_clause(one: Outcome) -> str:
    rival, baseline = one.rival, one.baseline
    assert rival is not None
    assert baseline is not None
    assert one.verdict is not None
    chosen = f"{_from(rival)}, chosen on validation," if one.candidates > 1 else _from(rival)
    scores = f"{_brief(rival)} against {_brief(baseline)} of slices right"
    named = method_title(rival.method)
    if rival.pretrained:
        named += " pretraining" if rival.self_supervised else " pretraining with them"
    return (
        f"With {labels_title(one.label_fraction, of='the labels')}, {named}{chosen} "
        f"{_VERDICT_CLAUSES[one.verdict][0]} {_alone(rival)}{_from(baseline)}: {scores}"
        f"{_gap(one, _INTERVAL)}"
    )


def _further_clause(one: Outcome, first: Outcome) -> str:
    rival, before = one.rival, first.rival
    assert rival is not None
    assert before is not None
    assert one.verdict is not None
    other = [method_title(*rival.learner)] if rival.learner != before.learner else []
    if one.baseline and first.baseline and one.baseline.start != first.baseline.start:
        other.append(f"against {_alone(rival)}{_from(one.baseline)}")
    named = f" ({' '.join(other)})" if other else ""
    told = f"with {labels_title(one.label_fraction)}{named} {_VERDICT_CLAUSES[one.verdict][1]}"
    return f"{told}{_gap(one)}"


def _alone(rival: Arm) -> str:
    """Return what the baseline is to a rival: one that is pretrained with labels has no others."""
    taught = rival.pretrained and not rival.self_supervised
    return "supervised training alone" if taught else "labels alone"


def _from(arm: Arm) -> str:
    """Return the start where there are several: " from ImageNet"."""
    return f" from {start_title(arm.start)}" if arm.start else ""


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


def _brief(arm: Arm) -> str:
    """Return "60.0 %", with the interval if it is of one model."""
    limits = arm.rows[0].intervals.get(HEADLINE.name)
    span = f" ({HEADLINE.range(limits)})" if len(arm.rows) == 1 and limits else ""
    return f"{percent(arm.mean(HEADLINE.name))}\u00a0%{span}"


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

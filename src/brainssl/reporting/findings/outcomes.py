"""What the numbers say, in words: computed, never composed."""

from collections.abc import Sequence
from dataclasses import dataclass

from brainssl.data.shots import LabelFraction
from brainssl.reporting.findings.differences import (
    Difference,
    Verdict,
    compare,
    of_interval,
    paired,
)
from brainssl.reporting.findings.scores import scores_of
from brainssl.reporting.rows import Arm, Interval
from brainssl.reporting.scoreboard import guessing
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE
from brainssl.reporting.wording import (
    HEADLINE,
    METRIC,
    percent,
)
from brainssl.settings import SEMI_SUPERVISED

CHOOSING = METRIC["f1_macro"]
"""What chooses on the validation split, here as in the study itself."""


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
        sentences = [
            f"Highest {HEADLINE.title.lower()}: {self.best.title}, {scores_of(self.best)}."
        ]
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
            sentences += [f"{arm.title}: {scores_of(arm)}." for arm in others]
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


def _chosen(arms: Sequence[Arm], validated: Sequence[float | None]) -> Arm | None:
    """Return the only arm, or the one with the best of the validation scores that there are."""
    if len(arms) == 1:
        return arms[0]
    scored = [(score, arm) for score, arm in zip(validated, arms, strict=True) if score is not None]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


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

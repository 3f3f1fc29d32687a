"""What the numbers say, in words, and what to be careful about: computed, never composed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from brainssl.reporting.results import BASELINE, Arm, Study, arm_title, method_title
from brainssl.reporting.wording import HEADLINE, count, fraction_title, join, percent

SMALL_CLASS = 10
ENOUGH_SEEDS = 3

Verdict = Literal["above", "below", "undecided"]


@dataclass(frozen=True)
class Finding:
    """The answer at one label fraction."""

    label_fraction: float
    best: Arm
    self_supervised: Arm | None
    baseline: Arm | None
    verdict: Verdict | None
    text: str


@dataclass(frozen=True)
class Caution:
    """Something that a reader should know before believing a number."""

    severity: Literal["serious", "note"]
    text: str


def findings(study: Study) -> list[Finding]:
    """Return, for each label fraction of the default protocol, what was best on test.

    The self-supervised arm that is set against the baseline is the best of those that were
    trained like it: fine-tuned, if there is any.
    """
    if not study.protocols:
        return []
    arms = [a for a in study.arms(study.protocols[0]) if a.mean(HEADLINE.name) is not None]
    found = []
    for fraction in sorted({arm.label_fraction for arm in arms}):
        here = [arm for arm in arms if arm.label_fraction == fraction]
        own = [arm for arm in here if arm.self_supervised]
        tuned = [arm for arm in own if arm.stage == "finetune"] or own
        rival = max(tuned, key=_mean, default=None)
        baseline = next((arm for arm in here if arm.method == BASELINE), None)
        verdict = None if rival is None or baseline is None else compare(rival, baseline)
        best = max(here, key=_mean)
        text = _sentence(fraction, best, rival, baseline, verdict)
        found.append(Finding(fraction, best, rival, baseline, verdict, text))
    return found


def compare(arm: Arm, baseline: Arm) -> Verdict:
    """Say whether two arms' intervals lie apart, over all of their seeds.

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


def answer(study: Study) -> str:
    """Return the whole study in a few sentences of plain language."""
    found = findings(study)
    if not found:
        return "No model was measured on a test split: there is no result to report."
    protocol = study.protocols[0]
    images = (study.split(protocol).get("images") or {}).get("test")
    groups = (study.split(protocol).get("groups") or {}).get("test")
    where = f"On {count(images)} test images" if images else "On the test images"
    where += f" of {count(groups)} groups" if groups else ""
    verdicts = {f.label_fraction: f.verdict for f in found if f.verdict is not None}
    if not verdicts:
        return f"{where} (protocol “{protocol}”), there is no pair of a self-supervised method " + (
            "and the supervised baseline at the same label fraction to compare."
        )
    clauses: list[str] = []
    for kind, (first, further) in _VERDICT_CLAUSES.items():
        concerned = [fraction_title(f) for f, verdict in verdicts.items() if verdict == kind]
        if concerned:
            clauses.append((further if clauses else first).format(fractions=join(concerned)))
    titles = {method_title(f.self_supervised.method) for f in found if f.self_supervised}
    subject = titles.pop() if len(titles) == 1 else "the best self-supervised"
    return f"{where} (protocol “{protocol}”), {subject} pretraining {'; '.join(clauses)}."


def cautions(study: Study) -> list[Caution]:
    """Return what to be careful about, the serious first, each said once."""
    everything = [
        *_from_protocols(study),
        *_from_audit(study.audit),
        *_from_run(study),
        *_from_size(study),
    ]
    unique = list(dict.fromkeys(everything))
    return sorted(unique, key=lambda caution: caution.severity != "serious")


# How a verdict is said first in a sentence, and how after another one.
_VERDICT_CLAUSES = {
    "above": (
        f"gave a higher {HEADLINE.title.lower()} than the supervised baseline with {{fractions}} "
        "of the labels",
        "",
    ),
    "below": (
        f"gave a lower {HEADLINE.title.lower()} than the supervised baseline with {{fractions}} "
        "of the labels",
        "with {fractions} a lower one",
    ),
    "undecided": (
        "could not be told apart from the supervised baseline with {fractions} of the labels",
        "with {fractions} the two could not be told apart",
    ),
}
_VERDICT_SENTENCE = {
    "above": "Every interval of “{first}” lies above every one of the supervised baseline.",
    "below": "Every interval of “{first}” lies below every one of the supervised baseline.",
    "undecided": "The intervals of “{first}” and of the supervised baseline do not lie apart, so "
    "these figures do not tell the two apart.",
}


def _mean(arm: Arm) -> float:
    return arm.mean(HEADLINE.name) or 0.0


def _sentence(
    fraction: float,
    best: Arm,
    rival: Arm | None,
    baseline: Arm | None,
    verdict: Verdict | None,
) -> str:
    sentences = [f"Highest {HEADLINE.title.lower()}: {best.title}, {_scores(best)}."]
    if rival is not None and baseline is not None and verdict is not None:
        others = [arm for arm in (rival, baseline) if arm is not best]
        sentences += [f"{arm.title}: {_scores(arm)}." for arm in others]
        sentences.append(_VERDICT_SENTENCE[verdict].format(first=rival.title))
    return " ".join(sentences)


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


def _from_protocols(study: Study) -> Iterator[Caution]:
    for protocol in study.protocols:
        if protocol in PROTOCOLS and protocol != "grouped":
            yield Caution("serious", f"Protocol “{protocol}”: {PROTOCOLS[protocol]}")
    warned: dict[str, list[str]] = {}
    for protocol in study.protocols:
        for warning in study.split(protocol).get("warnings") or ():
            warned.setdefault(str(warning), []).append(f"“{protocol}”")
    for warning, protocols in warned.items():
        yield Caution("note", f"Split {join(protocols)}: {warning}")
    if _simulated(study):
        yield Caution(
            "serious",
            "The images are simulated. The scores say how the methods compare on this simulation, "
            "and nothing about patients.",
        )


def _from_audit(audit: Mapping[str, Any]) -> Iterator[Caution]:
    for finding in audit.get("findings") or ():
        if isinstance(finding, Mapping):
            if finding.get("severity") == "good":
                continue
            serious = finding.get("severity") == "serious"
            text = str(finding.get("text") or finding.get("message") or "")
        else:
            serious, text = False, str(finding)
        if text:
            yield Caution("serious" if serious else "note", f"Audit: {text}")


def _from_run(study: Study) -> Iterator[Caution]:
    for failed in study.facts.get("failed") or ():
        known = isinstance(failed, Mapping)
        text = f"{failed.get('step')}: {failed.get('error')}" if known else str(failed)
        yield Caution("serious", f"A step failed and its results are missing. {text}")
    told = {w for protocol in study.protocols for w in study.split(protocol).get("warnings") or ()}
    for warning in study.facts.get("warnings") or ():
        if warning in told:
            continue
        yield Caution("note", str(warning))
    models = {row.step: row for row in study.rows if row.step}
    lost = sorted(step for step, row in models.items() if study.predictions(row) is None)
    if lost:
        yield Caution(
            "note",
            f"Predictions of {count(len(lost))} models are missing or cannot be read, so their "
            f"curves and confusion matrices are not shown: {_some(lost)}.",
        )
    if any(any(loss is not None for loss in h.val_loss) for h in study.histories()):
        yield Caution(
            "note",
            "Validation labels decide when training stops and which epoch is kept. They are not "
            "counted in the label fraction, and validation scores are flattered by it; the test "
            "split is not used for any choice.",
        )


def _from_size(study: Study) -> Iterator[Caution]:
    seeds = {len(arm.rows) for protocol in study.protocols for arm in study.arms(protocol)}
    if seeds and min(seeds) < ENOUGH_SEEDS:
        few = min(seeds)
        yield Caution(
            "note",
            "Only one seed: how much a score would change with another one is unknown."
            if few == 1
            else f"Only {few} seeds: their standard deviation is itself very uncertain.",
        )
    for protocol in study.protocols[:1]:
        counts = (study.split(protocol).get("counts") or {}).get("test") or {}
        small = [f"{name} ({n})" for name, n in counts.items() if n < SMALL_CLASS]
        if small:
            yield Caution(
                "note",
                f"Fewer than {SMALL_CLASS} test images under “{protocol}” in "
                f"{count(len(small))} of {count(len(counts))} classes: {_some(small)}. Their own "
                "scores, and every macro average, rest on few cases.",
            )
    own = {arm_title(r.method, r.stage) for r in study.rows if r.method != BASELINE}
    if len(own) > 2:
        yield Caution(
            "note",
            "The highest of several scores on the same test split is, by the choice itself, a "
            "little too high.",
        )


def _some(names: Sequence[str], most: int = 8) -> str:
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")


def _simulated(study: Study) -> bool:
    return bool(study.facts.get("simulated")) or "phantom" in str(study.facts.get("source")).lower()


PROTOCOLS = {
    "grouped": (
        "All images of a patient, or of a cluster of near-duplicates where patients are not known, "
        "stand on the same side of the split."
    ),
    "image": (
        "The images are divided one by one, so that slices of one patient and copies of one image "
        "may stand in training and test: scores are inflated by what the model has already seen."
    ),
    "paper": (
        "Every class is first filled up to the size of the largest by augmentation and then "
        "divided image by image, so that variants of one image stand in training and test: scores "
        "are inflated by what the model has already seen."
    ),
}

"""What a reader should be careful about, found in the study itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from brainssl.reporting.findings.classical import CHOSEN, challenges
from brainssl.reporting.findings.protocols import HONEST, TOO_WIDE, leak_of
from brainssl.reporting.findings.tuning import ArmSearch, arm_searches, trials_of
from brainssl.reporting.study import BASELINE, Study
from brainssl.reporting.trainings import histories, watches
from brainssl.reporting.wording import (
    PROTOCOLS,
    count,
    counted,
    join,
    labels_title,
    percent,
    some,
)

SMALL_CLASS = 10
ENOUGH_SEEDS = 3
ENOUGH_GROUPS = 30
"""Groups below which the percentile cluster bootstrap covers noticeably less than it says."""

ENOUGH_DRAWS = 2000
"""Draws of a bootstrap below which the ends of a 95 % interval are themselves left to chance."""

# How the audit begins a finding about splits by image: no fault of a study that makes none.
_RANDOM_SPLIT = "A random split by image"
# How a study begins the error of a step whose pretraining failed.
_NOT_DONE = "not done, because"
_NAMED = 3  # of what a caution is about; tables have them all
_FAILED = "steps failed, their results are missing"


@dataclass(frozen=True)
class Caution:
    """Something that a reader should know before believing a number.

    `brief` is what of it speaks against the answer itself, in a few words; else it is empty.
    """

    severity: Literal["serious", "note"]
    text: str
    brief: str = ""


def cautions(study: Study) -> list[Caution]:
    """Return what to be careful about, the serious first, each said once."""
    everything = [
        *_from_protocols(study),
        *_from_patients(study),
        *_from_groups(study),
        *_from_pretraining(study),
        *_from_losses(study),
        *_from_searches(study),
        *_from_preset(study),
        *_from_run(study),
        *_from_classical(study),
        *_from_patience(study),
        *_from_audit(study),
        *_from_draws(study),
        *_from_size(study),
    ]
    unique = list(dict.fromkeys(everything))
    return sorted(unique, key=lambda caution: caution.severity != "serious")


def _from_protocols(study: Study) -> Iterator[Caution]:
    leading = study.protocols[:1]
    for control in study.analysis.get("random_labels") or ():
        if control["learnt"]:
            yield Caution(
                "serious",
                f"Protocol “{control['protocol']}” leaks: labels drawn at random were learnt "
                f"({percent(control['accuracy'])} % right, guessing "
                f"{percent(control['guessing'])} %).",
                "labels drawn at random were learnt" * (control["protocol"] in leading),
            )
        elif leak_of(control) == "open":
            yield Caution(
                "note",
                "Labels drawn at random cannot tell whether protocol "
                f"“{control['protocol']}” leaks: {TOO_WIDE}.",
            )
    for protocol in study.protocols:
        if protocol in PROTOCOLS and protocol != HONEST:
            yield Caution(
                "serious",
                f"Protocol “{protocol}”: {PROTOCOLS[protocol]}",
                "images like those of the test stood in training" * (protocol in leading),
            )
    warned: dict[str, list[str]] = {}
    for protocol in study.protocols:
        for warning in study.split(protocol).get("warnings") or ():
            warned.setdefault(str(warning), []).append(f"“{protocol}”")
    for warning, protocols in warned.items():
        yield Caution("note", f"Split {join(protocols)}: {warning}")
    if study.facts.get("simulated"):
        yield Caution(
            "serious",
            "The images are simulated. The scores say how the methods compare on this simulation, "
            "and nothing about patients.",
            "the images are simulated",
        )


def _from_classical(study: Study) -> Iterator[Caution]:
    """A network that does not beat a decision tree should have to say so."""
    unbeaten = [challenge for challenge in challenges(study) if challenge.verdict != "above"]
    for challenge in unbeaten:
        below = challenge.verdict == "below"
        rule = f" {CHOSEN}" if challenge is unbeaten[-1] else ""
        yield Caution(
            "serious" if below else "note",
            f"{challenge.text}{rule}",
            "a classical baseline beats the best network" * below,
        )


def _from_patients(study: Study) -> Iterator[Caution]:
    if study.rows and not study.patients:
        yield Caution(
            "serious",
            "Patients are not known: groups are clusters of near-duplicates, which do not catch "
            "all slices of a patient. Slices of one patient may stand in training and test, so "
            "that some leakage may remain under every protocol, and intervals are too narrow.",
            "patients are not known, so some leakage may remain",
        )
    elif study.rows and (known := study.patients_known) < 1:
        told = f"the patients of {percent(1 - known)}\u00a0% of the images are not known"
        yield Caution(
            "serious",
            f"{told[0].upper()}{told[1:]}: slices of one of them may stand in training and test.",
            told,
        )


def _from_groups(study: Study) -> Iterator[Caution]:
    for protocol in study.protocols:
        groups = int((study.split(protocol).get("groups") or {}).get("test") or 0)
        few = 0 < groups < ENOUGH_GROUPS
        sentences = []
        if few:
            sentences.append(
                f"The test set of protocol “{protocol}” has only {counted(groups, 'group')}: "
                "intervals are somewhat too narrow, and every score rests on a few groups."
            )
        by_class = study.test_groups(protocol)
        single = [name for name, number in by_class.items() if number == 1]
        if single:
            sentences.append(
                f"Under “{protocol}” the test images of {count(len(single))} of "
                f"{counted(len(by_class), 'class', 'classes')} come from a single group each, so "
                f"that their own scores speak of that group alone: {some(single, _NAMED)}."
            )
        if sentences:
            brief = f"only {counted(groups, 'group')} tested"
            yield Caution(
                "serious" if few else "note",
                " ".join(sentences),
                brief * (few and protocol in study.protocols[:1]),
            )


def _from_pretraining(study: Study) -> Iterator[Caution]:
    for watch in watches(study):
        if watch.verdict:
            yield Caution(
                "serious",
                f"Pretraining has collapsed. {watch.training.title}, protocol "
                f"“{watch.training.protocol}”: {watch.verdict}. Scores that rest on its encoder "
                "are those of a failed pretraining, not of the method.",
                "a pretraining has collapsed",
            )


def _from_losses(study: Study) -> Iterator[Caution]:
    worse, trained = [], set()
    for row in study.trained:
        if row.val_loss is None or row.uniform_loss is None or row.step in trained:
            continue
        trained.add(row.step)
        if row.val_loss > row.uniform_loss:
            share = labels_title(row.label_fraction)
            losses = f"{row.val_loss:.2f} against {row.uniform_loss:.2f}"
            which = "" if row.fold is None else f", fold {row.fold}"
            title = f"{row.title}{which}"
            worse.append(f"{title}, {share}, “{row.protocol}”, seed {row.seed} ({losses})")
    if worse:
        yield Caution(
            "serious",
            f"The best validation loss of {count(len(worse))} of {count(len(trained))} trainings "
            "with labels is above that of an answer that gives every class the same probability, "
            f"so what is ahead of them is ahead of a training that failed: {some(worse, _NAMED)}.",
            f"{count(len(worse))} of {count(len(trained))} trainings with labels have a loss worse "
            "than guessing",
        )


def _from_searches(study: Study) -> Iterator[Caution]:
    """Who had fewer settings to choose from is at a disadvantage."""
    cells: dict[tuple[object, ...], list[ArmSearch]] = {}
    for arm in arm_searches(study):
        cells.setdefault((arm.protocol, arm.label_fraction), []).append(arm)
    unequal = [arms for arms in cells.values() if len({arm.finished for arm in arms}) > 1]
    for arms in unequal:
        told = join([f"{arm.title} {arm.finished} of {arm.tried}" for arm in arms])
        yield Caution(
            "serious",
            f"Not every model had as many settings to choose from, as trials failed. With "
            f"{labels_title(arms[0].label_fraction)}, protocol “{arms[0].protocol}”, trials "
            f"finished: {told}.",
            "trials of some models failed" * (arms[0].protocol in study.protocols[:1]),
        )


def _from_preset(study: Study) -> Iterator[Caution]:
    """What was searched for on one split must not be tested on another one."""
    told = study.facts.get("chosen_on")
    if not told:
        return
    others = [p for p in study.protocols if study.split(p).get("digest") != told["digest"]]
    if others:
        yield Caution(
            "serious",
            "The settings were chosen on the validation set of another split (protocol "
            f"“{told['protocol']}”, seed {told['seed']}). Its images may be tested here under "
            f"{join([f'“{one}”' for one in others])}, which flatters the scores. Study them with "
            f"--folds 1 --protocols {told['protocol']} --seed {told['seed']}.",
            "settings were chosen on images tested here" * (others[0] in study.protocols[:1]),
        )


def _from_patience(study: Study) -> Iterator[Caution]:
    settings = study.facts.get("settings") or {}
    most = {row.step: row.epochs for row in study.trained}
    tuned = [h for h in histories(study) if h.training.stage in ("finetune", BASELINE)]
    early = []
    for history in tuned:
        own = (settings.get(history.training.method) or {}).get("finetune") or {}
        asked = (
            most.get(f"steps/{history.training.folder.name}")
            or own.get("epochs")
            or (settings.get("finetune") or {}).get("epochs")
            or 0
        )
        done = max(history.epochs)
        if done < asked:
            early.append(f"{history.training.title} ({done} of {asked} epochs)")
    if early:
        yield Caution(
            "note",
            f"Patience ended {count(len(early))} of {count(len(tuned))} trainings with labels "
            f"before their last epoch: {some(early)}. Fresh and pretrained encoders are "
            "not stopped alike, so a difference between them may come from that: set "
            "finetune.patience to finetune.epochs to compare them at their end.",
        )


def _from_audit(study: Study) -> Iterator[Caution]:
    by_image = bool({"image", "paper"} & set(study.protocols))
    for finding in study.audit.get("findings") or ():
        severity, text = finding["severity"], finding["text"]
        if severity == "good":
            continue
        avoided = text.startswith(_RANDOM_SPLIT) and not by_image
        serious = severity == "serious" and not avoided
        brief = "the audit has a serious finding"
        yield Caution("serious" if serious else "note", f"Audit: {text}", brief * serious)


def _from_run(study: Study) -> Iterator[Caution]:
    undone: dict[str, list[str]] = {}
    for failed in study.facts.get("failed") or ():
        known = isinstance(failed, Mapping)
        step, error = (str(failed.get(key)) for key in ("step", "error")) if known else (failed, "")
        if error.startswith(_NOT_DONE):
            undone.setdefault(error, []).append(step)
        else:
            text = f"{step}: {error}" if known else str(failed)
            yield Caution("serious", f"A step failed and its results are missing. {text}", _FAILED)
    for error, steps in undone.items():
        yield Caution("serious", f"{counted(len(steps), 'step')} {error}: {some(steps)}", _FAILED)
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
            f"curves and confusion matrices are not shown: {some(lost)}.",
        )
    if any(any(loss is not None for loss in h.val_loss) for h in histories(study)):
        yield Caution(
            "note",
            "Validation labels decide when training stops and which epoch is kept"
            f"{', and which settings' * (trials_of(study) > 1)}. They are not "
            "counted in the label fraction, and validation scores are flattered by it; the test "
            "split is not used for any choice.",
        )


def _from_draws(study: Study) -> Iterator[Caution]:
    settings = (study.facts.get("settings") or {}).get("evaluation") or {}
    draws = int(settings.get("draws") or ENOUGH_DRAWS)
    if draws < ENOUGH_DRAWS:
        yield Caution(
            "note",
            f"Intervals rest on {counted(draws, 'draw')} of the bootstrap: other draws would move "
            f"their ends. Set evaluation.draws to {count(ENOUGH_DRAWS)} or more.",
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
                f"{count(len(small))} of {count(len(counts))} classes: {some(small, _NAMED)}. "
                "Their own scores, and every macro average, rest on few cases.",
            )
    if study.folds:
        yield Caution(
            "note",
            f"Test scores pool {study.folds} models of each kind, each on the images of its own "
            "fold; what is said of training, validation, explanations and maps of features is "
            "of the first fold. AUROC and average precision rank images across these models, which "
            "may cost them a little.",
        )
    own = {r.title for r in study.rows if r.method != BASELINE}
    if len(own) > 2:
        yield Caution(
            "note",
            "The highest of several scores on the same test split is, by the choice itself, a "
            "little too high.",
        )

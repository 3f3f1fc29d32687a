"""What to be careful about in how the models of a study came to be."""

from collections.abc import Iterator, Mapping

from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.findings.cautions_of_data import NAMED
from brainssl.reporting.findings.classical import CHOSEN, challenges
from brainssl.reporting.findings.tuning import ArmSearch, arm_searches, trials_of
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE
from brainssl.reporting.trainings import histories, watches
from brainssl.reporting.wording import (
    count,
    counted,
    join,
    labels_title,
    some,
)

# How a study begins the error of a step whose pretraining failed.
_NOT_DONE = "not done, because"
_FAILED = "steps failed, their results are missing"


def from_classical(study: Study) -> Iterator[Caution]:
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


def from_pretraining(study: Study) -> Iterator[Caution]:
    """A pretraining that has collapsed says nothing of its method."""
    for watch in watches(study):
        if watch.verdict:
            yield Caution(
                "serious",
                f"Pretraining has collapsed. {watch.training.title}, protocol "
                f"“{watch.training.protocol}”: {watch.verdict}. Scores that rest on its encoder "
                "are those of a failed pretraining, not of the method.",
                "a pretraining has collapsed",
            )


def from_losses(study: Study) -> Iterator[Caution]:
    """A training that is worse than a uniform answer has failed."""
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
            f"so what is ahead of them is ahead of a training that failed: {some(worse, NAMED)}.",
            f"{count(len(worse))} of {count(len(trained))} trainings with labels have a loss worse "
            "than guessing",
        )


def from_searches(study: Study) -> Iterator[Caution]:
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


def from_preset(study: Study) -> Iterator[Caution]:
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


def from_patience(study: Study) -> Iterator[Caution]:
    """Trainings that ended early did not all have as many epochs."""
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


def from_run(study: Study) -> Iterator[Caution]:
    """Steps that failed, warnings of the run, and what validation labels were used for."""
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

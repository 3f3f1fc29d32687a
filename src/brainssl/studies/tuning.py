"""The searches of a study: what each arm tried, and what it chose."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json
from brainssl.studies.grid import Step, final, grid, start_of
from brainssl.studies.journal import Journal
from brainssl.studies.plan import Plan
from brainssl.studies.trials import Change
from brainssl.training.tuned import CHOSEN_BY, TUNING, Tried, tuned_stage


def choose(
    plan: Plan,
    step: Step,
    data: Data,
    folder: Path,
    journal: Journal,
    changes: tuple[Change, ...],
) -> None:
    """Make a tuned step from its candidates, each of which is finished or has failed.

    Raises:
        BrainsslError: all of them failed, or one is neither.
    """
    tried = []
    for one, change in zip(step.candidates, changes, strict=True):
        failure = failed(one, folder.parent, journal)
        if failure is None and not (folder.parent / one.name).is_dir():
            raise BrainsslError(f"{one.name} is not settled: run the study again")
        tried.append(
            Tried(
                one.trial,
                folder.parent / one.name,
                change.changed(plan.settings, step.method, step.stage),
                failure["error"] if failure else None,
            )
        )
    tuned_stage(data, tried, folder, settings=plan.settings.of(step.method))


def failed(step: Step, steps: Path, journal: Journal) -> dict[str, str] | None:
    """Return the failure of a step, or of its pretraining; None if it has not failed in this run.

    Args:
        step: that trains.
        steps: the folder of all steps.
        journal: of this run.
    """
    if (steps / step.name).is_dir():
        return None
    needed = [name for name in (step.name, step.pretraining) if name]
    own = [name for name in needed if not (steps / name).is_dir()]
    return next((told for name in own if (told := journal.failure(name))), None)


def is_given_up(plan: Plan, step: Step, steps: Path) -> bool:
    """Tell whether a step failed in a search that has chosen since: it is not tried again."""
    if plan.trials == 1 or step.tuned:
        return False
    if not step.measured:
        own = step.label_fraction
        fed = [
            replace(step, stage=stage, label_fraction=fraction)
            for stage in ("linear", "finetune")
            for fraction in (plan.label_fractions if own is None else (own,))
        ]
        return all(is_given_up(plan, one, steps) for one in fed)
    if not step.tunable:
        return False
    record = _read(steps / final(plan, step).name)
    tried = record["tried"] if record else ()
    return any(one["trial"] == step.trial and one["val_nll"] is None for one in tried)


def chosen_pretraining(plan: Plan, step: Step, steps: Path) -> Step:
    """Return the pretraining behind the measured step that stands in the results."""
    record = _read(steps / final(plan, step).name) if plan.trials > 1 else None
    trial = record["chosen"] if record else 1
    return replace(step, stage="pretrain", label_fraction=step.taught, trial=trial, trials=1)


def searches(plan: Plan, out: Path) -> dict[str, Any] | None:
    """Return what `results.json` holds under `study.tuning`; None without a search.

    Args:
        plan: of the study.
        out: its folder; searches that are not finished are left out.
    """
    if plan.trials == 1:
        return None
    found = []
    for step in grid(plan):
        record = _read(out / "steps" / step.name) if step.tuned else None
        if record:
            named = {
                "step": f"steps/{step.name}",
                "method": step.method,
                "stage": step.stage,
                "start": start_of(plan, step),
                "protocol": step.protocol,
                "fold": step.fold.number if step.fold else None,
                "label_fraction": step.label_fraction,
                "seed": step.seed,
            }
            own = {name: record[name] for name in ("chosen", "val_images", "tried")}
            lost = sum(one["val_nll"] is None for one in record["tried"])
            found.append(named | own | {"failed": lost})
    return {"trials": plan.trials, "chosen_by": CHOSEN_BY, "searches": found}


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = read_json(folder / TUNING, "what a search chose")
    except BrainsslError:
        return None
    return record

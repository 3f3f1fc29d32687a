"""The whole comparison: a grid of steps, each one complete or absent."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.folds import Fold, split_name
from brainssl.data.split import PARTS
from brainssl.explanation.folder import Request
from brainssl.explanation.side_by_side import FOLDER, INDEX
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import read_json, remove
from brainssl.hardware.device import announce
from brainssl.studies.budget import keep
from brainssl.studies.explanations import explain_models, request_of
from brainssl.studies.grid import Step, grid, reported, start_of
from brainssl.studies.journal import noting, read_log
from brainssl.studies.plan import Plan
from brainssl.studies.pooling import pooled_rows
from brainssl.studies.preparation import Prepared, prepared
from brainssl.studies.projections import make_projections
from brainssl.studies.publication import publish
from brainssl.studies.record import describe
from brainssl.studies.refusals import refuse_unfit_views
from brainssl.studies.scheduling.here import Here
from brainssl.studies.scheduling.scheduler import Scheduler
from brainssl.studies.starts import keep_downloaded, refuse_unfit, warnings_of
from brainssl.studies.steps import Steps, agenda_of, fresh_encoder
from brainssl.studies.tuning import searches


@dataclass
class Study:
    """A study in its folder. `run` does what is not done yet and writes results and report."""

    plan: Plan
    out: Path
    terminal: Terminal
    failed: list[dict[str, str]] = field(default_factory=list)

    def run(self, scheduler: Scheduler | None = None) -> Path:
        """Run the grid and return the path of the report.

        A step that fails is reported and the others go on. Finished steps are not run again,
        unless a file of theirs is damaged.

        Args:
            scheduler: who does the steps; by default this process.

        Raises:
            BrainsslError: the source or the plan is of no use, `out` holds another study, no step
                succeeded, or there is nobody to do the steps.
        """
        scheduler = scheduler or Here()
        scheduler.check()
        # First what would make every step fail.
        encoders = {
            start or self.plan.own_start: fresh_encoder(self.plan, start)
            for start in self.plan.beginnings
        }
        encoder = next(iter(encoders.values()))
        refuse_unfit_views(self.plan, encoder)
        announce(self.plan.settings.run, self.terminal.say, encoder)
        with prepared(self.plan, self.out, self.terminal) as ground:
            keep(self.out, self.plan)
            keep_downloaded(self.plan, self.out, encoders)
            refuse_unfit(self.plan, encoders, ground.data.values())
            for (_, fold), data in ground.data.items():
                self._announce(data, fold)
            honest = ground.honest
            asked = request_of(self.plan, honest, self.terminal.say)
            self.work_off(ground, scheduler)
            rows = self._collect(ground)
            rows += pooled_rows(self.out, rows, self.plan.folds, self.plan.settings.evaluation)
            with (
                self.terminal.task("maps of features") as progress,
                noting(self.out, "maps of features"),
            ):
                make_projections(self.plan, self.out, honest, progress=progress)
            self._explain(honest, asked)
            study = describe(self.plan, ground.data, ground.audit, rows, read_log(self.out))
            study["failed"] = self.failed
            study["warnings"] += warnings_of(encoders)
            study["tuning"] = searches(self.plan, self.out)
            return publish(self.out, study, rows, self.terminal)

    def _explain(self, data: Data, request: Request | None) -> None:
        if request is None:
            remove(self.out / FOLDER / INDEX)
            return

        def waiting() -> None:
            self.terminal.say("another process is explaining the models: waiting for it")

        with self.terminal.task("explanations") as progress, noting(self.out, "explanations"):
            index = explain_models(
                self.plan, self.out, data, request, waiting=waiting, progress=progress
            )
        for model in index["left_out"]:
            self.terminal.say(f"not explained: {model['step']}: {model['reason']}")

    def work_off(self, ground: Prepared, scheduler: Scheduler) -> None:
        """Settle the steps, and leave the results to `run`."""
        steps = Steps(self.plan, self.out, ground, self.terminal)
        scheduler.run(agenda_of(self.plan, self.out), steps)

    def _announce(self, data: Data, fold: Fold | None) -> None:
        split = data.split
        name = split_name(split.protocol, fold)
        counts = ", ".join(f"{part} {len(split.ids(part))}" for part in PARTS)
        self.terminal.say(f"split {name}: {counts}; digest {split.digest[:12]}")
        for warning in split.warnings:
            self.terminal.say(f"warning: {warning}")

    def _collect(self, ground: Prepared) -> list[dict[str, Any]]:
        """Return the rows of all finished steps, and fill `failed` with the other steps."""
        rows: list[dict[str, Any]] = []
        undone: dict[str, list[str]] = {}
        own = set(reported(self.plan))
        if self.plan.trials == 1:  # else what a trial lost is told by the search
            own |= {step for step in grid(self.plan) if not step.measured}
        for step in (step for step in grid(self.plan) if step in own):
            try:
                rows += self._rows(step)
            except BrainsslError as error:
                failure = ground.journal.failure(step.name)
                cause = ground.journal.failure(step.pretraining) if step.pretraining else None
                if not failure and cause:
                    undone.setdefault(cause["step"], []).append(step.name)
                    told = f"not done, because {cause['step']} failed"
                    failure = cause | {"step": step.name, "error": told}
                self.failed.append(failure or ground.journal.fail(step.name, error))
        for pretraining, names in undone.items():
            self.terminal.say(f"not done, because {pretraining} failed: {', '.join(names)}")
        if not rows:
            first = self.failed[0]
            raise BrainsslError(f"no step succeeded; the first, {first['step']}: {first['error']}")
        return rows

    def _rows(self, step: Step) -> list[dict[str, Any]]:
        folder = self._folder(step.name)
        if not folder.is_dir():
            raise BrainsslError(f"{folder} is missing: run the study again")
        if not step.measured:
            return []
        rows = read_json(folder / "rows.json", "the results of a step")
        own = {"start": start_of(self.plan, step), "fold": step.fold.number if step.fold else None}
        return [row | own | {"step": f"steps/{step.name}"} for row in rows]

    def _folder(self, name: str) -> Path:
        return self.out / "steps" / name

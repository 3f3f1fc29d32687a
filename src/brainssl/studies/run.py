"""The whole comparison: a grid of steps, each one complete or absent."""

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.folds import Fold, split_name
from brainssl.data.random_labels import with_random_labels
from brainssl.data.split import PARTS
from brainssl.evaluation.predictions import SPLITS
from brainssl.explanation.folder import Request
from brainssl.explanation.side_by_side import FOLDER, INDEX
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Lines, Report, Terminal
from brainssl.foundation.storage import BusyError, is_busy, read_json, remove
from brainssl.hardware.device import announce, device_of
from brainssl.models.encoder import Encoder, build_encoder, load_encoder
from brainssl.settings import Settings
from brainssl.settings.starts import NamedStart
from brainssl.studies.budget import keep
from brainssl.studies.explanations import explain_models, request_of
from brainssl.studies.grid import (
    CLASSICAL,
    RANDOM_LABELS,
    UNTRAINED,
    Step,
    grid,
    reported,
    start_of,
)
from brainssl.studies.journal import noting, read_log
from brainssl.studies.plan import Plan
from brainssl.studies.pooling import pooled_rows
from brainssl.studies.preparation import Prepared, prepared
from brainssl.studies.projections import make_projections
from brainssl.studies.publication import publish
from brainssl.studies.record import describe, environment
from brainssl.studies.refusals import refuse_unfit_views
from brainssl.studies.starts import keep_downloaded, refuse_unfit, warnings_of
from brainssl.studies.tuning import choose, failed, is_given_up, is_settled, searches
from brainssl.training.classical.features import HandMade
from brainssl.training.classical.stage import classical_stage
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import Features, finetune_stage, probe_stage
from brainssl.training.untrained import untrained_encoder

_POLL_SECONDS = 1.0


@dataclass
class Study:
    """A study in its folder. `run` does what is not done yet and writes results and report.

    Several processes may run the same study at once: they share the steps.
    """

    plan: Plan
    out: Path
    terminal: Terminal
    failed: list[dict[str, str]] = field(default_factory=list)
    _features: dict[Step, Features] = field(default_factory=dict, init=False)
    _hand_made: dict[str, HandMade] = field(default_factory=dict, init=False)

    def run(self, beside: AbstractContextManager[object] | None = None) -> Path:
        """Run the grid and return the path of the report.

        A step that fails is reported and the others go on. Finished steps are not run again,
        unless a file of theirs is damaged.

        Args:
            beside: entered while steps are run, such as `brainssl.studies.jobs.workers`.

        Raises:
            BrainsslError: the source or the plan is of no use, `out` holds another study, or
                no step succeeded.
        """
        # First what would make every step fail.
        encoders = {
            start or self.plan.own_start: self._fresh(start) for start in self.plan.beginnings
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
            if beside:
                self.terminal = Lines(quiet=self.terminal.console.quiet)
            with beside or nullcontext():
                self._work_off(ground)
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

    def work(self) -> None:
        """Do steps beside another process that runs the study, and leave the results to it."""
        with prepared(self.plan, self.out, Terminal(quiet=True)) as ground:
            self._work_off(ground)

    def _announce(self, data: Data, fold: Fold | None) -> None:
        split = data.split
        name = split_name(split.protocol, fold)
        counts = ", ".join(f"{part} {len(split.ids(part))}" for part in PARTS)
        self.terminal.say(f"split {name}: {counts}; digest {split.digest[:12]}")
        for warning in split.warnings:
            self.terminal.say(f"warning: {warning}")

    def _work_off(self, ground: Prepared) -> None:
        """Settle every step; those that another process is making wait until nothing else is left.

        Other processes make no promise, so their steps are looked at again and again: if one dies,
        its step is done here.
        """
        steps = grid(self.plan)
        left = list(enumerate(steps, start=1))
        told: set[str] = set()
        while left:
            later = [
                (number, step)
                for number, step in left
                if not self._settle(step, f"[{number}/{len(steps)}] {step.name}", ground)
            ]
            if len(later) == len(left):
                busy = {step.name for _, step in left if is_busy(self._folder(step.name))}
                if busy - told:
                    self.terminal.say(f"waiting for another process: {', '.join(sorted(busy))}")
                    told |= busy
                time.sleep(_POLL_SECONDS)
            left = later

    def _settle(self, step: Step, title: str, ground: Prepared) -> bool:
        """Do a step unless it is done or cannot be; False if it must wait for another process."""
        folder, journal = self._folder(step.name), ground.journal
        if folder.is_dir() or is_given_up(self.plan, step, folder.parent):
            return True
        # A candidate that failed here may be tried by another process, which may die of it.
        for one in _before(step):
            if not is_settled(one, folder.parent, journal) and not self._settle(
                one, one.name, ground
            ):
                return False
        if failed(step, folder.parent, journal):
            return True
        if is_busy(folder):
            return False
        if step.pretraining and not self._folder(step.pretraining).is_dir():
            return False
        started = time.perf_counter()
        try:
            with self.terminal.task(title) as progress:
                self._make(step, ground, folder, progress)
        except BusyError:
            return False
        except Exception as error:  # noqa: BLE001 - one failed step must not cost the others
            failure = journal.fail(step.name, error)
            trace = self.out / failure["trace"]
            self.terminal.say(f"{title}: FAILED: {failure['error']} (see {trace})")
        else:
            where = environment(self.plan.settings)
            journal.finish(step.name, time.perf_counter() - started, where)
        return True

    def _make(self, step: Step, ground: Prepared, folder: Path, progress: Report) -> None:
        data = ground.data[step.protocol, step.fold]
        if step.tuned:
            choose(self.plan, step, data, folder, ground.journal, ground.changes)
            return
        settings = self._begun_with(step.start)
        if step.trial > 1:
            settings = ground.changes[step.trial - 1].applied(settings, step.method)
        if step.stage == "pretrain":
            pretrain(
                data.store,
                data.split,
                folder,
                method=step.method,
                settings=settings,
                label_fraction=step.label_fraction,
                seed=step.seed,
                resume=True,
                loggers=self.plan.loggers,
                progress=progress,
                say=self.terminal.say,
            )
            return
        settings = settings.of(step.method)
        # Of what is only tried, nothing is to be known about the test set.
        parts = SPLITS if step.trial == 1 else ("train", "val")
        assert step.label_fraction is not None
        if step.stage == "linear":
            features = self._features_for(step, data)
            probe_stage(
                with_random_labels(data, step.seed) if step.method == RANDOM_LABELS else data,
                features,
                folder,
                facts={"method": step.method} | self._facts(step),
                settings=settings,
                label_fraction=step.label_fraction,
                seed=step.seed,
                parts=parts,
                progress=progress,
            )
        elif step.stage == CLASSICAL:
            store = data.store
            classical_stage(
                data,
                self._hand_made.setdefault(store.checksum, HandMade(store)),
                folder,
                family=step.method,
                settings=settings,
                label_fraction=step.label_fraction,
                seed=step.seed,
                progress=progress,
            )
        else:
            finetune_stage(
                data,
                self._encoder(step, data),
                folder,
                facts={"method": step.method, "stage": step.stage} | self._facts(step),
                settings=settings,
                label_fraction=step.label_fraction,
                seed=step.seed,
                parts=parts,
                progress=progress,
                loggers=self.plan.loggers,
            )

    def _encoder(self, step: Step, data: Data) -> Encoder:
        if step.pretraining:
            return load_encoder(self._folder(step.pretraining))
        if step.stage == "linear":
            return untrained_encoder(data, self._begun_with(step.start), step.seed)
        # A training makes its statistics itself.
        return self._fresh(step.start, step.seed)

    def _fresh(self, start: NamedStart | None, seed: int | None = None) -> Encoder:
        """Build an encoder that begins with a start."""
        encoder = self._begun_with(start).encoder
        return build_encoder(**encoder.model_dump(), seed=self.plan.seed if seed is None else seed)

    def _begun_with(self, start: NamedStart | None) -> Settings:
        """Return the settings as they hold for a start."""
        return self.plan.settings.with_weights((start or self.plan.own_start).weights)

    def _features_for(self, step: Step, data: Data) -> Features:
        """Return an encoder's features, which its probes share; only the last are kept."""
        method = UNTRAINED if step.method == RANDOM_LABELS else step.method
        key = replace(step, method=method, label_fraction=step.taught)
        if key not in self._features:
            device = device_of(self.plan.settings.run)
            self._features = {key: Features(partial(self._encoder, step, data), data.store, device)}
        return self._features[key]

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

    def _facts(self, step: Step) -> dict[str, Any]:
        fold = {} if step.fold is None else {"fold": step.fold.number}
        return {"start": start_of(self.plan, step)} | fold

    def _folder(self, name: str) -> Path:
        return self.out / "steps" / name


def _before(step: Step) -> tuple[Step, ...]:
    """Return the steps that one waits for, whatever became of them."""
    return step.candidates if step.tuned else ()

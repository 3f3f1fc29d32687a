"""How each step of a study is done, in whichever process."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from brainssl.data.dataset import Data
from brainssl.data.random_labels import with_random_labels
from brainssl.evaluation.predictions import SPLITS
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError
from brainssl.foundation.progress import Report, Terminal
from brainssl.hardware.device import device_of
from brainssl.models.encoder import Encoder, build_encoder, load_encoder
from brainssl.models.sources import lies_at
from brainssl.settings import Settings
from brainssl.settings.starts import NamedStart
from brainssl.studies.demand import demand_of
from brainssl.studies.grid import CLASSICAL, RANDOM_LABELS, UNTRAINED, Step, grid, start_of
from brainssl.studies.journal import Journal
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import GROUND, Prepared, opened
from brainssl.studies.record import environment
from brainssl.studies.scheduling.graph import Agenda, Node, Outcome
from brainssl.studies.scheduling.scheduler import Demand, Elsewhere
from brainssl.studies.starts import carried
from brainssl.studies.tuning import choose, is_given_up
from brainssl.training.classical.features import HandMade
from brainssl.training.classical.stage import classical_stage
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import Features, finetune_stage, probe_stage
from brainssl.training.untrained import untrained_encoder

_POLL_SECONDS = 1.0
_LOCK_SECONDS = 180.0
"""How long a lock on a step is waited for. Nobody else should hold it; but a network drive gives
the locks of a machine that went down free after a minute or two only."""


def agenda_of(plan: Plan, out: Path) -> Agenda:
    """Return the steps of a study as they stand in its folder."""
    steps, settled = out / "steps", {}
    for step in grid(plan):
        if (steps / step.name).is_dir():
            settled[step.name] = Outcome.DONE
        elif is_given_up(plan, step, steps):
            settled[step.name] = Outcome.FAILED
    return Agenda(map(_node, grid(plan)), settled)


def _node(step: Step) -> Node:
    needs = () if step.pretraining is None else (step.pretraining,)
    return Node(step.name, needs, tuple(o.name for o in step.candidates) if step.tuned else ())


def begun_with(plan: Plan, start: NamedStart | None) -> Settings:
    """Return the settings as they hold for a start."""
    return plan.settings.with_weights((start or plan.own_start).weights)


def fresh_encoder(plan: Plan, start: NamedStart | None, seed: int | None = None) -> Encoder:
    """Build an encoder that begins with a start."""
    encoder = begun_with(plan, start).encoder
    return build_encoder(**encoder.model_dump(), seed=plan.seed if seed is None else seed)


def _open(
    plan: Plan,
    out: Path,
    journal: Journal,
    places: Mapping[str, str],
    terminal: Terminal,
    folder: Path | None = None,
) -> "Steps":
    if folder is not None:
        for weights, place in places.items():
            lies_at(weights, folder / place)
    out = folder or out
    journal = replace(journal, out=out)
    return Steps(plan, out, opened(plan, out, journal), terminal)


@dataclass
class Steps:
    """The steps of a study by their names; what they share is kept from one to the next.

    Attributes:
        plan: of the study.
        out: its folder.
        shared: what all steps need.
        terminal: where to show it.
    """

    plan: Plan
    out: Path
    shared: Prepared
    terminal: Terminal
    _features: dict[Step, Features] = field(default_factory=dict, init=False)
    _hand_made: dict[str, HandMade] = field(default_factory=dict, init=False)

    @cached_property
    def _steps(self) -> dict[str, tuple[Step, str]]:
        steps = grid(self.plan)
        return {
            step.name: (step, f"[{number}/{len(steps)}] {step.name}")
            for number, step in enumerate(steps, start=1)
        }

    def elsewhere(self) -> Elsewhere:
        """Return what makes the same of it in another process; for pickle."""
        places = {weights: place for weights, (place, _) in carried(self.plan).items()}
        return partial(_open, self.plan, self.out.resolve(), self.shared.journal, places)

    def ground(self) -> dict[str, Path]:
        """Return files and folders that all steps need, by their paths in the study's folder."""
        own = {name: self.out / name for name in GROUND if (self.out / name).exists()}
        return own | dict(carried(self.plan).values())

    @property
    def digest(self) -> str:
        """What tells this study from others."""
        return self.shared.journal.study

    def kind(self, name: str) -> str | None:
        """Name the encoder or the images whose features a process keeps after this step."""
        step, _ = self._steps[name]
        if step.stage == "linear" and not step.tuned:
            return _seen_by(step).name
        return f"{CLASSICAL} {step.protocol}" if step.stage == CLASSICAL else None

    def demand(self, name: str, *, gpus: bool) -> Demand:
        """Say what a step takes of a machine, where there are GPUs or none."""
        step, _ = self._steps[name]
        return demand_of(self.plan, step, self.shared.data[step.protocol, step.fold], gpus=gpus)

    def do(self, name: str) -> Outcome:
        """Do a step; where it fails the failure is noted and told.

        One that was made by a process which was lost before it could answer is not noted again.
        """
        step, title = self._steps[name]
        folder, journal = self._folder(name), self.shared.journal
        if journal.finished(name):
            return Outcome.DONE
        started = time.perf_counter()
        try:
            with self.terminal.task(title) as progress:
                self._alone(step, folder, progress)
        except Exception as error:  # noqa: BLE001 - one failed step must not cost the others
            self._tell(title, journal.fail(name, error))
            return Outcome.FAILED
        where = environment(self.plan.settings)
        journal.finish(name, time.perf_counter() - started, where)
        return Outcome.DONE

    def give_up(self, name: str, cause: str) -> None:
        """Note and tell that a step failed without a word of its own, because its process died."""
        self._tell(self._steps[name][1], self.shared.journal.fail(name, BrainsslError(cause)))

    def _tell(self, title: str, failure: dict[str, str]) -> None:
        where = f"see {failure['trace']} in the study's folder"
        self.terminal.say(f"{title}: FAILED: {failure['error']} ({where})")

    def _alone(self, step: Step, folder: Path, progress: Report) -> None:
        """Make a step, as soon as no process that was cut off is still at it."""
        deadline = time.monotonic() + _LOCK_SECONDS
        while not folder.is_dir():
            try:
                self._make(step, folder, progress)
            except BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_SECONDS)

    def _make(self, step: Step, folder: Path, progress: Report) -> None:
        data = self.shared.data[step.protocol, step.fold]
        if step.tuned:
            choose(self.plan, step, data, folder, self.shared.journal, self.shared.changes)
            return
        settings = begun_with(self.plan, step.start)
        if step.trial > 1:
            settings = self.shared.changes[step.trial - 1].applied(settings, step.method)
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
            return untrained_encoder(data, begun_with(self.plan, step.start), step.seed)
        # A training makes its statistics itself.
        return fresh_encoder(self.plan, step.start, step.seed)

    def _features_for(self, step: Step, data: Data) -> Features:
        """Return an encoder's features, which its probes share; only the last are kept."""
        key = _seen_by(step)
        if key not in self._features:
            device = device_of(self.plan.settings.run)
            self._features = {key: Features(partial(self._encoder, step, data), data.store, device)}
        return self._features[key]

    def _facts(self, step: Step) -> dict[str, Any]:
        fold = {} if step.fold is None else {"fold": step.fold.number}
        return {"start": start_of(self.plan, step)} | fold

    def _folder(self, name: str) -> Path:
        return self.out / "steps" / name


def _seen_by(step: Step) -> Step:
    """Return what stands for the encoder of a probe, the same for all that share its features."""
    method = UNTRAINED if step.method == RANDOM_LABELS else step.method
    return replace(step, method=method, label_fraction=step.taught)

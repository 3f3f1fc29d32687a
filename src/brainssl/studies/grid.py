"""The grid of a study: which steps there are, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from brainssl.data.folds import Fold
from brainssl.data.shots import LabelFraction
from brainssl.data.split import Protocol
from brainssl.settings import LABELLED_METHODS, METHOD_NAMES
from brainssl.settings.starts import NamedStart
from brainssl.studies.plan import Plan
from brainssl.training.classical import FAMILIES

UNTRAINED = "untrained"
SUPERVISED: Literal["supervised"] = "supervised"
RANDOM_LABELS = "random_labels"
CLASSICAL = "classical"

Stage = Literal["pretrain", "linear", "finetune", "supervised", "classical"]


@dataclass(frozen=True)
class Step:
    """One cell of the grid; the folder of its name is complete or absent.

    Attributes:
        stage: what is done.
        method: of self-supervision, or UNTRAINED, RANDOM_LABELS (an untrained encoder too) or
            SUPERVISED; a semi-supervised one has the baseline's stage; of a classical baseline, its
            family.
        protocol: how the data are split.
        seed: of the training.
        label_fraction: share of the training labels, or shots; None for a pretraining that uses
            none.
        fold: whose test set is not seen; None where there is one split.
        trial: number of the settings that are tried, see `brainssl.studies.trials`; 1: as they are.
        trials: how many settings it chooses from on validation, of a tuned step; 1 of all others.
        start: weights that its encoder, or that of its pretraining, begins with; None: those of the
            settings, or no encoder.
    """

    stage: Stage
    method: str
    protocol: Protocol
    seed: int
    label_fraction: LabelFraction | None = None
    fold: Fold | None = None
    trial: int = 1
    trials: int = 1
    start: NamedStart | None = None

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        what = self.stage if self.method == SUPERVISED else f"{self.stage}-{self.method}"
        start = "" if self.start is None else self.start.mark
        chooses = f"tuned{self.trials}-" if self.tuned else ""
        fraction = "" if self.label_fraction is None else f"-f{self.label_fraction:g}"
        fold = "" if self.fold is None else f"-{self.fold.name}"
        trial = "" if self.trial == 1 else f"-t{self.trial}"
        return f"{chooses}{what}{start}-{self.protocol}{fold}{fraction}-s{self.seed}{trial}"

    @property
    def tuned(self) -> bool:
        """Whether it trains nothing and takes the best of its candidates on validation."""
        return self.trials > 1

    @property
    def candidates(self) -> tuple["Step", ...]:
        """The steps among which a tuned one chooses."""
        return tuple(replace(self, trial=n, trials=1) for n in range(1, self.trials + 1))

    @property
    def tunable(self) -> bool:
        """Whether other settings of it can be tried.

        Controls have none, and what classical baselines have to choose they choose on validation.
        """
        controls = self.method in (UNTRAINED, RANDOM_LABELS) or self.stage == CLASSICAL
        return self.measured and not controls

    @property
    def measured(self) -> bool:
        """Whether it ends in rows of results."""
        return self.stage != "pretrain"

    @property
    def pretraining(self) -> str | None:
        """Name of the step that makes its encoder; None where the encoder is a fresh one."""
        if not self.measured or self.method in (UNTRAINED, RANDOM_LABELS):
            return None
        if self.stage in (SUPERVISED, CLASSICAL) or self.tuned:
            return None
        return replace(self, stage="pretrain", label_fraction=self.taught).name

    @property
    def taught(self) -> LabelFraction | None:
        """Label fraction of the pretraining behind it; None where that uses no labels."""
        return self.label_fraction if self.method in LABELLED_METHODS else None


def grid(plan: Plan) -> list[Step]:
    """Return the steps of a plan in the order in which one process takes them."""
    return [
        step
        for protocol in plan.protocols
        for seed in range(plan.seed, plan.seed + plan.seeds)
        for fold in plan.divisions
        for step in _steps_of_seed(plan, protocol, seed, fold)
    ]


def reported(plan: Plan) -> list[Step]:
    """Return the steps whose rows are the results: of a search, those that chose."""
    return [step for step in grid(plan) if step.measured and step == final(plan, step)]


def final(plan: Plan, step: Step) -> Step:
    """Return the step whose rows stand for a measured one: itself, or the one that chose it."""
    return replace(step, trial=1, trials=plan.trials) if step.tunable else step


def _taught(plan: Plan, step: Step) -> list[Step]:
    """Return a pretraining, or one for each label fraction where it learns from labels."""
    if step.method not in LABELLED_METHODS:
        return [step]
    return [replace(step, label_fraction=fraction) for fraction in plan.label_fractions]


def stages_of(method: str) -> tuple[Stage, ...]:
    """Return the stages in which a method is measured: one where it has no pretraining."""
    return ("linear", "finetune") if method in METHOD_NAMES else (SUPERVISED,)


def start_of(plan: Plan, step: Step) -> str | None:
    """Return the short name of a step's start; None where there is no encoder."""
    return None if step.stage == CLASSICAL else (step.start or plan.own_start).name


def _steps_of_seed(plan: Plan, protocol: Protocol, seed: int, fold: Fold | None) -> Iterator[Step]:
    # Whether a protocol leaks is seen from one start and one fold.
    control = None if None in plan.beginnings else plan.beginnings[0]
    for start in plan.beginnings:
        cell = Step("linear", UNTRAINED, protocol, seed, fold=fold, start=start)
        yield from _measured(plan, cell)
        if start == control and (fold is None or fold.number == 1):
            most = max(plan.label_fractions)
            yield replace(cell, method=RANDOM_LABELS, label_fraction=most)
        yield from _trained(plan, cell)
    for family in FAMILIES if plan.classical else ():
        yield from _measured(plan, Step("classical", family, protocol, seed, fold=fold))


def _trained(plan: Plan, cell: Step) -> Iterator[Step]:
    """Yield the methods and the baseline of a start, all trials of each before their choice."""
    trials = [replace(cell, trial=trial) for trial in range(1, plan.trials + 1)]
    choices = [replace(cell, trials=plan.trials)] if plan.trials > 1 else []
    for method in (*plan.methods, SUPERVISED):
        for one in (*trials, *choices):
            if method in METHOD_NAMES and not one.tuned:
                yield from _taught(plan, replace(one, stage="pretrain", method=method))
            for stage in stages_of(method):
                yield from _measured(plan, replace(one, stage=stage, method=method))


def _measured(plan: Plan, step: Step) -> Iterator[Step]:
    return (replace(step, label_fraction=fraction) for fraction in plan.label_fractions)

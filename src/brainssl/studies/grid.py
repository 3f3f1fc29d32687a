"""The grid of a study: which steps there are, and in which order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from brainssl.data.folds import Fold
from brainssl.data.shots import LabelFraction
from brainssl.data.split import Protocol
from brainssl.studies.plan import Plan
from brainssl.training.classical import FAMILIES

UNTRAINED = "untrained"
SUPERVISED = "supervised"
RANDOM_LABELS = "random_labels"
CLASSICAL = "classical"

Stage = Literal["pretrain", "linear", "finetune", "supervised", "classical"]


@dataclass(frozen=True)
class Step:
    """One cell of the grid; the folder of its name is complete or absent.

    Attributes:
        stage: what is done.
        method: of self-supervision, or UNTRAINED, RANDOM_LABELS (an untrained encoder too) or
            SUPERVISED; of a classical baseline, its family.
        protocol: how the data are split.
        seed: of the training.
        label_fraction: share of the training labels, or shots; None for a pretraining, which uses
            none.
        fold: whose test set is not seen; None where there is one split.
    """

    stage: Stage
    method: str
    protocol: Protocol
    seed: int
    label_fraction: LabelFraction | None = None
    fold: Fold | None = None

    @property
    def name(self) -> str:
        """Its name, and that of its folder."""
        what = self.stage if self.stage == SUPERVISED else f"{self.stage}-{self.method}"
        fraction = "" if self.label_fraction is None else f"-f{self.label_fraction:g}"
        fold = "" if self.fold is None else f"-{self.fold.name}"
        return f"{what}-{self.protocol}{fold}{fraction}-s{self.seed}"

    @property
    def measured(self) -> bool:
        """Whether it ends in rows of results."""
        return self.stage != "pretrain"

    @property
    def pretraining(self) -> str | None:
        """Name of the step that makes its encoder; None where the encoder is a fresh one."""
        if not self.measured or self.method in (UNTRAINED, RANDOM_LABELS, SUPERVISED):
            return None
        if self.stage == CLASSICAL:
            return None
        return Step("pretrain", self.method, self.protocol, self.seed, fold=self.fold).name


def grid(plan: Plan) -> list[Step]:
    """Return the steps of a plan in the order in which one process takes them."""
    return [
        step
        for protocol in plan.protocols
        for seed in range(plan.seed, plan.seed + plan.seeds)
        for fold in plan.divisions
        for step in _steps_of_seed(plan, protocol, seed, fold)
    ]


def _steps_of_seed(plan: Plan, protocol: Protocol, seed: int, fold: Fold | None) -> Iterator[Step]:
    def measured(stage: Stage, method: str) -> Iterator[Step]:
        for fraction in plan.label_fractions:
            yield Step(stage, method, protocol, seed, fraction, fold)

    yield from measured("linear", UNTRAINED)
    if fold is None or fold.number == 1:  # whether a protocol leaks is seen from one fold
        yield Step("linear", RANDOM_LABELS, protocol, seed, max(plan.label_fractions), fold)
    for method in plan.methods:
        yield Step("pretrain", method, protocol, seed, fold=fold)
        yield from measured("linear", method)
        yield from measured("finetune", method)
    yield from measured("supervised", SUPERVISED)
    for family in FAMILIES if plan.classical else ():
        yield from measured("classical", family)

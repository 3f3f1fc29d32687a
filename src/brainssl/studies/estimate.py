"""How long a study may take: the images that its steps go through, times this machine's speed."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from brainssl.data.layout import read_layout
from brainssl.data.shots import LabelFraction, Shots
from brainssl.data.split import Protocol
from brainssl.data.store import is_store
from brainssl.explanation.measure import BRIEF
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.hardware.speed import Speed, seconds_to_read, speed_of
from brainssl.methods import METHODS
from brainssl.settings import Settings
from brainssl.settings.sections import SplitSettings
from brainssl.studies.explanations import MOST_ALIKE
from brainssl.studies.grid import CLASSICAL, SUPERVISED, Step, grid
from brainssl.studies.journal import read_log
from brainssl.studies.plan import Plan, finished_steps, identity, is_begun
from brainssl.studies.projections import MOST_IMAGES
from brainssl.training.classical.stage import MOST_IMAGES as MOST_FITTED
from brainssl.training.finetune import passes, supervised_epochs

Measure = Callable[[Settings, int], Speed]

# What does not depend on the encoder, in seconds on an ordinary core; a tenth of a study at most.
_STEP = 1.5  # a step begins, is measured and saved
_MODEL = 0.8  # a model is analysed and has its panel in the report
_REPORT = 4.0  # everything else in it
_MAP_OF_AN_IMAGE = 0.003  # t-SNE
_HAND_MADE = 0.008  # the hand-made features of an image
_CLASSICAL = 0.003  # a classical baseline is fitted, all candidates, for a training image


@dataclass(frozen=True)
class Source:
    """What is known of a source before it is read.

    Attributes:
        labels: of each image.
        files: that are to be read; none of a store.
    """

    labels: tuple[str | None, ...]
    files: tuple[Path, ...]

    @property
    def counted(self) -> bool:
        """Whether the images are files that nobody has read yet."""
        return bool(self.files)


@dataclass(frozen=True)
class Images:
    """How many images the sets of a split have, about."""

    train: float
    val: float
    test: float
    unlabelled: float
    classes: int = 1

    @classmethod
    def of(
        cls,
        labels: Iterable[str | None],
        protocol: Protocol,
        shares: SplitSettings,
        folds: int | None = None,
    ) -> "Images":
        """Divide labels as the shares say; `paper` brings every class to the largest before.

        Of folds each tests its share.
        """
        counts = Counter(labels)
        unlabelled = counts.pop(None, 0)
        labelled = counts.total()
        if protocol == "paper":
            labelled = len(counts) * max(counts.values(), default=0)
        val = labelled * shares.val_fraction
        test = labelled * (1 / folds if folds else shares.test_fraction)
        return cls(labelled - val - test, val, test, unlabelled, len(counts))


@dataclass(frozen=True)
class Work:
    """How many images go through the network, at most.

    Attributes:
        pretraining: forward and backward, in batches of pretraining.
        finetuning: forward and backward, in batches of fine-tuning.
        forward: once, without gradients.
        other: seconds of what no network does, on an ordinary core.
    """

    pretraining: float
    finetuning: float
    forward: float
    other: float = 0.0

    def seconds(self, speed: Speed) -> float:
        """Return how long that takes."""
        return (
            self.pretraining * speed.pretraining
            + self.finetuning * speed.finetuning
            + self.forward * speed.forward
            + self.other
        )


@dataclass(frozen=True)
class Foreseen:
    """A step, whether it is finished, and how many seconds it takes or would take."""

    step: Step
    finished: bool
    seconds: float


@dataclass(frozen=True)
class Estimate:
    """What a study will do.

    Attributes:
        steps: of the grid, in their order.
        around: seconds of the work around them, by what it is.
        images: in the source.
        counted: whether `images` counts files that nobody has read yet.
        jobs: how many processes share the steps.
    """

    steps: tuple[Foreseen, ...]
    around: dict[str, float]
    images: int
    counted: bool
    jobs: int

    @property
    def seconds(self) -> float:
        """Seconds that are left; processes never share a step, and a pretraining comes first."""
        left = {one.step.name: one.seconds for one in self.steps if not one.finished}
        chains = [
            one.seconds + left.get(one.step.pretraining or "", 0.0)
            for one in self.steps
            if not one.finished
        ]
        shared = max(sum(left.values()) / self.jobs, max(chains, default=0.0))
        return shared + sum(self.around.values())

    def facts(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        steps = [
            {"step": one.step.name, "finished": one.finished, "seconds": round(one.seconds, 1)}
            for one in self.steps
        ]
        return {
            "images": self.images,
            "images_are_exact": not self.counted,
            "jobs": self.jobs,
            "seconds": round(self.seconds, 1),
            "steps": steps,
            "around": {what: round(seconds, 1) for what, seconds in self.around.items()},
        }

    def text(self) -> str:
        """Return a table with a line for each stage, method and protocol."""
        lines: dict[tuple[str, str, str], list[Foreseen]] = {}
        for one in self.steps:
            key = (one.step.stage, one.step.method, one.step.protocol)
            lines.setdefault(key, []).append(one)
        widths = "{:10}  {:13}  {:8}  {:20}  {:8}  {:>5}  {:>5}  {:>8}  {:>10}"
        heads = ("stage", "method", "protocol", "label fractions", "seeds", "folds")
        table = [widths.format(*heads, "steps", "finished", "left, about")]
        table += [widths.format(*key, *_cells(group)) for key, group in lines.items()]
        finished = sum(one.finished for one in self.steps)
        about = "about " if self.counted else ""
        processes = "1 process" if self.jobs == 1 else f"{self.jobs} processes"
        around = ", ".join(f"{what} {duration(took)}" for what, took in self.around.items())
        return "\n".join(
            [
                *(line.rstrip() for line in table),
                *([f"Around them: {around}."] if around else []),
                f"{len(self.steps)} steps, {finished} finished, on {about}{self.images} images.",
                f"Left: about {duration(self.seconds)} with {processes} on this machine.",
                "An estimate, by a few steps of the encoder that were just run here, or by those "
                "that are finished. Early stopping is not in.",
            ]
        )


def estimate(plan: Plan, out: Path, *, jobs: int = 1, measure: Measure = speed_of) -> Estimate:
    """Say what a study would do and how long it may take, without a trace in `out`.

    A step like a finished one (but for its seed) takes as long as that did; one of the same stage
    is compared with it by the images that both go through; for others the speed is measured.

    Args:
        plan: of the study.
        out: its folder, which may be absent.
        jobs: how many processes are to share the steps.
        measure: the speed of an encoder, given settings and `jobs`.

    Raises:
        BrainsslError: the source is of no use, or `out` holds another study.
    """
    begun = is_begun(out, identity(plan))
    source = look_at(plan, out if begun else None)
    return foresee(plan, source, out if begun else None, jobs=jobs, measure=measure)


def foresee(
    plan: Plan, source: Source, begun: Path | None, *, jobs: int = 1, measure: Measure = speed_of
) -> Estimate:
    """Return the estimate for a source that was looked at; `begun` is the folder of the study."""
    shares = plan.settings.split
    images = {name: Images.of(source.labels, name, shares, plan.folds) for name in plan.protocols}
    steps = grid(plan)
    amounts = {step: work(step, images[step.protocol], plan.settings) for step in steps}
    finished = finished_steps(begun) if begun else set()
    log = read_log(begun) if begun else {}
    noted = {
        step: float(log[step.name]["seconds"])
        for step in steps
        if step.name in finished and step.name in log
    }
    speed = cache(lambda: measure(plan.settings, jobs))
    foreseen = [
        Foreseen(step, step.name in finished, _seconds(step, amounts, noted, speed))
        for step in steps
    ]
    around = {}
    if any(not one.finished for one in foreseen):
        # One process with all threads, each about as fast as with its share of them.
        around = _around(plan, source, images[plan.protocols[0]], speed().forward / jobs)
    return Estimate(tuple(foreseen), around, len(source.labels), source.counted, jobs)


def work(step: Step, images: Images, settings: Settings) -> Work:
    """Return how many images go through the network in a step, at most."""
    own = settings.of(step.method)
    if step.stage == "pretrain":
        cost: float = METHODS[step.method].cost(settings.section(step.method))
        seen = images.train + images.unlabelled
        watched = 3 * min(own.pretrain.watch_images, seen) + min(
            own.pretrain.watch_images, images.val
        )
        epochs = own.pretrain.epochs
        return Work(seen * epochs * cost, 0.0, watched * (epochs + 1))
    labelled = _labelled(step.label_fraction, images)
    if step.stage == CLASSICAL:
        return Work(0.0, 0.0, 0.0, _CLASSICAL * min(labelled, MOST_FITTED))
    measuring = labelled + images.val + images.test
    if step.stage == "linear":
        every = images.train + images.val + images.test + images.unlabelled
        return Work(0.0, 0.0, measuring + every)
    trained = passes(own.finetune, int(labelled)) * labelled
    epochs = own.finetune.epochs
    if step.stage == SUPERVISED:
        seen = int(images.train + images.unlabelled)
        epochs = supervised_epochs(own, int(labelled), seen)
    return Work(0.0, epochs * trained, measuring + epochs * images.val)


def _labelled(fraction: LabelFraction | None, images: Images) -> float:
    if isinstance(fraction, Shots):
        return min(images.train, float(fraction.each * images.classes))
    return (1.0 if fraction is None else fraction) * images.train


def look_at(plan: Plan, begun: Path | None = None) -> Source:
    """Return the label of each image of a source, by a look at its names or its manifest."""
    path = plan.source
    stores = [path] if begun is None else [path, begun / "store"]
    for store in filter(is_store, stores):
        column = read_frame(store / "manifest.parquet", columns=["label"])["label"]
        return Source(tuple(label if isinstance(label, str) else None for label in column), ())
    layout = read_layout(path, plan.labels, plan.classes_at)
    if layout.questions:
        raise BrainsslError(f"{path}: {layout.questions[0]}")
    files = tuple(layout.root / name for name in layout.paths)
    return Source(tuple(layout.labels.values()), files)


def _around(plan: Plan, source: Source, images: Images, forward: float) -> dict[str, float]:
    """Return the seconds of the work around the steps, done by one process on all cores."""
    models = 2 * len(plan.methods) + 1
    found = {}
    if source.files:
        # Each is decoded twice: for the audit, and into the store.
        each = 1.5 * seconds_to_read(source.files)
        found["reading"] = each * len(source.files) / (os.cpu_count() or 1)
    if plan.classical:
        labelled = images.train + images.val + images.test
        found["hand-made features"] = _HAND_MADE * labelled / (os.cpu_count() or 1)
    mapped = (models + 1) * min(images.test, MOST_IMAGES)
    found["maps of features"] = mapped * (forward + _MAP_OF_AN_IMAGE)
    if plan.explained:
        shown = min(plan.explained, images.test) * BRIEF.passes
        found["explanations"] = models * (shown + min(images.train, MOST_ALIKE)) * forward
    measured = len([step for step in grid(plan) if step.measured])
    found["analysis and report"] = _REPORT + _MODEL * measured
    return found


def _seconds(
    step: Step, amounts: dict[Step, Work], noted: dict[Step, float], speed: Callable[[], Speed]
) -> float:
    if step in noted:
        return noted[step]
    if twins := [took for other, took in noted.items() if _twin(other, step)]:
        return fmean(twins)
    alike = [other for other in noted if other.stage == step.stage]
    if alike and step.stage != CLASSICAL:  # most of a classical step is its measuring
        seconds = sum(noted[other] for other in alike)
        return seconds * _amount(amounts[step]) / sum(_amount(amounts[other]) for other in alike)
    return _STEP + amounts[step].seconds(speed())


def _twin(other: Step, step: Step) -> bool:
    """Tell whether two steps are the same but for seed and fold."""
    return replace(other, seed=step.seed, fold=step.fold) == step


def _amount(work: Work) -> float:
    """Return one number to compare the work of two steps by: a forward pass is about a third."""
    return work.pretraining + work.finetuning + work.forward / 3


def _cells(group: list[Foreseen]) -> tuple[str, ...]:
    fractions = sorted({f for one in group if (f := one.step.label_fraction) is not None})
    seeds = sorted({one.step.seed for one in group})
    left = sum(one.seconds for one in group if not one.finished)
    return (
        ", ".join(f"{fraction:g}" for fraction in fractions),
        ", ".join(map(str, seeds)),
        str(len({one.step.fold for one in group})),
        str(len(group)),
        str(sum(one.finished for one in group)),
        duration(left) if left else "",
    )


def duration(seconds: float) -> str:
    """Return a time in words: 40 s, 2 min 40 s, 12 min, 3 h 20 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    if seconds < 295:
        minutes, rest = divmod(round(seconds / 10) * 10, 60)
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"

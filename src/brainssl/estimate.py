"""How long a study may take: the images that its steps go through, times the speed of a machine."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd
import torch

from brainssl.classifier import device_of
from brainssl.data.layout import read_layout
from brainssl.data.split import Protocol
from brainssl.data.store import is_store
from brainssl.encoders import build_encoder
from brainssl.grid import Step, grid
from brainssl.journal import read_log
from brainssl.methods import METHODS
from brainssl.plan import Plan, finished_steps, identity, is_begun
from brainssl.sections import SplitSettings
from brainssl.settings import Settings
from brainssl.training.finetune import passes

_FORWARD = 1 / 3  # what a forward pass costs, where forward and backward cost 1
_SECONDS = 1.5  # of measuring
_CPU_PIXELS = 64 * 64 * 64  # in a batch; larger ones are not faster on a CPU


@dataclass(frozen=True)
class Images:
    """How many images the sets of a split have, about."""

    train: float
    val: float
    test: float
    unlabelled: float

    @classmethod
    def of(
        cls, labels: Iterable[str | None], protocol: Protocol, shares: SplitSettings
    ) -> "Images":
        """Divide labels as the shares say; `paper` brings every class to the largest before."""
        counts = Counter(labels)
        unlabelled = counts.pop(None, 0)
        labelled = counts.total()
        if protocol == "paper":
            labelled = len(counts) * max(counts.values(), default=0)
        val, test = labelled * shares.val_fraction, labelled * shares.test_fraction
        return cls(labelled - val - test, val, test, unlabelled)


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
        images: in the source.
        counted: whether `images` counts files that nobody has read yet.
        jobs: how many processes share the steps.
    """

    steps: tuple[Foreseen, ...]
    images: int
    counted: bool
    jobs: int

    @property
    def seconds(self) -> float:
        """Seconds that are left; several processes never share one step."""
        left = [foreseen.seconds for foreseen in self.steps if not foreseen.finished]
        return max(sum(left) / self.jobs, max(left, default=0.0))

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
        }

    def text(self) -> str:
        """Return a table with a line for each stage, method and protocol."""
        lines: dict[tuple[str, str, str], list[Foreseen]] = {}
        for one in self.steps:
            key = (one.step.stage, one.step.method, one.step.protocol)
            lines.setdefault(key, []).append(one)
        widths = "{:10}  {:12}  {:8}  {:20}  {:8}  {:>5}  {:>8}  {:>10}"
        heads = ("stage", "method", "protocol", "label fractions", "seeds")
        table = [widths.format(*heads, "steps", "finished", "left, about")]
        table += [widths.format(*key, *_cells(group)) for key, group in lines.items()]
        finished = sum(one.finished for one in self.steps)
        about = "about " if self.counted else ""
        processes = "1 process" if self.jobs == 1 else f"{self.jobs} processes"
        return "\n".join(
            [
                *(line.rstrip() for line in table),
                f"{len(self.steps)} steps, {finished} finished, on {about}{self.images} images.",
                f"Left: about {duration(self.seconds)} with {processes} on this machine.",
                "An estimate: by the encoder's speed on random images, or that of finished steps.",
                "Reading images, intervals and explanations come on top; early stopping is not in.",
            ]
        )


def estimate(
    plan: Plan, out: Path, *, jobs: int = 1, measure: Callable[[Settings, int], float] | None = None
) -> Estimate:
    """Say what a study would do and how long it may take, without a trace in `out`.

    A step like a finished one (but for its seed) takes as long as that did; one of the same stage
    is compared with it by the images that both go through; for others the speed is measured.

    Args:
        plan: of the study.
        out: its folder, which may be absent.
        jobs: how many processes are to share the steps.
        measure: seconds of one forward and backward pass of an image, given settings and `jobs`.

    Raises:
        BrainsslError: the source is of no use, or `out` holds another study.
    """
    begun = is_begun(out, identity(plan))
    labels, counted = _labels(plan, out if begun else None)
    shares = plan.settings.split
    images = {name: Images.of(labels, name, shares) for name in plan.protocols}
    steps = grid(plan)
    amounts = {step: work(step, images[step.protocol], plan.settings) for step in steps}
    finished = finished_steps(out) if begun else set()
    log = read_log(out)
    noted = {
        step: float(log[step.name]["seconds"])
        for step in steps
        if step.name in finished and step.name in log
    }
    speed = cache(lambda: (measure or seconds_per_image)(plan.settings, jobs))
    foreseen = [
        Foreseen(step, step.name in finished, _seconds(step, amounts, noted, speed))
        for step in steps
    ]
    return Estimate(tuple(foreseen), len(labels), counted, jobs)


def work(step: Step, images: Images, settings: Settings) -> float:
    """Return how many forward and backward passes of one image a step takes, at most."""
    own = settings.of(step.method)
    if step.stage == "pretrain":
        cost: float = METHODS[step.method].cost(settings.section(step.method))
        return (images.train + images.unlabelled) * own.pretrain.epochs * cost
    labelled = (step.label_fraction or 1.0) * images.train
    measuring = (labelled + images.val + images.test) * _FORWARD
    if step.stage == "linear":
        return measuring + (images.train + images.val + images.test + images.unlabelled) * _FORWARD
    epoch = passes(own.finetune, int(labelled)) * labelled + images.val * _FORWARD
    return measuring + own.finetune.epochs * epoch


def seconds_per_image(settings: Settings, jobs: int = 1) -> float:
    """Measure a few optimiser steps of the encoder on random images, in a second or two.

    Args:
        settings: name the encoder, the size and where to compute.
        jobs: how many processes will share the threads.
    """
    device, size = device_of(settings.run), settings.encoder.image_size
    batch = settings.pretrain.batch_size
    if device.type == "cpu":
        batch = max(2, min(batch, _CPU_PIXELS // size**2))
    encoder = build_encoder(settings.encoder.name, image_size=size, seed=0)
    encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(batch, 1, size, size, device=device)
    optimizer = torch.optim.AdamW(encoder.parameters())
    half = settings.run.precision == "bf16-mixed"

    def step() -> None:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
            loss = encoder(images).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # a GPU has done it all only now

    had = torch.get_num_threads()
    torch.set_num_threads(max(1, had // jobs))
    try:
        step()  # the first one is slower than all others
        started, done = time.perf_counter(), 0
        while not done or time.perf_counter() - started < _SECONDS:
            step()
            done += 1
        return (time.perf_counter() - started) / (done * batch)
    finally:
        torch.set_num_threads(had)


def _labels(plan: Plan, begun: Path | None) -> tuple[list[str | None], bool]:
    """Return the label of each image, and whether they are only counted files."""
    stores = [plan.source] if begun is None else [plan.source, begun / "store"]
    for store in filter(is_store, stores):
        column = pd.read_parquet(store / "manifest.parquet", columns=["label"])["label"]
        return [label if isinstance(label, str) else None for label in column], False
    return list(read_layout(plan.source, plan.labels).labels.values()), True


def _seconds(
    step: Step, amounts: dict[Step, float], noted: dict[Step, float], speed: Callable[[], float]
) -> float:
    if step in noted:
        return noted[step]
    if twins := [took for other, took in noted.items() if replace(other, seed=step.seed) == step]:
        return fmean(twins)
    if alike := [other for other in noted if other.stage == step.stage]:
        seconds = sum(noted[other] for other in alike)
        return amounts[step] * seconds / sum(amounts[other] for other in alike)
    return amounts[step] * speed()


def _cells(group: list[Foreseen]) -> tuple[str, str, str, str, str]:
    fractions = sorted({f for one in group if (f := one.step.label_fraction) is not None})
    seeds = sorted({one.step.seed for one in group})
    left = sum(one.seconds for one in group if not one.finished)
    return (
        ", ".join(f"{fraction:g}" for fraction in fractions),
        ", ".join(map(str, seeds)),
        str(len(group)),
        str(sum(one.finished for one in group)),
        duration(left) if left else "",
    )


def duration(seconds: float) -> str:
    """Return a time in words: 40 s, 12 min, 3 h 20 min."""
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"

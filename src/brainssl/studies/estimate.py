"""How long a study may take: its workload, times this machine's speed."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from brainssl.explanation.measure import BRIEF
from brainssl.hardware.speed import Speed, seconds_to_open, seconds_to_read, speed_of
from brainssl.models.encoder import build_encoder
from brainssl.settings import Settings
from brainssl.settings.starts import RANDOM
from brainssl.studies.explanations import MOST_ALIKE
from brainssl.studies.grid import CLASSICAL, SUPERVISED, Step, grid, reported, stages_of, start_of
from brainssl.studies.identity import finished_steps, identity, is_begun
from brainssl.studies.journal import read_log
from brainssl.studies.plan import Plan
from brainssl.studies.projections import MOST_IMAGES
from brainssl.studies.refusals import refuse_unfit_views
from brainssl.studies.starts import digests_of, open_starts, refuse_changed
from brainssl.studies.tuning import is_given_up
from brainssl.studies.workload import Images, Source, Work, look_at, work

Measure = Callable[[Settings, int], Speed]

# What does not depend on the encoder, in seconds on an ordinary core; a tenth of a study at most.
_STEP = 1.5  # a step begins, is measured and saved
_MODEL = 0.8  # a model is analysed and has its panel in the report
_REPORT = 4.0  # everything else in it
_MAP_OF_AN_IMAGE = 0.003  # t-SNE
_HAND_MADE = 0.008  # the hand-made features of an image


@dataclass(frozen=True)
class Foreseen:
    """A step, whether it is finished, and how many seconds it takes or would take.

    `start` is the short name of its start unless all began with random weights, else empty.
    """

    step: Step
    finished: bool
    seconds: float
    start: str = ""

    @property
    def method(self) -> str:
        """Return its method, and its start unless all began with random weights."""
        return f"{self.step.method} from {self.start}" if self.start else self.step.method


@dataclass(frozen=True)
class Estimate:
    """What a study will do.

    Attributes:
        steps: of the grid, in their order.
        around: seconds of the work around them, by what it is.
        images: in the source.
        counted: whether `images` counts files that nobody has read yet.
        jobs: how many processes share the steps.
        fetched: what is first fetched from the internet, where it was not before.
    """

    steps: tuple[Foreseen, ...]
    around: dict[str, float]
    images: int
    counted: bool
    jobs: int
    fetched: tuple[str, ...] = ()

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
            "fetched": list(self.fetched),
        }

    def text(self) -> str:
        """Return a table with a line for each stage, method, start and protocol."""
        lines: dict[tuple[str, str, str], list[Foreseen]] = {}
        for one in self.steps:
            stage = "choice" if one.step.tuned else one.step.stage
            lines.setdefault((stage, one.method, one.step.protocol), []).append(one)
        wide = max([13, *(len(one.method) for one in self.steps)])
        widths = f"{{:10}}  {{:{wide}}}  "
        widths += "{:8}  {:20}  {:8}  {:>5}  {:>5}  {:>8}  {:>10}"
        heads = ("stage", "method", "protocol", "label fractions", "seeds", "folds")
        table = [widths.format(*heads, "steps", "finished", "left, about")]
        table += [widths.format(*key, *_cells(group)) for key, group in lines.items()]
        finished = sum(one.finished for one in self.steps)
        about = "about " if self.counted else ""
        processes = "1 process" if self.jobs == 1 else f"{self.jobs} processes"
        wanted = ", ".join(self.fetched)
        around = ", ".join(f"{what} {duration(took)}" for what, took in self.around.items())
        return "\n".join(
            [
                *(line.rstrip() for line in table),
                *([f"Around them: {around}."] if around else []),
                *([f"Fetched first, unless it was before: {wanted}."] if wanted else []),
                f"{len(self.steps)} steps, {finished} finished, on {about}{self.images} images.",
                f"Left: about {duration(self.seconds)} with {processes} on this machine.",
                "An estimate, by a few steps of the encoder that were just run here, or by those "
                "that are finished. Early stopping is not in.",
            ]
        )


def estimate(plan: Plan, out: Path, *, jobs: int = 1, measure: Measure = speed_of) -> Estimate:
    """Say what a study would do and how long it may take, without a trace in `out`.

    A step like a finished one (but for seed, fold and start) takes as long as that did; one of the
    same stage is compared with it by the images that both go through; for others the speed is
    measured.

    Args:
        plan: of the study.
        out: its folder, which may be absent.
        jobs: how many processes are to share the steps.
        measure: the speed of an encoder, given settings and `jobs`.

    Raises:
        BrainsslError: the source or a start is of no use, or `out` holds another study.
    """
    digests_of(plan)
    begun = is_begun(out, identity(plan))
    if begun:
        refuse_changed(plan, out)
    wanted = open_starts(plan)
    plain = plan.settings.with_weights(RANDOM).encoder
    refuse_unfit_views(plan, build_encoder(**plain.model_dump(), seed=plan.seed))
    source = look_at(plan, out if begun else None)
    foreseen = foresee(plan, source, out if begun else None, jobs=jobs, measure=measure)
    return replace(foreseen, fetched=tuple(wanted))


def foresee(
    plan: Plan, source: Source, begun: Path | None, *, jobs: int = 1, measure: Measure = speed_of
) -> Estimate:
    """Return the estimate for a source that was looked at; `begun` is the folder of the study."""
    shares = plan.settings.split
    images = {name: Images.of(source.labels, name, shares, plan.folds) for name in plan.protocols}
    steps = grid(plan)
    amounts = {step: work(step, images[step.protocol], plan.settings) for step in steps}
    finished = finished_steps(begun) if begun else set()
    if begun:  # what failed in a search that has chosen since is not done again
        finished |= {one.name for one in steps if is_given_up(plan, one, begun / "steps")}
    log = read_log(begun) if begun else {}
    noted = {
        step: float(log[step.name]["seconds"])
        for step in steps
        if step.name in finished and step.name in log
    }
    speed = cache(lambda: measure(plan.settings, jobs))
    foreseen = [
        Foreseen(step, step.name in finished, _seconds(step, amounts, noted, speed), start)
        for step in steps
        for start in [(start_of(plan, step) or "") if plan.tells_starts else ""]
    ]
    around = {}
    if any(not one.finished for one in foreseen):
        # One process with all threads, each about as fast as with its share of them.
        around = _around(plan, source, images[plan.protocols[0]], speed().forward / jobs)
    return Estimate(tuple(foreseen), around, len(source.labels), source.counted, jobs)


def _around(plan: Plan, source: Source, images: Images, forward: float) -> dict[str, float]:
    """Return the seconds of the work around the steps, done by one process on all cores."""
    models = len(plan.starts) * sum(len(stages_of(one)) for one in (*plan.methods, SUPERVISED))
    found = {}
    if source.counted:
        # Each is decoded twice: for the audit, and into the store.
        all_of_them = seconds_to_read(source.files) * len(source.files)
        all_of_them += seconds_to_open(source.volumes, source.plane) * len(source.volumes)
        found["reading"] = 1.5 * all_of_them / (os.cpu_count() or 1)
    if plan.classical:
        labelled = images.train + images.val + images.test
        found["hand-made features"] = _HAND_MADE * labelled / (os.cpu_count() or 1)
    mapped = (models + len(plan.starts)) * min(images.test, MOST_IMAGES)
    found["maps of features"] = mapped * (forward + _MAP_OF_AN_IMAGE)
    if plan.explained:
        shown = min(plan.explained, images.test) * BRIEF.passes
        found["explanations"] = models * (shown + min(images.train, MOST_ALIKE)) * forward
    found["analysis and report"] = _REPORT + _MODEL * len(reported(plan))
    return found


def _seconds(
    step: Step, amounts: dict[Step, Work], noted: dict[Step, float], speed: Callable[[], Speed]
) -> float:
    if step in noted:
        return noted[step]
    if twins := [took for other, took in noted.items() if _twin(other, step)]:
        return fmean(twins)
    alike = [o for o in noted if (o.stage, o.tuned) == (step.stage, step.tuned)]
    if alike and step.stage != CLASSICAL:  # most of a classical step is its measuring
        seconds = sum(noted[other] for other in alike)
        return seconds * amounts[step].amount / sum(amounts[other].amount for other in alike)
    return _STEP + amounts[step].seconds(speed())


def _twin(other: Step, step: Step) -> bool:
    """Tell whether two steps are the same but for seed, fold and start."""
    return replace(other, seed=step.seed, fold=step.fold, start=step.start) == step


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

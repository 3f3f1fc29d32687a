"""A budget of time: which study fits into it, out of a short ladder of sensible ones."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from brainssl.data.shots import LabelFraction, Shots, label_fraction
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.storage import read_json, write_json, write_text
from brainssl.hardware.speed import Speed, speed_of
from brainssl.settings import Settings, load_settings
from brainssl.settings.writing import preset_text
from brainssl.studies.estimate import Measure, duration, foresee
from brainssl.studies.ladder import LADDER, Rung
from brainssl.studies.plan import Plan
from brainssl.studies.workload import Images, Source, look_at

NOTES, PRESET = "budget.json", "budget.toml"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_RESERVE = 0.9  # of the budget is planned: an estimate may be wrong


@dataclass(frozen=True)
class Choice:
    """The study that was chosen.

    Attributes:
        budget: as it was asked for, such as `10m`.
        rung: its place on the ladder, from 1.
        overrides: settings that it stands for, as `--set` takes them; what was set by hand is none.
        label_fractions: shares of the training labels, or shots.
        seeds: trainings of everything, on one split or in each fold.
        folds: see `brainssl.studies.plan.Plan`.
        trials: settings that each arm tries; the time was planned for so many.
        explained: test slices that show where a classifier looks.
        seconds: that it was estimated to take.
        table: what was chosen from, in words.
    """

    budget: str
    rung: int
    overrides: tuple[str, ...]
    label_fractions: tuple[LabelFraction, ...]
    seeds: int
    folds: int | None
    trials: int
    explained: int
    seconds: float
    table: str

    def applied(self, plan: Plan, by_hand: Sequence[str]) -> Plan:
        """Return a plan with what was chosen."""
        settings, reasons = load_settings(plan.preset, [*self.overrides, *by_hand])
        reason = f"budget {self.budget}: rung {self.rung} of {len(LADDER)}"
        chosen = {override.partition("=")[0] for override in self.overrides}
        size = "encoder.image_size"
        if size not in chosen:  # by hand, or that of a store
            settings = settings.with_image_size(plan.settings.encoder.image_size)
            reasons[size] = plan.reasons[size]
        return replace(
            plan,
            settings=settings,
            reasons=reasons | dict.fromkeys(chosen, reason),
            label_fractions=self.label_fractions,
            seeds=self.seeds,
            folds=self.folds,
            explained=self.explained,
            budget=self.facts(),
        )

    def facts(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        return {
            "budget": self.budget,
            "rung": self.rung,
            "rungs": len(LADDER),
            "overrides": list(self.overrides),
            "label_fractions": list(self.label_fractions),
            "seeds": self.seeds,
            "folds": self.folds,
            "trials": self.trials,
            "explained": self.explained,
            "seconds": self.seconds,
            "table": self.table,
        }


@dataclass(frozen=True)
class Asked:
    """What a user has decided, and a budget must leave as it is; None where it may choose.

    Attributes:
        overrides: of settings.
        label_fractions: shares of the training labels, or shots.
        seeds: trainings of everything.
        explained: test slices to explain.
        divided: how images are divided: `Plan.folds` stays, where a ladder might take folds.
    """

    overrides: tuple[str, ...] = ()
    label_fractions: tuple[LabelFraction, ...] | None = None
    seeds: int | None = None
    explained: int | None = None
    divided: bool = False


def seconds_of(budget: str) -> float:
    """Read a time such as 90s, 10m, 2h or 1h30m.

    Raises:
        BadUseError: it is none.
    """
    told = str(budget).strip().lower()
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", told)
    if not parts or "".join(n + unit for n, unit in parts) != told:
        raise BadUseError(f"--budget {budget}: give a time such as 10m, 2h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def choose(
    plan: Plan,
    budget: str,
    asked: Asked,
    *,
    jobs: int = 1,
    measure: Measure = speed_of,
    source: Source | None = None,
) -> Choice:
    """Choose the largest study of the ladder that fits into a time, by the speed measured here.

    Args:
        plan: of the study; what the ladder decides is replaced.
        budget: the time, see `seconds_of`.
        asked: what stays as it is.
        jobs: how many processes are to share the steps.
        measure: the speed of an encoder, given settings and `jobs`.
        source: what is known of the plan's source, if it was looked at.

    Raises:
        BadUseError: the time cannot be read, or is too short for anything that learns.
        BrainsslError: the source is of no use.
    """
    limit = seconds_of(budget)
    source = source or look_at(plan)
    speed = _by_encoder(measure)
    tried: list[tuple[Choice, Plan, float]] = []
    for number, rung in enumerate(LADDER, start=1):
        choice = _choice(budget, number, rung, plan, asked, source)
        candidate = choice.applied(plan, asked.overrides)
        seconds = foresee(candidate, source, None, jobs=jobs, measure=speed).seconds
        tried.append((choice, candidate, seconds))
        if seconds > _RESERVE * limit:
            break
    fitting = [one for one in tried if one[2] <= _RESERVE * limit]
    if not fitting:
        starts = f" from {len(plan.starts)} starts" if len(plan.starts) > 1 else ""
        least = duration(60 * math.ceil(tried[0][2] / _RESERVE / 60))
        raise BadUseError(
            f"--budget {budget} is too short here: the smallest study that learns anything takes "
            f"about {least} on this machine, with {', '.join(plan.methods)}{starts} and "
            f"{len(source.labels)} images: give more"
        )
    choice, _, seconds = fitting[-1]
    table = _table(budget, tried, len(fitting) - 1)
    return replace(choice, seconds=round(seconds, 1), table=table)


def kept(out: Path, budget: str, plan: Plan, asked: Asked) -> Choice | None:
    """Return what was chosen when a study was begun with a budget; None if there is none.

    What is asked for goes before it, as it does in a choice.

    Args:
        out: folder of the study.
        budget: the time, as it is asked for.
        plan: of the study, without what a ladder decides.
        asked: what stays as it is.

    Raises:
        BrainsslError: it was begun with another budget, or another search.
    """
    file = out / NOTES
    if not file.is_file():
        return None
    held = read_json(file, "what a budget chose")
    if held["budget"] != budget:
        raise BrainsslError(
            f"{out} was begun with --budget {held['budget']}: give that, or a new folder"
        )
    # An older choice knew neither folds nor trials: they are what the plan says without it.
    trials = held.get("trials", plan.trials)
    if trials != plan.trials:
        begun = (
            "without --tune: leave it out" if trials == 1 else f"with --tune {trials}: give that"
        )
        raise BrainsslError(f"the budget of {out} was planned {begun}, or a new folder")
    return Choice(
        budget,
        held["rung"],
        tuple(held["overrides"]),
        asked.label_fractions or tuple(map(label_fraction, held["label_fractions"])),
        asked.seeds or held["seeds"],
        plan.folds if asked.divided else held.get("folds", plan.folds),
        plan.trials,
        held["explained"] if asked.explained is None else asked.explained,
        held["seconds"],
        held["table"],
    )


def keep(out: Path, plan: Plan) -> None:
    """Write what a budget chose: for going on, and as a preset for doing it elsewhere."""
    if plan.budget is None:
        return
    write_json(out / NOTES, plan.budget)
    text = preset_text(plan.settings, plan.reasons)
    write_text(out / PRESET, text)


def _choice(
    budget: str, number: int, rung: Rung, plan: Plan, asked: Asked, source: Source
) -> Choice:
    divided = asked.divided or rung.trainings == 1
    folds = plan.folds if divided else rung.trainings
    images = Images.of(source.labels, plan.protocols[0], plan.settings.split, folds)
    free = ("default", f"preset {plan.preset}")  # reasons of what nobody has decided
    overrides = tuple(
        f"{key}={value}"
        for key, value in rung.overrides(images).items()
        if plan.reasons[key] in free
    )
    return Choice(
        budget,
        number,
        overrides,
        asked.label_fractions or rung.label_fractions,
        asked.seeds or (rung.trainings if divided and folds is None else 1),
        folds,
        plan.trials,
        rung.explained if asked.explained is None else asked.explained,
        0.0,
        "",
    )


def _by_encoder(measure: Measure) -> Measure:
    """Measure each encoder and its batches once, however many rungs they stand on."""
    known: dict[tuple[str | int, ...], Speed] = {}

    def measured(settings: Settings, jobs: int) -> Speed:
        encoder = settings.encoder.name, settings.encoder.image_size
        key = (*encoder, settings.pretrain.batch_size, settings.finetune.batch_size, jobs)
        if key not in known:
            known[key] = measure(settings, jobs)
        return known[key]

    return measured


def _table(budget: str, tried: Sequence[tuple[Choice, Plan, float]], chosen: int) -> str:
    """Return the rungs in words, with an arrow at the one that was chosen."""
    widths = "{:2} {:10} {:>5}  {:>11}  {:>8}  {:12} {:>9}  {:>9}  {:>12}"
    heads = ("encoder", "image", "pretraining", "training", "labels", "trainings", "explained")
    lines = [
        f"What fits into {budget}, by the speed just measured here:",
        widths.format("", *heads, "takes about"),
        *(_line(widths, one, place == chosen) for place, one in enumerate(tried)),
    ]
    if chosen + 1 < len(tried):
        lines.append(
            f"The next one up takes {duration(tried[chosen + 1][2])}; nine tenths of a budget are "
            "planned."
        )
    return "\n".join(line.rstrip() for line in lines)


def _line(widths: str, one: tuple[Choice, Plan, float], chosen: bool) -> str:
    choice, plan, seconds = one
    settings = plan.settings
    return widths.format(
        "→" if chosen else "",
        settings.encoder.name,
        f"{settings.encoder.image_size} px",
        f"{settings.pretrain.epochs} epochs",
        f"{settings.finetune.epochs}",
        ", ".join(
            one if isinstance(one, Shots) else f"{100 * one:g} %" for one in choice.label_fractions
        ),
        str(choice.seeds * (choice.folds or 1)),
        str(choice.explained),
        duration(seconds),
    )

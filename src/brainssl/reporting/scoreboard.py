"""What figure 1 shows, as data: every model's score, interval and seed, beside guessing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.reporting.rows import Arm, Interval, finite, interval
from brainssl.reporting.study import Study
from brainssl.reporting.titles import BASELINE, CLASSICAL, CONTROLS, ENSEMBLE, title_of
from brainssl.reporting.wording import HEADLINE, labels_title
from brainssl.settings import SEMI_SUPERVISED

Kind = Literal[
    "finetune", "linear", "semi-supervised", "supervised", "ensemble", "control", "classical"
]
Unit = Literal["slice", "series", "patient"]
Asked = Literal["class", "family"]

APART: frozenset[Kind] = frozenset({"control", "classical"})
"""Kinds that stand apart from what the question is about."""

_UNITS: tuple[Unit, ...] = ("patient", "series")


@dataclass(frozen=True)
class Point:
    """A score that `results.json` holds: that of one model, a fraction in [0, 1]."""

    seed: int
    value: float
    limits: Interval | None


@dataclass(frozen=True)
class Entry:
    """A model with its scores, one a seed; with folds each is of their pooled predictions."""

    title: str
    kind: Kind
    points: tuple[Point, ...]

    @property
    def mean(self) -> float:
        """Return the mean over seeds, by which entries are sorted."""
        return sum(point.value for point in self.points) / len(self.points)


@dataclass(frozen=True)
class Board:
    """A panel: models measured on the same cases with the same labels.

    Attributes:
        title: what tells the panel from the others.
        unit: of which a share is right.
        entries: the models, in no order.
        guess: what naming the most frequent class alone gets right; None where not known.
        asked: what is right or wrong.
    """

    title: str
    unit: Unit
    entries: tuple[Entry, ...]
    guess: float | None
    asked: Asked = "class"


def boards(study: Study, protocol: str) -> list[Board]:
    """Return the panels of a protocol on its test split, those of the most labels first.

    Where patients are known, or else series, a panel of them stands before those of slices.
    """
    arms = [arm for arm in study.arms(protocol) if arm.values(HEADLINE.name)]
    fractions = sorted({arm.label_fraction for arm in arms}, reverse=True)
    of_slices = [
        slice_board(study, [arm for arm in arms if arm.label_fraction == fraction], fraction)
        for fraction in fractions
    ]
    return _of_units(study, protocol) + of_slices


def slice_board(study: Study, arms: Sequence[Arm], fraction: LabelFraction) -> Board:
    """Return the panel of slices at one label fraction."""
    entries = tuple(_entry(arm) for arm in arms)
    guess = guessing(study, arms[0])
    return Board(f"Slices, {labels_title(fraction)}", "slice", entries, guess)


def guessing(study: Study, arm: Arm) -> float | None:
    """Return the accuracy on an arm's test split of naming its most frequent class alone."""
    for row in arm.rows:
        if (share := largest_share(row.per_class)) is not None:
            return share
    counts = (study.split(arm.protocol).get("counts") or {}).get(arm.split) or {}
    return _largest([finite(number) for number in counts.values()])


def largest_share(per_class: Mapping[str, Mapping[str, Any]]) -> float | None:
    """Return the share of the most frequent class, from `per_class` of a row of results."""
    return _largest([finite(scores.get("support")) for scores in per_class.values()])


def ordered(panels: Iterable[Board]) -> list[tuple[str, Kind]]:
    """Return every model once, highest first by the first panel that has it; those apart last.

    Seeds are averaged for the order alone.
    """
    means: dict[tuple[str, Kind], tuple[int, float]] = {}
    for place, board in enumerate(panels):
        for entry in board.entries:
            means.setdefault((entry.title, entry.kind), (place, -entry.mean))
    return sorted(means, key=lambda model: (model[1] in APART, *means[model]))


def kind_of(method: str, stage: str) -> Kind:
    """Return what kind of model an arm is."""
    if method in CONTROLS:
        return "control"
    if method in CLASSICAL:
        return "classical"
    if method == BASELINE:
        return "supervised"
    if method in SEMI_SUPERVISED:
        return "semi-supervised"
    if stage == ENSEMBLE:
        return "ensemble"
    return "linear" if stage == "linear" else "finetune"


def _entry(arm: Arm) -> Entry:
    points = tuple(
        Point(row.seed, value, row.intervals.get(HEADLINE.name))
        for row in arm.rows
        if (value := row.metrics.get(HEADLINE.name)) is not None
    )
    return Entry(arm.title, kind_of(arm.method, arm.stage), points)


def _of_units(study: Study, protocol: str) -> list[Board]:
    """Return the panel of patients, or else of series; none where neither is known."""
    for unit in _UNITS:
        rows = [
            row
            for row in study.analysis.get("units") or ()
            if (row.get("unit"), row.get("protocol")) == (unit, protocol)
            and finite(row["metrics"].get(HEADLINE.name)) is not None
        ]
        if rows:
            return [_unit_board(unit, rows)]
    return []


def _unit_board(unit: Unit, rows: Sequence[Mapping[str, Any]]) -> Board:
    grouped: dict[tuple[str, Kind], list[Point]] = {}
    for row in rows:
        value = finite(row["metrics"][HEADLINE.name]) or 0.0
        limits = interval((row.get("intervals") or {}).get(HEADLINE.name))
        kind = kind_of(str(row["method"]), str(row["stage"]))
        own = grouped.setdefault((title_of(row), kind), [])
        own.append(Point(int(row["seed"]), value, limits))
    entries = tuple(Entry(*key, tuple(points)) for key, points in grouped.items())
    most = max(label_fraction(row["label_fraction"]) for row in rows)
    cases = "Patients" if unit == "patient" else "Series"
    guess = largest_share(rows[0].get("per_class") or {})
    # Earlier versions asked patients for nothing but the family.
    family = unit == "patient" and rows[0].get("asked", "family") == "family"
    asked: Asked = "family" if family else "class"
    return Board(f"{cases}, {labels_title(most)}", unit, entries, guess, asked)


def _largest(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return max(known) / sum(known) if sum(known) > 0 else None

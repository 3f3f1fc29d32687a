"""Rows of results, and arms: the rows of one model that differ in their seed alone."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.reporting.titles import (
    ENSEMBLE,
    Learner,
    arm_title,
    is_pretrained,
    is_self_supervised,
)

Interval = tuple[float, float]

ArmKey = tuple[str, str, str, LabelFraction]
"""Method, start, stage and label fraction: an arm under its protocol."""


class _Named:
    """What a row and an arm are called by."""

    method: str
    stage: str
    label_fraction: LabelFraction
    start: str

    @property
    def learner(self) -> Learner:
        """Method and start."""
        return self.method, self.start

    @property
    def key(self) -> ArmKey:
        """Method, start, stage and label fraction."""
        return self.method, self.start, self.stage, self.label_fraction

    @property
    def title(self) -> str:
        """The model in words, without its label fraction and seed."""
        return arm_title(self.method, self.stage, self.start)


@dataclass(frozen=True)
class Row(_Named):
    """The scores of one model on one split, as `results.json` holds them.

    `fold` is the number of a fold; None where there is one split, and where folds are pooled.
    `epochs` (at most), `val_loss` of the epoch that was kept and `uniform_loss` are of trainings
    with labels; older studies do not have them. `trial` is the number of the settings that a search
    chose, 1 without one. `start` is the short name of the weights that its encoder began with where
    a study has several, and else empty.
    """

    method: str
    stage: str
    protocol: str
    label_fraction: LabelFraction
    seed: int
    split: str
    n: int
    metrics: Mapping[str, float | None]
    intervals: Mapping[str, Interval | None]
    per_class: Mapping[str, Mapping[str, Any]]
    step: str
    fold: int | None = None
    epochs: int | None = None
    val_loss: float | None = None
    uniform_loss: float | None = None
    labelled: int | None = None
    label_share: float | None = None
    trial: int = 1
    start: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> "Row":
        """Read one entry of `rows`; what is not finite counts as missing."""
        return cls(
            method=str(raw["method"]),
            stage=str(raw["stage"]),
            protocol=str(raw["protocol"]),
            label_fraction=label_fraction(raw["label_fraction"]),
            seed=int(raw["seed"]),
            split=str(raw["split"]),
            n=int(raw["n"]),
            metrics={name: finite(value) for name, value in raw["metrics"].items()},
            intervals={n: interval(v) for n, v in (raw.get("intervals") or {}).items()},
            per_class=raw.get("per_class") or {},
            step=str(raw.get("step") or ""),
            fold=raw["fold"] if isinstance(raw.get("fold"), int) else None,
            epochs=None if raw.get("epochs") is None else int(raw["epochs"]),
            val_loss=finite(raw.get("val_loss")),
            uniform_loss=finite(raw.get("uniform_loss")),
            labelled=raw.get("labelled"),
            label_share=finite(raw.get("label_share")),
            trial=int(raw.get("trial") or 1),
            start=str(raw.get("start") or ""),
        )


@dataclass(frozen=True)
class Arm(_Named):
    """Method × start × stage × label fraction under one protocol on one split: a row a seed."""

    method: str
    stage: str
    protocol: str
    label_fraction: LabelFraction
    split: str
    rows: tuple[Row, ...]
    start: str = ""

    @property
    def pretrained(self) -> bool:
        """Whether the encoder was pretrained, with labels or without."""
        return is_pretrained(self.method) and self.stage != ENSEMBLE

    @property
    def self_supervised(self) -> bool:
        """Whether the encoder was pretrained without labels."""
        return is_self_supervised(self.method) and self.stage != ENSEMBLE

    def values(self, metric: str) -> list[float]:
        """Return the metric of each seed that has one."""
        found = (row.metrics.get(metric) for row in self.rows)
        return [value for value in found if value is not None]

    def mean(self, metric: str) -> float | None:
        """Return the mean over seeds."""
        values = self.values(metric)
        return statistics.fmean(values) if values else None

    def sd(self, metric: str) -> float | None:
        """Return the sample standard deviation over seeds, which needs two of them."""
        values = self.values(metric)
        return statistics.stdev(values) if len(values) > 1 else None

    def intervals(self, metric: str) -> list[Interval]:
        """Return the sampling interval of each seed that has one."""
        found = (row.intervals.get(metric) for row in self.rows)
        return [limits for limits in found if limits is not None]


def finite(value: Any) -> float | None:
    """Return a number, or None for what is missing, NaN or infinite."""
    if value is None or isinstance(value, bool):
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def interval(value: Any) -> Interval | None:
    """Return (low, high), or None unless both are finite."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        return None
    low, high = finite(value[0]), finite(value[1])
    return None if low is None or high is None else (low, high)

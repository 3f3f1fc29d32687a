"""The arms of a study: what all models of one method, start and stage said."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.evaluation.ensemble import ensemble
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.settings.starts import are_told
from brainssl.studies.grid import RANDOM_LABELS, UNTRAINED
from brainssl.studies.pooling import is_pooled_or_single, pool

HONEST = "grouped"
CHOOSING = "f1_macro"
ENSEMBLE = "ensemble"
MEMBERS = 3


@dataclass(frozen=True)
class Arm:
    """Method × start × stage under one protocol at one label fraction.

    Attributes:
        method: its name, as in `rows`.
        stage: its name, as in `rows`.
        protocol: of the split.
        label_fraction: of the training labels.
        seeds: of the trainings whose predictions are there, in their order.
        steps: their folders within the study.
        models: what each said of every image.
        validated: each one's macro F1 on validation, which chooses.
        members: of an ensemble, their methods, stages and starts.
        folds: the arm within each fold, whose predictions are pooled here; empty without folds.
        start: of the encoder, unless all began with random weights; else empty.
    """

    method: str
    stage: str
    protocol: str
    label_fraction: LabelFraction
    seeds: tuple[int, ...]
    steps: tuple[str, ...]
    models: tuple[Predictions, ...]
    validated: tuple[float, ...]
    members: tuple[dict[str, Any], ...] = ()
    folds: tuple["Arm", ...] = ()
    start: str = ""

    @property
    def name(self) -> str:
        """Method, stage and start in one word."""
        return "/".join(self.facts.values())

    @property
    def facts(self) -> dict[str, str]:
        """Method, stage and, where it is told, start, as a row of results has them."""
        start = {"start": self.start} if self.start else {}
        return {"method": self.method, "stage": self.stage} | start

    @property
    def mean_validated(self) -> float:
        """Macro F1 on validation, in the mean over folds and seeds."""
        if self.folds:
            return fmean(fold.mean_validated for fold in self.folds)
        return fmean(self.validated)

    def parts(self, seed: int) -> list[tuple[Predictions, Predictions]]:
        """Return what was said of validation and test, by one model or by that of each fold."""
        models = [own.models[own.seeds.index(seed)] for own in self.folds or (self,)]
        return [(model.of("val"), model.of("test")) for model in models]

    def of(self, split: str) -> list[Predictions]:
        """Return what each model said of one split."""
        return [model.of(split) for model in self.models]


def arms_of(
    folder: Path, rows: Sequence[Mapping[str, Any]], starts: Sequence[str] = ()
) -> list[Arm]:
    """Return the arms; those that were trained in folds hold the arm within each.

    Args:
        folder: of the study.
        rows: of its results.
        starts: short names of those of the study, also of such that no step succeeded with.
    """
    told = are_told([*starts, *(row.get("start") for row in rows)])
    rows = rows if told else [{**row, "start": None} for row in rows]
    numbers = sorted({row["fold"] for row in rows if not is_pooled_or_single(row)})
    within = [_arms(folder, [row for row in rows if row.get("fold") == n]) for n in numbers]
    pooled = _arms(folder, [row for row in rows if is_pooled_or_single(row)])
    keys = [{_key(arm): arm for arm in own} for own in within]
    found = [one for arm in pooled if (one := _with_folds(arm, keys))] if keys else pooled
    # What was learnt from labels that mean nothing is seen from the first fold alone.
    return found + [arm for own in within[:1] for arm in own if arm.method == RANDOM_LABELS]


def _with_folds(arm: Arm, folds: Sequence[Mapping[tuple[Any, ...], Arm]]) -> Arm | None:
    """Give an arm what each fold said, for the seeds that all folds have; None without one."""
    own = [fold[_key(arm)] for fold in folds if _key(arm) in fold]
    seeds = [seed for seed in arm.seeds if all(seed in fold.seeds for fold in own)]
    if len(own) < len(folds) or not seeds:
        return None
    places = [arm.seeds.index(seed) for seed in seeds]
    return replace(
        arm,
        seeds=tuple(seeds),
        steps=tuple(arm.steps[place] for place in places),
        models=tuple(arm.models[place] for place in places),
        validated=tuple(arm.validated[place] for place in places),
        folds=tuple(own),
    )


def _key(arm: Arm) -> tuple[Any, ...]:
    return arm.method, arm.stage, arm.protocol, arm.label_fraction, arm.start


def _arms(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Arm]:
    validated = {row["step"]: row["metrics"][CHOOSING] for row in rows if row["split"] == "val"}
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["split"] == "test":
            fraction = label_fraction(row["label_fraction"])
            start = row.get("start") or ""
            key = (row["method"], row["stage"], row["protocol"], fraction, start)
            found.setdefault(key, []).append(row)
    arms = []
    for (method, stage, protocol, fraction, start), own in found.items():
        read = [(row, _read(folder / row["step"])) for row in sorted(own, key=lambda r: r["seed"])]
        there = [(row, model) for row, model in read if model is not None]
        if there:
            arms.append(
                Arm(
                    method,
                    stage,
                    protocol,
                    fraction,
                    seeds=tuple(row["seed"] for row, _ in there),
                    steps=tuple(row["step"] for row, _ in there),
                    models=tuple(model for _, model in there),
                    validated=tuple(validated.get(row["step"]) or 0.0 for row, _ in there),
                    start=start,
                )
            )
    return arms


def _read(step: Path) -> Predictions | None:
    try:
        return Predictions.load(step / "predictions.parquet")
    except BrainsslError:
        return None


def ensembles_of(arms: Sequence[Arm]) -> list[Arm]:
    """Combine, under each protocol, the arms that are best on validation, seed by seed.

    Of folds each has its own choice, as its own validation set makes it.
    """
    folded = [arm for arm in arms if arm.folds]
    if folded:
        by_fold = [
            {one.protocol: one for one in ensembles_of([arm.folds[n] for arm in folded])}
            for n in range(len(folded[0].folds))
        ]
        everywhere = [name for name in by_fold[0] if all(name in own for own in by_fold)]
        pooled = [_pooled([own[name] for own in by_fold]) for name in everywhere]
        return [one for one in pooled if one.seeds]
    found = []
    for protocol in dict.fromkeys(arm.protocol for arm in arms):
        own = [arm for arm in arms if arm.protocol == protocol and arm.method != UNTRAINED]
        best = sorted(own, key=lambda arm: -arm.mean_validated)[:MEMBERS]
        seeds = sorted(set.intersection(*(set(arm.seeds) for arm in best))) if best else []
        if len(best) < 2 or not seeds:
            continue
        models = [ensemble([arm.models[arm.seeds.index(seed)] for arm in best]) for seed in seeds]
        found.append(
            Arm(
                method=ENSEMBLE,
                stage=ENSEMBLE,
                protocol=protocol,
                label_fraction=best[0].label_fraction,
                seeds=tuple(seeds),
                steps=tuple(f"ensembles/{protocol}-s{seed}" for seed in seeds),
                models=tuple(models),
                validated=(0.0,) * len(seeds),
                members=tuple(arm.facts for arm in best),
            )
        )
    return found


def _pooled(folds: Sequence[Arm]) -> Arm:
    """Return an arm of the predictions of all its folds."""
    first = folds[0]
    seeds = [seed for seed in first.seeds if all(seed in fold.seeds for fold in folds)]
    models = [pool([fold.models[fold.seeds.index(seed)] for fold in folds]) for seed in seeds]
    members = {tuple(member.items()): member for fold in folds for member in fold.members}
    return replace(
        first,
        seeds=tuple(seeds),
        steps=tuple(
            step for seed, step in zip(first.seeds, first.steps, strict=True) if seed in seeds
        ),
        models=tuple(models),
        validated=(0.0,) * len(seeds),
        members=tuple(members.values()),
        folds=tuple(folds),
    )

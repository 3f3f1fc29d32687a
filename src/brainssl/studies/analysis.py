"""What the predictions of a study say together: no network is run, nothing is trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from brainssl.data.shots import LabelFraction, label_fraction
from brainssl.evaluation.calibration import calibration, calibration_of_folds
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.conformal import conformal_of_folds
from brainssl.evaluation.ensemble import ensemble
from brainssl.evaluation.factors import by_factor, by_plane, factors
from brainssl.evaluation.novelty import novelty
from brainssl.evaluation.optimism import beyond_chance, optimism
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json, result_rows
from brainssl.evaluation.selective import risk_coverage
from brainssl.evaluation.unlabelled import UNLABELLED, Unlabelled
from brainssl.explanation.side_by_side import read_explanations
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.grid import RANDOM_LABELS, UNTRAINED
from brainssl.studies.pooling import POOLED, is_pooled_or_single, pool
from brainssl.training.classical import FAMILIES

COMPARED = ("accuracy", "f1_macro")
CHOOSING = "f1_macro"
ENSEMBLE = "ensemble"
MEMBERS = 3
HONEST = "grouped"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Arm:
    """Method × stage under one protocol at one label fraction.

    Attributes:
        method: its name, as in `rows`.
        stage: its name, as in `rows`.
        protocol: of the split.
        label_fraction: of the training labels.
        seeds: of the trainings whose predictions are there, in their order.
        steps: their folders within the study.
        models: what each said of every image.
        validated: each one's macro F1 on validation, which chooses.
        members: of an ensemble, their methods and stages.
        folds: the arm within each fold, whose predictions are pooled here; empty without folds.
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

    @property
    def name(self) -> str:
        """Method and stage in one word."""
        return f"{self.method}/{self.stage}"

    @property
    def facts(self) -> dict[str, Any]:
        """Method and stage, as a row of results has them."""
        return {"method": self.method, "stage": self.stage}

    def of(self, split: str) -> list[Predictions]:
        """Return what each model said of one split."""
        return [model.of(split) for model in self.models]


def analyse(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    settings: EvaluationSettings,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Return what `results.json` holds under `analysis`.

    - `comparisons`: every pair of models of a protocol and label fraction, on the same test images;
      of classical baselines the best on validation alone, lest the correction for many pairs cost
      the others.
    - `optimism`: accuracy under each other protocol minus that under `grouped`.
    - `random_labels`: for each protocol, what was made of labels that mean nothing.
    - `ensembles`: rows of results, as of single models, for the mean of the best three networks at
      the largest label fraction, chosen by macro F1 on validation; one a seed.
    - `models`: by step, for the networks of the largest label fraction: `calibration` before and
      after temperature scaling, `conformal` sets, `selective` prediction, `factors`: rows of
      results for the tumour family alone and the sequence alone, `planes`: accuracy by plane where
      the study's store knows it, and `novelty`: how well it tells test images from those without
      label.
    - `explanations`: where models look, see `brainssl.explanation.side_by_side.read_explanations`.

    Models whose predictions are not there are left out.

    Args:
        folder: of the study.
        rows: of its results, each with its `step`.
        settings: of the bootstrap.
        progress: called with (parts done, parts in all).
    """
    arms = _arms_and_folds(folder, rows)
    trained = [arm for arm in arms if arm.method != RANDOM_LABELS]
    fullest = _with_most_labels(trained)
    networks = [arm for arm in fullest if arm.method not in FAMILIES]
    combined = _ensembles(networks)
    parts: dict[str, Callable[[], Any]] = {
        "comparisons": partial(_comparisons, [*_with_best_classical(trained), *combined], settings),
        "optimism": partial(_optimism, trained, settings),
        "random_labels": partial(
            _random_labels, [arm for arm in arms if arm.method == RANDOM_LABELS], settings
        ),
        "ensembles": partial(_measured, folder, combined, settings),
        "models": partial(
            _single,
            folder,
            [arm for arm in [*networks, *combined] if arm.method != UNTRAINED],
            settings,
        ),
        "explanations": partial(read_explanations, folder, settings),
    }
    result = {}
    for done, (name, make) in enumerate(parts.items(), start=1):
        result[name] = make()
        if progress:
            progress(done, len(parts))
    return result


def _arms_and_folds(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Arm]:
    """Return the arms; those that were trained in folds hold the arm within each."""
    numbers = sorted({row["fold"] for row in rows if not is_pooled_or_single(row)})
    within = [_arms(folder, [row for row in rows if row.get("fold") == n]) for n in numbers]
    pooled = _arms(folder, [row for row in rows if is_pooled_or_single(row)])
    keys = [{_key(arm): arm for arm in own} for own in within]
    found = [
        replace(arm, folds=tuple(own[_key(arm)] for own in keys)) if keys else arm for arm in pooled
    ]
    # What was learnt from labels that mean nothing is seen from the first fold alone.
    return found + [arm for own in within[:1] for arm in own if arm.method == RANDOM_LABELS]


def _key(arm: Arm) -> tuple[Any, ...]:
    return arm.method, arm.stage, arm.protocol, arm.label_fraction


def _arms(folder: Path, rows: Sequence[Mapping[str, Any]]) -> list[Arm]:
    validated = {row["step"]: row["metrics"][CHOOSING] for row in rows if row["split"] == "val"}
    found: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if row["split"] == "test":
            fraction = label_fraction(row["label_fraction"])
            key = (row["method"], row["stage"], row["protocol"], fraction)
            found.setdefault(key, []).append(row)
    arms = []
    for key, own in found.items():
        read = [(row, _read(folder / row["step"])) for row in sorted(own, key=lambda r: r["seed"])]
        there = [(row, model) for row, model in read if model is not None]
        if there:
            arms.append(
                Arm(
                    *key,
                    seeds=tuple(row["seed"] for row, _ in there),
                    steps=tuple(row["step"] for row, _ in there),
                    models=tuple(model for _, model in there),
                    validated=tuple(validated.get(row["step"]) or 0.0 for row, _ in there),
                )
            )
    return arms


def _read(step: Path) -> Predictions | None:
    try:
        return Predictions.load(step / "predictions.parquet")
    except BrainsslError:
        return None


def _with_most_labels(arms: Sequence[Arm]) -> list[Arm]:
    most: dict[str, LabelFraction] = {}
    for arm in arms:
        most[arm.protocol] = max(arm.label_fraction, most.get(arm.protocol, arm.label_fraction))
    return [arm for arm in arms if arm.label_fraction == most[arm.protocol]]


def _with_best_classical(arms: Sequence[Arm]) -> list[Arm]:
    """Leave out classical baselines but the best on validation in each cell."""
    best: dict[tuple[str, LabelFraction], Arm] = {}
    for arm in arms:
        cell = (arm.protocol, arm.label_fraction)
        if arm.method in FAMILIES and (cell not in best or _mean(arm) > _mean(best[cell])):
            best[cell] = arm
    return [arm for arm in arms if arm.method not in FAMILIES or arm in best.values()]


def _mean(arm: Arm) -> float:
    return sum(arm.validated) / len(arm.validated)


def _comparisons(arms: Sequence[Arm], settings: EvaluationSettings) -> list[dict[str, Any]]:
    cells: dict[tuple[str, LabelFraction], dict[str, Arm]] = {}
    for arm in arms:
        cells.setdefault((arm.protocol, arm.label_fraction), {})[arm.name] = arm
    found = []
    for (protocol, fraction), by_name in cells.items():
        models = {name: arm.of("test") for name, arm in by_name.items()}
        for pair in compare_all(models, metrics=COMPARED, draws=settings.draws):
            told = pair.to_dict()
            told |= {side: by_name[told[side]].facts for side in ("first", "second")}
            found.append({"protocol": protocol, "label_fraction": fraction, **told})
    return found


def _optimism(arms: Sequence[Arm], settings: EvaluationSettings) -> list[dict[str, Any]]:
    honest = {(a.name, a.label_fraction): a for a in arms if a.protocol == HONEST}
    found = []
    for arm in arms:
        other = honest.get((arm.name, arm.label_fraction))
        if arm.protocol != HONEST and other:
            gap = optimism(arm.of("test"), other.of("test"), draws=settings.draws)
            key = {"protocol": arm.protocol, "label_fraction": arm.label_fraction}
            found.append(key | arm.facts | for_json(asdict(gap)))
    return found


def _random_labels(arms: Sequence[Arm], settings: EvaluationSettings) -> list[dict[str, Any]]:
    found = []
    for arm in arms:
        chance = beyond_chance(arm.models, draws=settings.draws)
        told = {"protocol": arm.protocol, "learnt": chance.learnt, "seeds": len(arm.seeds)}
        found.append(told | for_json(asdict(chance)))
    return found


def _ensembles(arms: Sequence[Arm]) -> list[Arm]:
    """Combine, under each protocol, the arms that are best on validation, seed by seed.

    Of folds each has its own choice, as its own validation set makes it.
    """
    folded = [arm for arm in arms if arm.folds]
    if folded:
        by_fold = [
            _ensembles([arm.folds[n] for arm in folded]) for n in range(len(folded[0].folds))
        ]
        return [_pooled(own) for own in zip(*by_fold, strict=False)]
    found = []
    for protocol in dict.fromkeys(arm.protocol for arm in arms):
        own = [arm for arm in arms if arm.protocol == protocol and arm.method != UNTRAINED]
        best = sorted(own, key=lambda arm: -_mean(arm))[:MEMBERS]
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


def _measured(
    folder: Path, arms: Sequence[Arm], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """Measure ensembles, and keep their predictions beside those of single models."""
    rows = []
    for arm in arms:
        for seed, step, model in zip(arm.seeds, arm.steps, arm.models, strict=True):
            (folder / step).mkdir(parents=True, exist_ok=True)
            model.save(folder / step / "predictions.parquet")
            place = {"protocol": arm.protocol, "label_fraction": arm.label_fraction, "seed": seed}
            fold = {"fold": POOLED if arm.folds else None}
            facts = arm.facts | place | fold | {"step": step, "members": arm.members}
            rows += result_rows(model, facts, settings)
    return rows


def _single(
    folder: Path, arms: Sequence[Arm], settings: EvaluationSettings
) -> dict[str, dict[str, Any]]:
    planes = _planes(folder)
    return {
        step: _about(_parts(arm, seed), planes, settings)
        | _of_unlabelled(folder, arm.folds[0] if arm.folds else arm, seed, settings)
        for arm in arms
        for seed, step in zip(arm.seeds, arm.steps, strict=True)
    }


def _parts(arm: Arm, seed: int) -> list[tuple[Predictions, Predictions]]:
    """Return what was said of validation and test, by one model or by that of each fold."""
    models = [own.models[own.seeds.index(seed)] for own in arm.folds or (arm,)]
    return [(model.of("val"), model.of("test")) for model in models]


def _planes(folder: Path) -> dict[str, str]:
    """Return the plane of each image of the study's stores, as far as known."""
    planes: dict[str, str] = {}
    for file in sorted(folder.glob("store*/manifest.parquet")):
        try:
            manifest = read_frame(file)
        except (OSError, ValueError):  # predictions alone are enough for everything else
            continue
        if "plane" in manifest:  # older stores have no such column
            known = manifest.dropna(subset="plane")
            planes |= dict(zip(known["image_id"], known["plane"], strict=True))
    return planes


def _about(
    parts: Sequence[tuple[Predictions, Predictions]],
    planes: Mapping[str, str],
    settings: EvaluationSettings,
) -> dict[str, Any]:
    test = Predictions.joined([test for _, test in parts])
    draws = settings.draws
    if len(parts) == 1:
        calibrated = calibration(*parts[0], draws=draws)
        warm = [calibrated["temperature"]]
    else:
        calibrated = calibration_of_folds(parts, draws=draws)
        warm = calibrated["temperatures"]
    return {
        "calibration": calibrated,
        "conformal": conformal_of_folds(parts, temperatures=warm, draws=draws),
        "selective": risk_coverage(test),
        "factors": {
            name: result_rows(by_factor(test, values), {}, settings)[0]
            for name, values in factors(test.classes).items()
        },
        "planes": by_plane(test, planes, draws=draws),
    }


def _of_unlabelled(
    folder: Path, arm: Arm, seed: int, settings: EvaluationSettings
) -> dict[str, Any]:
    place = arm.seeds.index(seed)
    file = folder / arm.steps[place] / UNLABELLED
    if not file.is_file():
        return {}
    strange, test = Unlabelled.load(file), arm.models[place].of("test")
    return {
        "novelty": novelty(
            test.logits, strange.logits, test.groups, strange.groups, draws=settings.draws
        )
    }

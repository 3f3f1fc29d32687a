"""What the predictions of a study say together: no network is run, nothing is trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.data.families import Families, factors
from brainssl.data.shots import LabelFraction
from brainssl.data.subgroups import Cuts
from brainssl.evaluation.calibration import calibration_of_folds
from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.conformal import conformal_of_folds
from brainssl.evaluation.factors import by_factor, by_plane
from brainssl.evaluation.novelty import novelty
from brainssl.evaluation.optimism import beyond_chance, optimism
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json, result_rows
from brainssl.evaluation.selective import risk_coverage
from brainssl.evaluation.subgroups import by_subgroup
from brainssl.evaluation.unlabelled import UNLABELLED, Unlabelled
from brainssl.explanation.side_by_side import read_explanations
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.arms import HONEST, Arm, arms_of, ensembles_of
from brainssl.studies.grid import RANDOM_LABELS, UNTRAINED
from brainssl.studies.pooling import POOLED
from brainssl.studies.subgroups import cuts_by_protocol, known_images
from brainssl.studies.units import unit_rows
from brainssl.training.classical import FAMILIES

COMPARED = ("accuracy", "f1_macro")

Progress = Callable[[int, int], None]


def analyse(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    settings: EvaluationSettings,
    progress: Progress | None = None,
    families: Families | None = None,
    starts: Sequence[str] = (),
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
      the study's store knows it, `subgroups`: scores of those that columns of the store make, see
      `brainssl.evaluation.subgroups.by_subgroup`, and `novelty`: how well it tells test images from
      those without label.
    - `units`: rows of results at the largest label fraction, with a series as the unit, and for the
      tumour family or, where no sequence is known, the class a patient; where patients are known,
      see `brainssl.studies.units.unit_rows`.
    - `explanations`: where models look, see `brainssl.explanation.side_by_side.read_explanations`.

    Models whose predictions are not there are left out.

    Args:
        folder: of the study.
        rows: of its results, each with its `step`.
        settings: of the bootstrap.
        progress: called with (parts done, parts in all).
        families: what a table said of the classes, see `brainssl.data.families.pairs_of`.
        starts: as for `brainssl.studies.arms.arms_of`.
    """
    arms = arms_of(folder, rows, starts)
    trained = [arm for arm in arms if arm.method != RANDOM_LABELS]
    fullest = _with_most_labels(trained)
    networks = [arm for arm in fullest if arm.method not in FAMILIES]
    combined = ensembles_of(networks)
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
            families,
        ),
        "units": partial(unit_rows, folder, [*fullest, *combined], settings, families),
        "explanations": partial(read_explanations, folder, settings),
    }
    result = {}
    for done, (name, make) in enumerate(parts.items(), start=1):
        result[name] = make()
        if progress:
            progress(done, len(parts))
    return result


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
        if arm.method in FAMILIES and (
            cell not in best or arm.mean_validated > best[cell].mean_validated
        ):
            best[cell] = arm
    return [arm for arm in arms if arm.method not in FAMILIES or arm in best.values()]


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
        told |= {"start": arm.start} if arm.start else {}
        found.append(told | for_json(asdict(chance)))
    return found


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
    folder: Path, arms: Sequence[Arm], settings: EvaluationSettings, families: Families | None
) -> dict[str, dict[str, Any]]:
    images = known_images(folder)
    cuts = cuts_by_protocol(arms, images)
    return {
        step: _about(arm.parts(seed), images, cuts[arm.protocol], settings, families)
        | _of_unlabelled(folder, arm.folds[0] if arm.folds else arm, seed, settings)
        for arm in arms
        for seed, step in zip(arm.seeds, arm.steps, strict=True)
    }


def _planes(images: pd.DataFrame) -> dict[str, str]:
    """Return the plane of each image, as far as known."""
    if "plane" not in images:  # older stores have no such column
        return {}
    known = images.dropna(subset="plane")
    return dict(zip(known["image_id"], known["plane"], strict=True))


def _about(
    parts: Sequence[tuple[Predictions, Predictions]],
    images: pd.DataFrame,
    cuts: Cuts,
    settings: EvaluationSettings,
    families: Families | None,
) -> dict[str, Any]:
    test = Predictions.joined([test for _, test in parts])
    draws = settings.draws
    calibrated = calibration_of_folds(parts, draws=draws)
    warm = calibrated["temperatures"]
    return {
        "calibration": calibrated,
        "conformal": conformal_of_folds(parts, temperatures=warm, draws=draws),
        "selective": risk_coverage(test),
        "factors": {
            name: result_rows(by_factor(test, values), {}, settings)[0]
            for name, values in factors(test.classes, families).items()
        },
        "planes": by_plane(test, _planes(images), draws=draws),
        "subgroups": by_subgroup(test, images, cuts, draws=draws),
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

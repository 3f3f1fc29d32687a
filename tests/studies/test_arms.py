"""Arms of a study in folds: whole or left out, and each fold's own choice of an ensemble."""

from pathlib import Path
from typing import Any

import numpy as np

from brainssl.evaluation.predictions import Predictions
from brainssl.studies.arms import arms_of, ensembles_of

FOLDS = 2


def predictions(fold: int, seed: int) -> Predictions:
    rng = np.random.default_rng([fold, seed])
    labels = np.random.default_rng(fold).integers(2, size=12)
    ids = [f"{fold}-{n}" for n in range(12)]
    split = ["test"] * 8 + ["val"] * 4
    logits = rng.normal(size=(12, 2))
    return Predictions.build(ids, np.arange(12), split, labels, logits, ["a", "b"])


def study(folder: Path, scores: dict[str, tuple[float, float]], seeds: int = 1) -> list[dict]:
    """Rows of methods with these validation scores in the two folds, and their predictions."""
    rows: list[dict[str, Any]] = []
    for number, (method, validated) in enumerate(scores.items()):
        for seed in range(seeds):
            made = [predictions(fold, 10 * number + seed) for fold in range(FOLDS)]
            pooled = Predictions.joined([one.of("test") for one in made])
            for fold, model in (*enumerate(made, start=1), ("all", pooled)):
                step = f"steps/{method}-{fold}-s{seed}"
                (folder / step).mkdir(parents=True)
                model.save(folder / step / "predictions.parquet")
                place = {"protocol": "grouped", "label_fraction": 1.0, "seed": seed, "fold": fold}
                facts = {"method": method, "stage": "linear", **place, "step": step}
                score = validated[fold - 1] if isinstance(fold, int) else None
                rows.append(facts | {"split": "test", "metrics": {"f1_macro": 0.5}})
                if score is not None:  # as where a column is left out
                    rows.append(facts | {"split": "val", "metrics": {"f1_macro": score}})
    return rows


def test_validation_is_that_of_the_folds(tmp_path: Path) -> None:
    rows = study(tmp_path, {"simclr": (0.2, 0.4), "byol": (0.8, 0.6)})
    found = {arm.method: arm.mean_validated for arm in arms_of(tmp_path, rows)}
    assert found == {"simclr": 0.30000000000000004, "byol": 0.7}


def test_an_arm_that_lost_the_predictions_of_a_fold_is_left_out(tmp_path: Path) -> None:
    rows = study(tmp_path, {"simclr": (0.2, 0.4), "byol": (0.8, 0.6)})
    (tmp_path / "steps/byol-2-s0/predictions.parquet").unlink()
    assert [arm.method for arm in arms_of(tmp_path, rows)] == ["simclr"]


def test_a_seed_that_a_fold_lacks_is_left_out(tmp_path: Path) -> None:
    rows = study(tmp_path, {"simclr": (0.2, 0.4)}, seeds=2)
    (tmp_path / "steps/simclr-1-s0/predictions.parquet").unlink()
    [arm] = arms_of(tmp_path, rows)
    assert arm.seeds == (1,)
    assert len(arm.parts(1)) == FOLDS


def test_starts_are_told_though_all_steps_of_another_one_failed(tmp_path: Path) -> None:
    rows = [row | {"start": "random"} for row in study(tmp_path, {"simclr": (0.2, 0.4)})]
    assert [arm.start for arm in arms_of(tmp_path, rows, ["random", "lost"])] == ["random"]
    assert [arm.start for arm in arms_of(tmp_path, rows, ["random"])] == [""]


def test_each_fold_chooses_its_ensemble(tmp_path: Path) -> None:
    scores = {"a": (0.9, 0.1), "b": (0.8, 0.2), "c": (0.7, 0.7), "d": (0.1, 0.9), "e": (0.2, 0.8)}
    [pooled] = ensembles_of(arms_of(tmp_path, study(tmp_path, scores)))
    assert len(pooled.models[0].of("test")) == 16
    chosen = [{member["method"] for member in fold.members} for fold in pooled.folds]
    assert chosen == [{"a", "b", "c"}, {"c", "d", "e"}]
    assert {member["method"] for member in pooled.members} == set("abcde")

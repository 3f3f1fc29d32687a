"""The analysis of a study: each part is what the measuring functions say of its predictions."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainssl.evaluation.calibration import calibration
from brainssl.evaluation.metrics import evaluate
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.unlabelled import UNLABELLED, Unlabelled
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.analysis import analyse
from brainssl.studies.arms import MEMBERS
from brainssl.training.classical import FAMILIES

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Normal T2")
FEW = EvaluationSettings(draws=100)
N = {"train": 40, "val": 40, "test": 60}
# Share of images that each is right about.
SKILL = {
    ("untrained", "linear"): 0.3,
    ("simclr", "linear"): 0.5,
    ("simclr", "finetune"): 0.7,
    ("supervised", "supervised"): 0.6,
    ("random_labels", "linear"): 0.0,
}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Made-up predictions of two seeds under two protocols, at two label fractions."""
    folder, rows = tmp_path_factory.mktemp("study"), []
    for protocol in ("grouped", "image"):
        for fraction in (0.1, 1.0):
            for (method, stage), skill in SKILL.items():
                if method == "random_labels" and fraction < 1:
                    continue
                for seed in (0, 1):
                    better = 0.35 if protocol == "image" else 0.0
                    model = predictions(seed, protocol, min(1.0, skill * fraction**0.2 + better))
                    step = f"steps/{stage}-{method}-{protocol}-f{fraction:g}-s{seed}"
                    (folder / step).mkdir(parents=True)
                    model.save(folder / step / "predictions.parquet")
                    place = {"protocol": protocol, "label_fraction": fraction, "seed": seed}
                    for split in N:
                        part = model.of(split)
                        metrics = evaluate(part.labels, part.probabilities())
                        row = {"method": method, "stage": stage, **place, "split": split}
                        rows.append({**row, "metrics": metrics, "step": step})
    return folder, rows


def predictions(seed: int, protocol: str, skill: float) -> Predictions:
    """The images of a protocol are the same for all models."""
    images = np.random.default_rng(len(protocol))
    generator = np.random.default_rng([seed, round(1000 * skill)])
    n = sum(N.values())
    labels = images.integers(0, 4, n)
    said = np.where(generator.random(n) < skill, labels, generator.integers(0, 4, n))
    return Predictions.build(
        [f"{protocol}-{i}" for i in range(n)],
        np.arange(n) // 2,
        [split for split, count in N.items() for _ in range(count)],
        labels,
        np.eye(4)[said] * 2 + generator.normal(0, 0.1, (n, 4)),
        CLASSES,
    )


@pytest.fixture(scope="module")
def analysis(study: tuple[Path, list[dict[str, Any]]]) -> dict[str, Any]:
    folder, rows = study
    told: list[tuple[int, int]] = []
    found = analyse(folder, rows, FEW, lambda *progress: told.append(progress))
    assert told[-1] == (7, 7)
    json.dumps(found, allow_nan=False)
    return found


def accuracy(rows: list[dict[str, Any]], split: str = "test", **key: Any) -> float:
    own = [r for r in rows if r["split"] == split and key.items() <= r.items()]
    assert len(own) == 2
    return float(np.mean([row["metrics"]["accuracy"] for row in own]))


def test_every_pair_of_a_protocol_and_fraction_is_compared(
    study: tuple[Path, list[dict[str, Any]]], analysis: dict[str, Any]
) -> None:
    cells: dict[tuple[str, float, str], list[Any]] = {}
    for pair in analysis["comparisons"]:
        cells.setdefault((pair["protocol"], pair["label_fraction"], pair["metric"]), []).append(
            pair
        )
        if "ensemble" not in (pair["first"]["method"], pair["second"]["method"]):
            place = {"protocol": pair["protocol"], "label_fraction": pair["label_fraction"]}
            if pair["metric"] == "accuracy":
                first, second = (
                    accuracy(study[1], **place, **pair[side]) for side in ("first", "second")
                )
                assert pair["difference"] == pytest.approx(first - second)
    # Four arms, and with all labels the ensemble; never what learnt random labels.
    assert {key: len(pairs) for key, pairs in cells.items()} == {
        (protocol, fraction, metric): 10 if fraction == 1 else 6
        for protocol in ("grouped", "image")
        for fraction in (0.1, 1.0)
        for metric in ("accuracy", "f1_macro")
    }
    assert "random_labels" not in json.dumps(analysis["comparisons"])


def test_optimism_is_against_grouped_at_the_same_fraction(
    study: tuple[Path, list[dict[str, Any]]], analysis: dict[str, Any]
) -> None:
    assert len(analysis["optimism"]) == 4 * 2
    for gap in analysis["optimism"]:
        key = {name: gap[name] for name in ("method", "stage", "label_fraction")}
        assert gap["protocol"] == "image"
        assert gap["accuracy"] == pytest.approx(accuracy(study[1], protocol="image", **key))
        assert gap["honest"] == pytest.approx(accuracy(study[1], protocol="grouped", **key))


def test_random_labels_are_judged_for_each_protocol(analysis: dict[str, Any]) -> None:
    found = {control["protocol"]: control for control in analysis["random_labels"]}
    assert set(found) == {"grouped", "image"}
    assert found["grouped"]["seeds"] == 2
    assert not found["grouped"]["learnt"]
    assert found["image"]["learnt"]


def test_an_ensemble_is_chosen_on_validation_and_kept(
    study: tuple[Path, list[dict[str, Any]]], analysis: dict[str, Any]
) -> None:
    folder, rows = study
    tests = [r for r in analysis["ensembles"] if r["split"] == "test"]
    assert [(r["protocol"], r["seed"]) for r in tests] == [
        (protocol, seed) for protocol in ("grouped", "image") for seed in (0, 1)
    ]
    for row in tests:
        arms = [(m, s) for m, s in SKILL if m not in ("untrained", "random_labels")]
        assert len(arms) == MEMBERS
        assert {(m["method"], m["stage"]) for m in row["members"]} == set(arms)
        saved = Predictions.load(folder / row["step"] / "predictions.parquet").of("test")
        members = [
            Predictions.load(folder / r["step"] / "predictions.parquet").of("test")
            for r in rows
            if (r["method"], r["stage"]) in arms
            and (r["protocol"], r["seed"], r["label_fraction"], r["split"])
            == (row["protocol"], row["seed"], 1.0, "test")
        ]
        mean = np.mean([member.probabilities() for member in members], axis=0)
        assert saved.probabilities() == pytest.approx(mean, abs=1e-6)
        assert row["metrics"]["accuracy"] == (saved.predicted == saved.labels).mean()


def test_single_models_are_those_of_the_most_labels(
    study: tuple[Path, list[dict[str, Any]]], analysis: dict[str, Any]
) -> None:
    folder, rows = study
    expected = {
        row["step"]
        for row in rows
        if row["label_fraction"] == 1 and row["method"] not in ("untrained", "random_labels")
    }
    steps = {step for step in analysis["models"] if step.startswith("steps/")}
    assert steps == expected
    assert len(analysis["models"]) == len(expected) + 4
    step = sorted(expected)[0]
    model = Predictions.load(folder / step / "predictions.parquet")
    about = analysis["models"][step]
    assert about["calibration"] == calibration(model.of("val"), model.of("test"), draws=FEW.draws)
    assert set(about["factors"]) == {"family", "sequence"}
    assert about["factors"]["family"]["n"] == N["test"]
    assert "novelty" not in about


def test_of_classical_baselines_the_best_on_validation_is_compared(
    study: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    """And none of them is part of an ensemble, however good it is."""
    rows = [r for r in study[1] if r["protocol"] == "grouped" and r["label_fraction"] == 1]
    for family, skill in (("lda", 0.9), ("svm", 0.95), ("knn", 0.2)):
        for seed in (0, 1):
            model, step = predictions(seed, "grouped", skill), f"steps/{family}-{seed}"
            (tmp_path / step).mkdir(parents=True)
            model.save(tmp_path / step / "predictions.parquet")
            place = {"protocol": "grouped", "label_fraction": 1.0, "seed": seed, "step": step}
            for split in N:
                part = model.of(split)
                metrics = evaluate(part.labels, part.probabilities())
                # On validation, which chooses, LDA is ahead; on test it is the SVM.
                metrics["f1_macro"] += 0.2 * (split == "val" and family == "lda")
                row = {"method": family, "stage": "supervised", **place, "split": split}
                rows.append({**row, "metrics": metrics})
    for step in {row["step"] for row in rows} - {
        f"steps/{f}-{s}" for f in FAMILIES for s in (0, 1)
    }:
        shutil.copytree(study[0] / step, tmp_path / step)
    found = analyse(tmp_path, rows, FEW)
    compared = {p[side]["method"] for p in found["comparisons"] for side in ("first", "second")}
    assert compared == {"untrained", "simclr", "supervised", "lda", "ensemble"}
    members = {member["method"] for row in found["ensembles"] for member in row["members"]}
    assert members == {"simclr", "supervised"}
    assert not [step for step in found["models"] if step.startswith(("steps/lda", "steps/svm"))]


def test_planes_are_those_of_the_studys_store(
    study: tuple[Path, list[dict[str, Any]]], analysis: dict[str, Any], tmp_path: Path
) -> None:
    step = "steps/finetune-simclr-grouped-f1-s1"
    assert analysis["models"][step]["planes"] == {}
    shutil.copytree(study[0], tmp_path / "study")
    rows = [row for row in study[1] if row["step"] == step]
    test = Predictions.load(study[0] / step / "predictions.parquet").of("test")
    manifest = pd.DataFrame({"image_id": test.frame["image_id"]})
    for name, planes in (("store", ["axial", None] * 30), ("store-paper", None)):
        (tmp_path / "study" / name).mkdir()
        # The second one is of a version that kept no planes.
        kept = manifest if planes is None else manifest.assign(plane=planes)
        kept.to_parquet(tmp_path / "study" / name / "manifest.parquet")
    (told,) = analyse(tmp_path / "study", rows, FEW)["models"].values()
    right = (test.predicted == test.labels)[::2]
    assert told["planes"]["axial"]["n"] == 30
    assert told["planes"]["axial"]["accuracy"] == right.mean()
    low, high = told["planes"]["axial"]["interval"]
    assert low < right.mean() < high


def test_what_is_missing_is_left_out(
    study: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    shutil.copytree(study[0], tmp_path / "study")
    rows = [row for row in study[1] if row["protocol"] == "grouped" and row["label_fraction"] == 1]
    lost = "steps/linear-simclr-grouped-f1-s1"
    (tmp_path / "study" / lost / "predictions.parquet").write_bytes(b"nonsense")
    strange = Unlabelled(("x", "y"), np.array([0, 1]), np.zeros((2, 4), np.float32), CLASSES)
    kept = tmp_path / "study" / "steps/linear-simclr-grouped-f1-s0"
    strange.save(kept / UNLABELLED)
    found = analyse(tmp_path / "study", rows, FEW)
    assert lost not in found["models"]
    assert found["optimism"] == []
    assert found["models"]["steps/linear-simclr-grouped-f1-s0"]["novelty"]["novel"] == 2
    # Seeds that all members have.
    assert {row["seed"] for row in found["ensembles"]} == {0}
    assert analyse(tmp_path / "nowhere", rows, FEW)["comparisons"] == []

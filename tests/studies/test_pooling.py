"""Pooled folds: the predictions of each fold's own model, of all images once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.small_plan import FAST
from safetensors.torch import load_file

from brainssl.data.dataset import Data
from brainssl.data.folds import make_folds
from brainssl.data.store import ImageStore
from brainssl.evaluation.predictions import Predictions
from brainssl.models.encoder import load_encoder
from brainssl.settings import load_settings
from brainssl.settings.sections import EvaluationSettings
from brainssl.studies.pooling import POOLED, is_pooled_or_single, pool, pooled_rows
from brainssl.training.pretrain import pretrain
from brainssl.training.stages import finetune_stage

FEW = EvaluationSettings(draws=50)


def fold(number: int, folds: int = 3) -> Predictions:
    """Predictions of ten test images and five of validation that are no other fold's."""
    rng = np.random.default_rng(number)
    ids = [f"test {number}-{n}" for n in range(10)] + [f"val {number}-{n}" for n in range(5)]
    return Predictions.build(
        ids,
        np.arange(15) + 100 * number,
        ["test"] * 10 + ["val"] * 5,
        rng.integers(2, size=15),
        rng.normal(size=(15, 2)),
        ["a", "b"],
    )


def rows_of(folder: Path, folds: int, method: str = "simclr") -> list[dict]:
    rows = []
    for number in range(1, folds + 1):
        step = f"steps/{method}-{number}"
        (folder / step).mkdir(parents=True)
        fold(number).save(folder / step / "predictions.parquet")
        facts = {"method": method, "stage": "linear", "protocol": "grouped", "seed": 0}
        facts |= {"label_fraction": 1.0, "fold": number, "seconds": 2.0, "step": step}
        facts |= {"label_share": number / 10}
        rows += [facts | {"split": split} for split in ("val", "test")]
    return rows


def test_a_pooled_row_is_that_of_all_images(tmp_path: Path) -> None:
    found = pooled_rows(tmp_path, rows_of(tmp_path, 3), 3, FEW)
    assert [(row["split"], row["n"], row["fold"]) for row in found] == [
        ("val", 15, POOLED),
        ("test", 30, POOLED),
    ]
    parts = [fold(number).of("test") for number in (1, 2, 3)]
    right = np.concatenate([part.predicted == part.labels for part in parts])
    assert found[1]["metrics"]["accuracy"] == pytest.approx(right.mean())
    assert found[1]["seconds"] == 6.0
    assert found[1]["label_share"] == pytest.approx(0.2)
    kept = Predictions.load(tmp_path / found[1]["step"] / "predictions.parquet")
    assert sorted(kept.of("test").frame["image_id"]) == sorted(
        one for part in parts for one in part.frame["image_id"]
    )


def test_a_cell_that_lacks_a_fold_and_random_labels_are_not_pooled(tmp_path: Path) -> None:
    assert pooled_rows(tmp_path, rows_of(tmp_path, 2), 3, FEW) == []
    assert pooled_rows(tmp_path, rows_of(tmp_path, 3, "random_labels"), 3, FEW) == []


def test_rows_of_one_fold_are_told_from_the_others() -> None:
    assert is_pooled_or_single({"fold": POOLED})
    assert is_pooled_or_single({"fold": None})
    assert is_pooled_or_single({})
    assert not is_pooled_or_single({"fold": 1})


def test_validation_that_repeats_is_left_out() -> None:
    """Where a column is left out, an image may validate for several values."""
    one, other = fold(1), fold(2)
    repeated = Predictions.joined([other.of("test"), one.of("val")])
    assert len(pool([one, other]).of("val")) == 10
    assert len(pool([one, repeated]).of("val")) == 0
    assert len(pool([one, repeated]).of("test")) == 20


def test_nothing_of_a_test_fold_reaches_the_model_that_judges_it(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """Other pixels and labels in the test groups, unlabelled images included: the same weights."""
    settings, _ = load_settings("quick", FAST)
    split = make_folds(shared_store.manifest, folds=4)[1]
    group = shared_store.manifest["group"]
    held = group.isin(group[shared_store.manifest["image_id"].isin(split.test)]).to_numpy()
    assert (held & shared_store.manifest["label"].isna().to_numpy()).any(), "a leak is planted"
    made = []
    for name in ("as it is", "other"):
        images, manifest = shared_store.images.copy(), shared_store.manifest.copy()
        if name == "other":
            images[held] = 255 - images[held]
            own = manifest["label"][held & manifest["label"].notna()]
            manifest.loc[own.index, "label"] = np.roll(own, 1)
        store = ImageStore(
            shared_store.path, images, manifest, shared_store.classes, shared_store.facts
        )
        folder = tmp_path / name
        pretrain(store, split, folder / "p", method="simclr", settings=settings, seed=0)
        finetune_stage(
            Data(store, split),
            load_encoder(folder / "p"),
            folder / "f",
            facts={"method": "simclr", "stage": "finetune"},
            settings=settings,
        )
        made.append(
            (
                load_file(folder / "p" / "encoder.safetensors"),
                load_file(folder / "f" / "classifier.safetensors"),
                Predictions.load(folder / "f" / "predictions.parquet"),
            )
        )
    (encoder, classifier, said), (again, classifier_again, said_again) = made
    for weights, others in ((encoder, again), (classifier, classifier_again)):
        assert weights.keys() == others.keys()
        assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert (said.of("val").logits == said_again.of("val").logits).all()
    assert (said.of("test").logits != said_again.of("test").logits).any()

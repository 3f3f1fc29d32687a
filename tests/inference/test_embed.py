"""Features with ids: what the encoder gives, in the manifest's order, readable by anything."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import nn

from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.inference.embed import embed
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder, build_encoder


@pytest.fixture
def encoder() -> Encoder:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    encoder.facts = {"method": "simclr", "split_digest": "abc"}
    return encoder.eval()


def test_features_are_those_of_the_encoder_in_the_order_of_the_manifest(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    told = []
    embed(shared_store, encoder, tmp_path / "f.parquet", progress=lambda *n: told.append(n))
    frame = pd.read_parquet(tmp_path / "f.parquet")
    assert list(frame.columns) == ["image_id", "path", "label", "group", "features"]
    expected = shared_store.manifest[["image_id", "path", "label", "group"]]
    pd.testing.assert_frame_equal(frame.drop(columns="features"), expected, check_dtype=False)
    assert frame["label"].isna().sum() == 6
    images = torch.from_numpy(shared_store.images[:, None] / np.float32(255))
    with torch.inference_mode():
        features = encoder.network((images - 0.449) / 0.226).numpy()
    assert np.ptp(features, axis=0).max() > 0.01
    found = np.stack(frame["features"].to_list())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, features, atol=1e-5)
    assert told[-1] == (60, 60)


def test_features_are_normalised_as_the_weights_want_it(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    other = build_encoder("test_resnet", image_size=32, mean=0.5, std=0.25, seed=0).eval()
    told = embed(shared_store, other, tmp_path / "f.parquet")
    assert (told["mean"], told["std"]) == (0.5, 0.25)
    images = torch.from_numpy(shared_store.images[:, None] / np.float32(255))
    with torch.inference_mode():
        expected = other.network((images - 0.5) / 0.25).numpy()
    found = np.stack(pd.read_parquet(tmp_path / "f.parquet")["features"].to_list())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_images_read_by_another_version_are_refused(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    newer = replace(shared_store, facts=shared_store.facts | {"reader": 2})
    with pytest.raises(BrainsslError, match="prepare a store with --reader 1"):
        embed(newer, encoder, tmp_path / "f.parquet")
    encoder.facts["reader"] = 2
    embed(newer, encoder, tmp_path / "f.parquet")
    encoder.facts = {}  # never pretrained
    embed(shared_store, encoder, tmp_path / "g.parquet")


def test_the_file_says_whence_it_comes(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    described = embed(shared_store, encoder, tmp_path / "f.parquet")
    schema = pq.read_schema(tmp_path / "f.parquet")
    assert schema.field("features").type == pa.list_(pa.float32(), encoder.dim)
    told = json.loads(schema.metadata[b"brainssl.features"])
    assert told == described
    assert told["store"] == shared_store.checksum
    assert told["facts"] == encoder.facts
    assert (told["encoder"], told["image_size"]) == ("test_resnet", 32)
    assert (told["mean"], told["std"]) == (0.449, 0.226)
    assert (told["dim"], told["images"]) == (encoder.dim, 60)


def test_of_a_classifier_its_encoder_is_meant(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    head = nn.Linear(encoder.dim, 2)
    classifier = Classifier(encoder, head, ("a", "b"), {"stage": "finetune"}).eval()
    embed(shared_store, encoder, tmp_path / "encoder.parquet")
    assert embed(shared_store, classifier, tmp_path / "c.parquet")["facts"]["stage"] == "finetune"
    alone, within = (
        pq.read_table(tmp_path / name)["features"] for name in ("encoder.parquet", "c.parquet")
    )
    assert alone.equals(within)


def test_images_of_another_size_are_refused(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    other = build_encoder("test_resnet", image_size=48, seed=0)
    with pytest.raises(BrainsslError, match="--size 48"):
        embed(shared_store, other, tmp_path / "f.parquet")


def test_a_file_that_is_there_is_not_overwritten(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    (tmp_path / "f.parquet").write_text("mine")
    with pytest.raises(BrainsslError, match="exists already"):
        embed(shared_store, encoder, tmp_path / "f.parquet")
    assert (tmp_path / "f.parquet").read_text() == "mine"


def test_features_that_are_not_finite_are_not_written(
    shared_store: ImageStore, encoder: Encoder, tmp_path: Path
) -> None:
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    few = replace(shared_store, images=shared_store.images[:4], manifest=shared_store.manifest[:4])
    with pytest.raises(BrainsslError, match="diverged"):
        embed(few, encoder, tmp_path / "f.parquet")
    assert list(tmp_path.iterdir()) == []

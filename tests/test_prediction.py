"""Prediction: the pixels of training, and a clear word about files that cannot be read."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from brainssl.classifier import Classifier
from brainssl.data.scan import scan
from brainssl.data.store import prepare
from brainssl.encoders import build_encoder
from brainssl.prediction import predict_files


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    folder = tmp_path / "classifier"
    Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {"seed": 0}).save(
        folder / "classifier.safetensors"
    )
    return folder


def test_a_file_is_seen_as_the_store_saw_it(
    image_folder: Path, saved: Path, tmp_path: Path
) -> None:
    """One reader for training and serving: the same pixels, so the same logits."""
    found = scan(image_folder)
    store = prepare(found, tmp_path / "store", size=32)
    files = [found.root / path for path in store.manifest["path"]]
    logits = Classifier.load(saved).logits(store.images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = predict_files(saved, files)["predictions"]
    got = np.array([[row["probabilities"][name] for name in ("a", "b")] for row in rows])
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert [row["label"] for row in rows] == ["ab"[i] for i in expected.argmax(axis=1)]


def test_an_unreadable_file_is_listed_and_the_others_go_on(saved: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(np.full((20, 30), 128, np.uint8)).save(good)
    bad.write_bytes(good.read_bytes()[:40])
    rows = predict_files(saved, [bad, good])["predictions"]
    assert "bad.png" in rows[0]["error"]
    assert "label" not in rows[0]
    assert rows[1]["probability"] == max(rows[1]["probabilities"].values())
    assert sum(rows[1]["probabilities"].values()) == pytest.approx(1)

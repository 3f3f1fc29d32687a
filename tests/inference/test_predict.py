"""Prediction: the pixels of training, and a clear word about files that cannot be read."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import brainssl
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan
from brainssl.explanation.cam import MAPS
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.spreadsheet import csv_of
from brainssl.inference.predict import predict_files
from brainssl.inference.saliency import saliency_map
from brainssl.inference.tables import predictions_table
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.serving.decoder import Wanted, answered
from brainssl.serving.limits import Limits
from brainssl.serving.messages import Asked, packed_question, unpacked_answer


def made(folder: Path, **facts: int) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {"seed": 0, **facts}).save(
        folder / "classifier.safetensors"
    )
    return folder


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return made(tmp_path / "classifier", reader=2)


@pytest.mark.parametrize("facts", [{}, {"reader": 1}, {"reader": 2, "bits": 16}])
def test_a_file_is_seen_as_the_store_saw_it(
    image_folder: Path, facts: dict[str, int], tmp_path: Path
) -> None:
    """One reader for training and serving: the same pixels, so the same logits."""
    saved = made(tmp_path / "classifier", **facts)
    found = scan(image_folder, reader=facts.get("reader", 1))
    store = prepare(found, tmp_path / "store", size=32, bits=facts.get("bits", 8))
    files = [found.root / path for path in store.manifest["path"]]
    logits = Classifier.load(saved).logits(store.images).astype(np.float64)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    rows = predict_files(saved, files)["predictions"]
    got = np.array([[row["probabilities"][name] for name in ("a", "b")] for row in rows])
    np.testing.assert_allclose(got, expected, atol=1e-6)
    assert [row["label"] for row in rows] == ["ab"[i] for i in expected.argmax(axis=1)]
    shown = saliency_map(saved, files[3])
    np.testing.assert_array_equal(shown.image, store.images[3], strict=True)
    assert shown.overlay().dtype == np.uint8
    wanted = Wanted(facts.get("reader", 1), 32, Limits(), bits=facts.get("bits", 8))
    said = answered(packed_question(Asked("", 1, files[3].read_bytes())), wanted)
    (served,) = unpacked_answer(said, wanted.size, wanted.bits, 1).slices
    np.testing.assert_array_equal(served.image, store.images[3], strict=True)


def test_an_unreadable_file_is_listed_and_the_others_go_on(saved: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(np.full((20, 30), 128, np.uint8)).save(good)
    bad.write_bytes(good.read_bytes()[:40])
    rows = predict_files(saved, [bad, good])["predictions"]
    assert "bad.png" in rows[0]["error"]
    assert "label" not in rows[0]
    assert rows[1]["probability"] == max(rows[1]["probabilities"].values())
    assert sum(rows[1]["probabilities"].values()) == pytest.approx(1)


def test_a_table_of_predictions_holds_what_was_answered(saved: Path, tmp_path: Path) -> None:
    good, bad = tmp_path / "=1+1.png", tmp_path / "bad.png"
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(good)
    bad.write_bytes(b"no picture")
    answer = brainssl.predict(saved, [good, bad], out=tmp_path / "said.csv")
    answer = dict(answer)
    table = pd.read_csv(tmp_path / "said.csv")
    first, second = answer["predictions"]
    assert table["file"].tolist() == [str(good), str(bad)]
    assert table["label"][0] == first["label"]
    for name in ("a", "b"):
        assert table[f"probability:{name}"][0] == pytest.approx(first["probabilities"][name])
    assert table["error"][1] == second["error"]
    assert table.drop(columns=["file", "error", "flags"]).loc[1].isna().all()
    answer["predictions"] = [first | {"file": "=1+1.png"}]
    assert csv_of(predictions_table(answer)).splitlines()[1].startswith("'=1+1.png,")


@pytest.fixture
def slice_file(tmp_path: Path) -> Path:
    file = tmp_path / "slice.png"
    generator = np.random.default_rng(0)
    Image.fromarray(generator.integers(0, 256, (40, 30), dtype=np.uint8)).save(file)
    return file


def test_a_map_comes_with_the_prediction_of_the_file(saved: Path, slice_file: Path) -> None:
    said = predict_files(saved, [slice_file])["predictions"][0]
    mapped = saliency_map(saved, str(slice_file))
    assert mapped.label == said["label"]
    assert mapped.probabilities == pytest.approx(said["probabilities"], abs=1e-6)
    assert mapped.probability == mapped.probabilities[mapped.label]
    assert mapped.image.shape == mapped.saliency.shape == (32, 32)
    assert (mapped.image[:, :4] == 0).all()  # the letterbox
    assert mapped.saliency.dtype == np.float32
    assert mapped.saliency.min() >= 0
    assert mapped.overlay().shape == (32, 32, 3)
    shown = Image.open(io.BytesIO(mapped._repr_png_()))
    assert shown.width > 2 * shown.height


@pytest.mark.parametrize("kind", sorted(set(MAPS) - {"rollout"}))
def test_a_map_is_made_of_the_evidence_for_its_class(
    kind: str, saved: Path, slice_file: Path
) -> None:
    """Under average pooling and a linear head Grad-CAM is the head's weights times the features."""
    classifier = Classifier.load(saved)
    for place, label in enumerate(classifier.classes):
        mapped = saliency_map(classifier, slice_file, kind=kind, label=label)
        assert mapped.label == label
        batch = torch.from_numpy(mapped.image[None, None]) / 255
        with torch.no_grad():
            values = classifier.encoder.last_map(batch)[0]
        if kind == "gradcam":
            weights = classifier.head.weight[place].detach() / values[0].numel()
            raw = torch.einsum("c,chw->hw", weights, values).relu()
            assert mapped.peak == pytest.approx(float(raw.max()), rel=1e-4)
        if mapped.peak == 0:
            assert (mapped.saliency == 0).all()
            np.testing.assert_array_equal(mapped.overlay()[..., 0], mapped.image)


def test_a_map_refuses_what_there_is_not(saved: Path, slice_file: Path, tmp_path: Path) -> None:
    with pytest.raises(BadUseError, match="'scorecam' is none of gradcam"):
        saliency_map(saved, slice_file, kind="scorecam")
    with pytest.raises(BadUseError, match="'c' is none of a, b"):
        saliency_map(saved, slice_file, label="c")
    with pytest.raises(BrainsslError, match=r"gone\.png"):
        saliency_map(saved, tmp_path / "gone.png")


def test_a_file_of_answers_is_of_a_kind_that_is_known(
    saved: Path, slice_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadUseError, match=r"said.xlsx: end its name in .json, .jsonl, .csv"):
        brainssl.predict(saved, slice_file, out=tmp_path / "said.xlsx")
    assert not (tmp_path / "said.xlsx").exists()

"""ONNX: another runtime gives the same numbers, for any batch, and the file says what it is."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
from oracles.some_often import some_often
from torch import nn

from brainssl import __version__
from brainssl.foundation.errors import BrainsslError
from brainssl.inference import export as exporting
from brainssl.inference.export import export_onnx
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder, build_encoder

CLASSES = ("Glioma T1", "Läsion T2", "Normal T1")


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    """Trained a little, so that the running statistics of its normalisation are not 0 and 1."""
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    encoder.train()
    encoder(torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    encoder.facts = {"method": "simclr", "seed": 0}
    return encoder.eval()


@pytest.fixture(scope="module")
def classifier(encoder: Encoder) -> Classifier:
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, 3)
    nn.init.normal_(head.weight, std=10)
    return Classifier(encoder, head, CLASSES, {"stage": "finetune"}).eval()


@pytest.fixture(scope="module")
def in_training(encoder: Encoder) -> Encoder:
    """The same, in the mode and the memory layout that training leaves it in."""
    copied = copy.deepcopy(encoder)
    copied.to(memory_format=torch.channels_last)
    return copied.train()


@pytest.fixture(scope="module")
def encoder_file(in_training: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "encoder.onnx"
    assert export_onnx(in_training, file)["difference"] <= 1e-4
    return file


@pytest.fixture(scope="module")
def classifier_file(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("onnx") / "classifier.onnx"
    export_onnx(classifier, file)
    return file


def answers(file: Path, images: torch.Tensor) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, {"images": images.numpy()}), strict=True))


@pytest.mark.parametrize("n", [1, 3])
def test_an_encoder_gives_the_same_features(encoder: Encoder, encoder_file: Path, n: int) -> None:
    images = torch.rand(n, 1, 32, 32, generator=torch.Generator().manual_seed(n))
    found = answers(encoder_file, images)
    with torch.inference_mode():
        # By hand: the file takes images in [0, 1] and normalises them itself.
        expected = encoder.network((images - 0.449) / 0.226)
    assert list(found) == ["features"]
    assert float(expected.abs().max()) > 0.1
    np.testing.assert_allclose(found["features"], expected.numpy(), atol=1e-4)


@pytest.mark.parametrize("n", [1, 3])
def test_a_classifier_gives_the_same_logits_and_their_softmax(
    classifier: Classifier, classifier_file: Path, n: int
) -> None:
    pixels = np.random.default_rng(n).integers(0, 256, (n, 32, 32), dtype=np.uint8)
    found = answers(classifier_file, torch.from_numpy(pixels[:, None] / 255).float())
    expected = classifier.logits(pixels)
    assert list(found) == ["logits", "probabilities"]
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(found["logits"], expected, atol=1e-4)
    odds = np.exp(expected.astype(np.float64))
    np.testing.assert_allclose(
        found["probabilities"], odds / odds.sum(axis=1, keepdims=True), atol=1e-5
    )


def test_a_file_predicts_over_the_views_that_its_classifier_does(
    classifier: Classifier, tmp_path: Path
) -> None:
    own = copy.deepcopy(classifier)
    own.facts["test_views"] = 3
    export_onnx(own, tmp_path / "views.onnx")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    found = answers(tmp_path / "views.onnx", torch.from_numpy(pixels[:, None] / 255).float())
    np.testing.assert_allclose(found["logits"], own.logits(pixels), atol=1e-4)
    assert np.abs(found["logits"] - classifier.logits(pixels)).max() > 1e-2


def test_the_normalisation_is_that_of_the_weights(tmp_path: Path) -> None:
    other = build_encoder("test_resnet", image_size=32, mean=0.5, std=0.25, seed=0).eval()
    file, images = tmp_path / "other.onnx", torch.rand(2, 1, 32, 32)
    told = export_onnx(other, file)
    with torch.inference_mode():
        expected = other.network((images - 0.5) / 0.25)
    np.testing.assert_allclose(answers(file, images)["features"], expected.numpy(), atol=1e-4)
    assert (told["mean"], told["std"]) == (0.5, 0.25)


def test_the_file_says_what_it_is(encoder_file: Path, classifier_file: Path) -> None:
    def told(file: Path) -> dict[str, Any]:
        return {entry.key: entry.value for entry in onnx.load(file).metadata_props}

    assert told(classifier_file) == {
        "format": "brainssl-onnx",
        "version": "1",
        "brainssl": __version__,
        "kind": "classifier",
        "name": "test_resnet",
        "image_size": "32",
        "mean": "0.449",
        "std": "0.226",
        "classes": json.dumps(list(CLASSES), ensure_ascii=False),
        "facts": '{"stage": "finetune"}',
    }
    of_encoder = told(encoder_file)
    assert of_encoder["kind"] == "encoder"
    assert json.loads(of_encoder["facts"]) == {"method": "simclr", "seed": 0}
    assert "classes" not in of_encoder


def test_only_the_batch_is_free(classifier_file: Path) -> None:
    (images,) = onnxruntime.InferenceSession(classifier_file).get_inputs()
    assert (images.name, images.type) == ("images", "tensor(float)")
    assert images.shape == ["n", 1, 32, 32]


def test_no_path_of_this_machine_is_told(encoder_file: Path) -> None:
    content = encoder_file.read_bytes()
    assert b".py" not in content
    assert str(Path(exporting.__file__).parent).encode() not in content


def test_the_model_stays_as_it_is(
    encoder: Encoder, in_training: Encoder, encoder_file: Path
) -> None:
    assert encoder_file.is_file()
    assert in_training.training
    before, after = encoder.state_dict(), in_training.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_file_that_is_there_is_not_overwritten(encoder: Encoder, tmp_path: Path) -> None:
    file = tmp_path / "out.onnx"
    file.write_text("mine")
    with pytest.raises(BrainsslError, match="exists already"):
        export_onnx(encoder, file)
    assert file.read_text() == "mine"


class Unlike(nn.Module):
    """Answers otherwise when it is traced than when it runs: a fault as an exporter makes it."""

    image_size, name, dim = 32, "unlike", 1
    mean, std = 0.0, 1.0

    def __init__(self, wrong: float) -> None:
        super().__init__()
        self.wrong, self.facts = wrong, {}

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = images.mean(dim=(2, 3))
        return features + self.wrong if torch.compiler.is_exporting() else features


@pytest.mark.parametrize("wrong", [0.001, float("nan")])
def test_a_file_with_other_answers_is_not_made(tmp_path: Path, wrong: float) -> None:
    with pytest.raises(BrainsslError, match="differ from PyTorch's"):
        export_onnx(Unlike(wrong), tmp_path / "wrong.onnx")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


class Undecided(Unlike):
    """Its graph would depend on the values of the images."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(2, 3)) * (2 if images.sum() > 1 else 1)


def test_an_architecture_that_cannot_be_exported_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="cannot export unlike") as caught:
        export_onnx(Undecided(0.0), tmp_path / "out.onnx")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", some_often(["test_vit", "vit_small_patch16_dinov3"], ["test_vit"]))
def test_a_transformer_gives_the_same_logits(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda *own, **more: made(*own, **more, depth=1))
    torch.manual_seed(0)
    encoder = build_encoder(name, image_size=32, pool="avg", seed=0)
    model = Classifier(encoder, nn.Linear(encoder.dim, 3), CLASSES, {}).eval()
    assert export_onnx(model, tmp_path / "out.onnx")["difference"] <= 1e-4
    images = torch.rand(3, 1, 32, 32)
    with torch.inference_mode():
        expected = model(images).numpy()
    found = answers(tmp_path / "out.onnx", images)["logits"]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_probabilities_at_the_temperature_are_a_third_output(
    classifier: Classifier, tmp_path: Path
) -> None:
    known = copy.deepcopy(classifier)
    known.limits = {"temperature": 2.5, "sets": {}}
    told = export_onnx(known, tmp_path / "known.onnx")
    assert told["outputs"] == ["logits", "probabilities", "calibrated"]
    found = answers(tmp_path / "known.onnx", torch.rand(4, 1, 32, 32))
    wide = found["logits"].astype(np.float64) / 2.5
    expected = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found["calibrated"], expected, atol=1e-4)
    metadata = onnxruntime.InferenceSession(tmp_path / "known.onnx").get_modelmeta()
    assert json.loads(metadata.custom_metadata_map["limits"])["temperature"] == 2.5

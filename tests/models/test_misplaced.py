"""What was exported, or is of another kind, is told apart where a model of ours is wanted."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from brainssl.foundation.errors import BrainsslError
from brainssl.inference.export import export_onnx
from brainssl.inference.hub import export_hub
from brainssl.inference.monai_bundle import export_monai
from brainssl.models.classifier import Classifier, load_model
from brainssl.models.encoder import build_encoder, load_encoder, save_encoder
from brainssl.models.misplaced import bundle_of
from brainssl.models.sources import find_source

NAME = "test_resnet"
START = "set encoder.weights to it"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier and its encoder, and everything that is exported of it."""
    folder = tmp_path_factory.mktemp("made")
    encoder = build_encoder(NAME, image_size=32, seed=0)
    classifier = Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {"stage": "finetune"})
    classifier.eval().save(folder / "tuned" / "classifier.safetensors")
    save_encoder(encoder, folder / "pretrained" / "encoder.safetensors")
    export_onnx(classifier, folder / "model.onnx")
    export_hub(classifier, folder / "hub", card="# A card\n")
    export_monai(classifier, folder / "bundle", card="# A card\n", about={})
    torch.save({"a": torch.ones(1)}, folder / "other.pth")
    return folder


def told(ask: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(BrainsslError) as raised:
        ask(path)
    text = str(raised.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ("model.onnx", "is a model for ONNX Runtime: give "),
        ("hub", "is a folder in the layout of timm's hub: give "),
        ("hub/model.safetensors", "holds weights that brainssl did not write: give "),
        ("bundle", "is a bundle for MONAI: give "),
        ("bundle/models/model.pt", "is of a bundle for MONAI, "),
        ("other.pth", "holds weights that brainssl did not write: give "),
    ],
)
def test_exports_are_told_by_what_they_are(given: str, what: str, made: Path) -> None:
    classifier = told(Classifier.load, made / given)
    encoder, either = told(load_encoder, made / given), told(load_model, made / given)
    for text in (classifier, encoder, either):
        assert what in text
        # Of what training may begin with: the files of the hub, and those of others.
        assert (START in text) == (given not in ("model.onnx", "bundle", "bundle/models/model.pt"))
    assert "classifier.safetensors" in classifier
    assert "encoder.safetensors" not in classifier
    assert "encoder.safetensors" in encoder
    assert "classifier.safetensors" not in encoder
    assert "encoder.safetensors" in either
    assert "classifier.safetensors" in either


@pytest.mark.parametrize("within", ["", "classifier.safetensors"])
def test_a_classifier_is_no_encoder_and_an_encoder_no_classifier(within: str, made: Path) -> None:
    assert "is a classifier: give the folder" in told(load_encoder, made / "tuned" / within)
    own = made / "pretrained" / within.replace("classifier", "encoder")
    assert "is an encoder, which knows no classes" in told(Classifier.load, own)
    load_model(made / "tuned" / within)
    load_model(own)


@pytest.mark.parametrize("given", ["model.onnx", "bundle"])
def test_a_training_begins_with_no_graph_and_no_bundle(given: str, made: Path) -> None:
    text = told(lambda path: find_source(str(path), NAME), made / given)
    assert text.startswith("encoder.weights: ")
    assert "classifier.safetensors or encoder.safetensors that it was made from" in text
    assert find_source(str(made / "hub"), NAME).title == "hub"


def test_a_bundle_is_known_from_within(made: Path) -> None:
    for inner in ("", "models", "models/model.pt", "configs/inference.json"):
        assert bundle_of(made / "bundle" / inner) == made / "bundle"
    assert bundle_of(made / "hub" / "model.safetensors") is None

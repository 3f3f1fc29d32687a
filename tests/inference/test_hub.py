"""A folder in timm's layout: timm opens it and answers as the model does."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from torch import nn

from brainssl.data.store import letterbox
from brainssl.foundation.errors import BrainsslError
from brainssl.inference.hub import export_hub
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.models.tokens import Pool

CLASSES = ("Glioma T1", "Läsion T2", "Normal T1")


def trained(name: str = "test_resnet", pool: Pool = "auto") -> Encoder:
    """Make an encoder whose running statistics are not 0 and 1."""
    encoder = build_encoder(name, image_size=32, pool=pool, seed=0)
    encoder.mean, encoder.std = 0.4, 0.3
    encoder.train()
    encoder(torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    return encoder.eval()


def classifier(name: str = "test_resnet", pool: Pool = "auto") -> Classifier:
    torch.manual_seed(0)
    encoder = trained(name, pool)
    return Classifier(encoder, nn.Linear(encoder.dim, 3), CLASSES, {"stage": "finetune"}).eval()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub") / "model"
    export_hub(classifier(), folder, card="# A card\n")
    return folder


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        ("test_resnet", "auto"),
        ("test_convnext", "auto"),
        ("resnetv2_18", "auto"),
        ("test_efficientnet", "auto"),
        ("test_vit", "auto"),
        ("test_vit", "avg"),
        ("test_vit4", "avg"),
        ("vit_small_patch16_dinov3", "token"),
    ],
)
def test_timm_gives_the_same_logits(name: str, pool: Pool, tmp_path: Path) -> None:
    model = classifier(name, pool)
    export_hub(model, tmp_path / "hub", card="")
    network = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    config = resolve_model_data_config(network)
    assert config["input_size"] == (1, 32, 32)
    (mean,), (deviation,) = config["mean"], config["std"]
    with torch.inference_mode():
        expected, found = model(images), network((images - mean) / deviation)
    assert np.ptp(expected.numpy()) > 0.01
    np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=1e-5)


def test_an_encoder_goes_out_without_classes(tmp_path: Path) -> None:
    encoder = trained()
    export_hub(encoder, tmp_path / "hub", card="")
    network = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()
    images = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = network((images - 0.4) / 0.3)
        np.testing.assert_allclose(found.numpy(), encoder(images).numpy(), atol=1e-5)
    assert "label_names" not in json.loads((tmp_path / "hub" / "config.json").read_text())


def test_the_folder_says_what_its_classes_are_and_how_to_normalise(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    assert config["label_names"] == list(CLASSES)
    assert config["model_args"] == {"in_chans": 1}
    assert (config["pretrained_cfg"]["mean"], config["pretrained_cfg"]["std"]) == ([0.4], [0.3])
    assert (folder / "README.md").read_text() == "# A card\n"
    network = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert network.num_classes == 3
    assert network.pretrained_cfg["label_names"] == list(CLASSES)


def test_a_network_that_does_not_answer_as_its_classifier_says_so(tmp_path: Path) -> None:
    model = classifier()
    model.facts["test_views"] = 4
    export_hub(model, tmp_path / "hub", card="")
    network = timm.create_model(f"local-dir:{tmp_path / 'hub'}", pretrained=True).eval()
    images = torch.rand(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        found = network((images - 0.4) / 0.3)
        np.testing.assert_allclose(found.numpy(), model(images).numpy(), atol=1e-5)
        assert (found - model.predict(images)).abs().max() > 1e-3
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert "averages 4 views" in config["description"]


def test_a_network_that_does_needs_no_description(folder: Path) -> None:
    assert "description" not in json.loads((folder / "config.json").read_text())


def test_timms_own_preprocessing_scales_a_square_slice_as_training_did(folder: Path) -> None:
    pixels = np.random.default_rng(0).random((48, 48)).astype(np.float32)
    pixels = np.rint(pixels * 255) / 255
    network = timm.create_model(f"local-dir:{folder}", pretrained=True)
    transform = create_transform(**resolve_model_data_config(network), is_training=False)
    found = transform(Image.fromarray((pixels * 255).astype(np.uint8)))
    expected = (letterbox(pixels.astype(np.float32), 32) / 255 - 0.4) / 0.3
    assert found.shape == (1, 32, 32)
    # Both round to levels of 8 bits, at different moments.
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1.01 / 255 / 0.3)


def test_the_weights_of_another_optimiser_or_mode_do_not_matter(tmp_path: Path) -> None:
    model = classifier().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    export_hub(model, tmp_path / "hub", card="")
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_with_more_between_features_and_classes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = timm.create_model

    def with_more(*args: Any, **kwargs: Any) -> nn.Module:
        network = built(*args, **kwargs)
        network.fc = nn.Sequential(nn.Linear(network.num_features, 3), nn.Tanh())
        network.get_classifier = lambda: network.fc  # type: ignore[assignment]
        return network

    model = classifier()
    monkeypatch.setattr(timm, "create_model", with_more)
    with pytest.raises(BrainsslError, match="more between features and classes"):
        export_hub(model, tmp_path / "hub", card="")
    assert not (tmp_path / "hub").exists()


@pytest.mark.parametrize("of", ["folder", "file"])
def test_what_a_model_has_learnt_goes_along_and_is_known_where_it_is_a_start(
    of: str, tmp_path: Path
) -> None:
    model = classifier()
    model.facts |= {"method": "simclr", "split_digest": "abc", "store": "def", "label_fraction": 1}
    model.learnt = np.arange(64, dtype=np.uint8).reshape(2, 32)
    export_hub(model, tmp_path / "hub", card="")
    weights = tmp_path / "hub" if of == "folder" else tmp_path / "hub" / "model.safetensors"
    begun = build_encoder("test_resnet", image_size=32, weights=str(weights), seed=0)
    assert begun.start is not None
    assert begun.start.trained_on is not None
    assert begun.start.trained_on["split_digest"] == "abc"
    np.testing.assert_array_equal(begun.learnt, model.learnt)


def test_what_is_there_is_not_overwritten(folder: Path) -> None:
    with pytest.raises(BrainsslError, match="exists already"):
        export_hub(classifier(), folder, card="")

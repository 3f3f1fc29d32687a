"""The untrained control: statistics of images that pretraining may see, and of no others."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.models.encoder import build_encoder
from brainssl.settings import Settings, load_settings
from brainssl.training.batchnorm import estimate_statistics
from brainssl.training.untrained import untrained_encoder


@pytest.fixture(scope="module")
def settings(shared_store: ImageStore) -> Settings:
    size = f"encoder.image_size={shared_store.size}"
    return load_settings("quick", ["encoder.name=test_resnet", size, "run.accelerator=cpu"])[0]


@pytest.fixture(scope="module")
def data(shared_store: ImageStore) -> Data:
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    return Data(shared_store, split)


def state(data: Data, settings: Settings) -> dict[str, torch.Tensor]:
    return untrained_encoder(data, settings, 3).state_dict()


def test_the_weights_are_the_initial_ones_and_the_statistics_those_of_images(
    data: Data, settings: Settings
) -> None:
    fresh = build_encoder(**settings.encoder.model_dump(), seed=3)
    expected = fresh.state_dict()
    encoder = untrained_encoder(data, settings, 3)
    for name, value in encoder.state_dict().items():
        told = "running" in name or "tracked" in name
        assert torch.equal(value, expected[name]) != told, name
    estimate_statistics(fresh, data.store.images, data.split.pretraining(data.store.manifest))
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[name]), name


@pytest.mark.parametrize(
    ("part", "matters"), [("train", True), ("unlabelled", True), ("val", False), ("test", False)]
)
def test_images_of_validation_and_test_have_no_influence(
    data: Data, settings: Settings, part: str, matters: bool
) -> None:
    rows = data.split.indices(data.store.manifest, part)
    assert len(rows)
    images = data.store.images.copy()
    images[rows] = 255 - images[rows]
    other = state(Data(replace(data.store, images=images), data.split), settings)
    same = [torch.equal(value, other[name]) for name, value in state(data, settings).items()]
    assert all(same) != matters


def test_published_weights_keep_their_statistics(
    data: Data, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = build_encoder(**settings.encoder.model_dump(), seed=3)
    for norm in published.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.fill_(0.3)
    before = {name: value.clone() for name, value in published.state_dict().items()}
    monkeypatch.setattr("brainssl.training.untrained.build_encoder", lambda **_: published)
    encoder = settings.encoder.model_copy(update={"weights": "imagenet"})
    after = state(data, settings.model_copy(update={"encoder": encoder}))
    assert all(torch.equal(value, after[name]) for name, value in before.items())

"""Where a fine-tuning begins."""

import copy

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from brainssl.data.store import ImageStore
from brainssl.models.classifier import run_in_batches
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.settings import Settings, load_settings
from brainssl.training.batchnorm import estimate_statistics
from brainssl.training.finetuning.start import first_head, freeze_statistics, settle_statistics


@pytest.fixture
def settings(shared_store: ImageStore) -> Settings:
    own = ["encoder.name=test_resnet", f"encoder.image_size={shared_store.size}"]
    return load_settings("quick", [*own, "run.accelerator=cpu"])[0]


@pytest.fixture
def encoder(shared_store: ImageStore) -> Encoder:
    return build_encoder("test_resnet", image_size=shared_store.size, seed=0)


@pytest.fixture
def rows(shared_store: ImageStore) -> np.ndarray:
    return np.flatnonzero(shared_store.labels >= 0).astype(np.int64)


def test_only_drawn_weights_get_statistics(
    encoder: Encoder, settings: Settings, shared_store: ImageStore, rows: np.ndarray
) -> None:
    expected, own = copy.deepcopy(encoder), copy.deepcopy(encoder)
    estimate_statistics(expected, shared_store.images, rows)
    settle_statistics(own, shared_store, rows, settings)
    same = {
        name: torch.equal(v, expected.state_dict()[name]) for name, v in own.state_dict().items()
    }
    assert all(same.values())
    assert not torch.equal(
        encoder.state_dict()["network.bn1.running_var"], own.state_dict()["network.bn1.running_var"]
    )
    published = settings.model_copy(
        update={"encoder": settings.encoder.model_copy(update={"weights": "imagenet"})}
    )
    pretrained = copy.deepcopy(encoder)
    pretrained.facts = {"method": "simclr"}
    for other, chosen in ((copy.deepcopy(encoder), published), (pretrained, settings)):
        settle_statistics(other, shared_store, rows, chosen)
        for name, value in other.state_dict().items():
            assert torch.equal(value, encoder.state_dict()[name])


def test_the_head_is_logistic_regression_on_standardised_features(
    encoder: Encoder, settings: Settings, shared_store: ImageStore, rows: np.ndarray
) -> None:
    """By scikit-learn's pipeline at the penalty that was chosen: the head takes raw features."""
    before = copy.deepcopy(encoder.state_dict())
    train, val = rows[::2], rows[1::2]
    probed = settings.finetune.model_copy(update={"head_start": "probe"})
    settings = settings.model_copy(update={"finetune": probed})
    head = first_head(encoder, shared_store, train, val, settings, seed=0)
    features = run_in_batches(encoder, shared_store.images, rows)
    found = torch.from_numpy(features)
    with torch.no_grad():
        said = head(found).softmax(1).numpy()
    fits = []
    for power in range(-4, 6):
        one = make_pipeline(
            StandardScaler(), LogisticRegression(C=10.0**power / len(train), max_iter=5000)
        )
        one.fit(features[::2], shared_store.labels[train])
        fits.append(np.abs(one.predict_proba(features) - said).max())
    assert min(fits) < 5e-3
    assert max(fits) > 0.05
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name])
    assert encoder.training


def test_a_drawn_head_depends_on_the_seed_alone(
    encoder: Encoder, settings: Settings, shared_store: ImageStore, rows: np.ndarray
) -> None:
    def drawn(seed: int) -> torch.Tensor:
        return first_head(encoder, shared_store, rows, rows, settings, seed).weight

    before = torch.get_rng_state()
    one = drawn(0)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(one, drawn(0))
    assert not torch.equal(one, drawn(1))


def test_frozen_statistics_stay_and_are_used_while_the_rest_learns() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5)).train()
    network[1].running_mean.fill_(3.0)
    freeze_statistics(network)
    assert network[2].training
    given = torch.rand(4, 1, 5, 5)
    said = network[:2](given)
    raw = network[0](given)
    torch.testing.assert_close(said, (raw - 3) / (1 + 1e-5) ** 0.5)
    said.sum().backward()
    assert network[1].weight.grad.abs().sum() > 0
    assert torch.equal(network[1].running_mean, torch.full((2,), 3.0))

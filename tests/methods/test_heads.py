"""Projectors, predictors and prototypes."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from brainssl.methods.heads import Prototypes, mlp


def kinds(layers: nn.Sequential) -> list[type[nn.Module]]:
    return [type(layer) for layer in layers]


def test_norm_and_activation_stand_between_linear_layers_alone() -> None:
    layers = mlp(3, 5, 7, 2)
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert kinds(layers) == [*hidden, *hidden, nn.Linear]
    widths = [(each.in_features, each.out_features) for each in layers[::3]]
    assert widths == [(3, 5), (5, 7), (7, 2)]


def test_without_norm_layers_have_biases() -> None:
    layers = mlp(3, 5, 2, norm=False, activation=nn.GELU)
    assert kinds(layers) == [nn.Linear, nn.GELU, nn.Linear]
    assert all(layer.bias is not None for layer in (layers[0], layers[2]))


@pytest.mark.usefixtures("float64")
def test_last_norm_centres_and_scales_and_learns_nothing() -> None:
    layers = mlp(3, 5, 2, last_norm=True)
    assert not list(layers[-1].parameters())
    out = layers(torch.randn(64, 3, generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(out.mean(dim=0), torch.zeros(2), atol=1e-6, rtol=0)
    torch.testing.assert_close(out.std(dim=0, correction=0), torch.ones(2), atol=1e-2, rtol=0)


@pytest.fixture
def prototypes() -> Prototypes:
    torch.manual_seed(0)
    return Prototypes(6, 9)


@pytest.mark.usefixtures("float64")
def test_prototypes_have_unit_norm_whatever_the_weights(prototypes: Prototypes) -> None:
    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    answers = prototypes(features)
    expected = functional.cosine_similarity(features[:, None], prototypes.weight[None], dim=2)
    torch.testing.assert_close(answers, expected)
    with torch.no_grad():
        prototypes.weight *= torch.linspace(0.1, 50, 9)[:, None]
    torch.testing.assert_close(prototypes(3 * features), answers)
    # A feature that is a prototype answers 1: the norm is 1, not only constant.
    torch.testing.assert_close(prototypes(prototypes.weight).diagonal(), torch.ones(9))


def test_prototypes_stay_float32_under_autocast(prototypes: Prototypes) -> None:
    features = torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    with torch.autocast("cpu", torch.bfloat16):
        answers = prototypes(features)
    assert answers.dtype == torch.float32
    assert torch.equal(answers, prototypes(features))

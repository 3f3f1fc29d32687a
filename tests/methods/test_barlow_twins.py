"""Barlow Twins' loss against its equation and against lightly."""

import copy

import pytest
import torch
from lightly.loss import BarlowTwinsLoss
from oracles.losses import barlow_twins
from oracles.small_methods import of_preset, small, views_of
from torch import Tensor, nn

from brainssl.methods.barlow_twins import redundancy_reduction


def pair(n: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    first = torch.randn(n, dim, generator=generator)
    return 3 * first + 1, first + 0.5 * torch.randn(n, dim, generator=generator)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("redundancy", [0.005, 0.5])
@pytest.mark.parametrize(("n", "dim"), [(2, 3), (6, 5), (16, 8)])
def test_loss_is_the_formula_and_lightlys(n: int, dim: int, redundancy: float) -> None:
    first, second = pair(n, dim)
    loss = redundancy_reduction(first, second, redundancy=redundancy)
    assert loss.item() == pytest.approx(barlow_twins(first, second, redundancy), abs=1e-10)
    reference = BarlowTwinsLoss(lambda_param=redundancy)(first, second)
    torch.testing.assert_close(loss, reference, atol=1e-10, rtol=0)


@pytest.mark.usefixtures("float64")
def test_identity_costs_nothing_and_a_constant_dimension_costs_one() -> None:
    signs = torch.tensor([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])  # uncorrelated
    assert redundancy_reduction(signs, signs, redundancy=1.0).item() == pytest.approx(0, abs=1e-9)
    constant = torch.stack([signs[:, 0], torch.ones(4)], dim=1)
    loss = redundancy_reduction(constant, constant, redundancy=1.0)
    assert loss.item() == pytest.approx(1, abs=1e-9)


def test_loss_stays_float32_under_autocast() -> None:
    first, second = pair(16, 64)
    exact = redundancy_reduction(first, second, redundancy=0.005)
    with torch.autocast("cpu", torch.bfloat16):
        loss = redundancy_reduction(first, second, redundancy=0.005)
    assert loss.dtype == torch.float32
    assert loss.item() == exact.item()
    rough = redundancy_reduction(first.bfloat16(), second.bfloat16(), redundancy=0.005)
    assert rough.dtype == torch.float32


@pytest.mark.usefixtures("float64")
def test_each_view_has_a_forward_of_its_own() -> None:
    method = small("barlowtwins")
    first, second = views_of(method, 6)
    second = 0.5 * second
    parts, joint = copy.deepcopy(method), copy.deepcopy(method)
    loss = method.loss([first, second]).item()
    with torch.no_grad():
        one, two = parts.projector(parts.encoder(first)), parts.projector(parts.encoder(second))
        mixed = joint.projector(joint.encoder(torch.cat([first, second])))
    assert loss == pytest.approx(barlow_twins(one, two, method.redundancy), abs=1e-10)
    assert loss != pytest.approx(barlow_twins(mixed[:6], mixed[6:], method.redundancy), abs=1e-6)


def test_projector_of_reference_is_the_originals_with_three_layers() -> None:
    method = of_preset("barlowtwins", "reference")
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(each) for each in method.projector] == [*hidden, *hidden, nn.Linear]
    assert [each.out_features for each in method.projector[::3]] == [2048, 2048, 2048]
    assert method.redundancy == 0.005

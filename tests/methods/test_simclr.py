"""SimCLR's loss against a loop over the study's formula and against lightly."""

import copy

import pytest
import torch
from lightly.loss import NTXentLoss
from oracles.losses import nt_xent as nt_xent_by_hand
from oracles.small_methods import of_preset, small, views_of
from torch import Tensor, nn

from brainssl.methods.simclr import nt_xent


def pair(n: int = 6, dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, dim, generator=generator), torch.randn(n, dim, generator=generator)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize(("n", "dim"), [(1, 5), (2, 3), (7, 16)])
def test_loss_is_the_formula(n: int, dim: int, temperature: float) -> None:
    first, second = pair(n, dim)
    loss = nt_xent(first, second, temperature=temperature)
    assert loss.item() == pytest.approx(nt_xent_by_hand(first, second, temperature), abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_gradient_agree_with_lightly(temperature: float) -> None:
    ours, theirs = pair(8)[0].requires_grad_(), pair(8)[0].requires_grad_()
    second = pair(8)[1]
    loss = nt_xent(ours, second, temperature=temperature)
    reference = NTXentLoss(temperature=temperature)(theirs, second)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference, atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-10, rtol=0)


POOLS = ([0, 1, 2, 3, 4, 5], [0, 0, 1, 2, 2, 2], [7, 7, 7, 7, 7, 7])


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("pools", POOLS)
def test_images_of_a_pool_are_no_negatives(pools: list[int]) -> None:
    first, second = pair()
    loss = nt_xent(first, second, temperature=0.3, pools=torch.tensor(pools))
    assert loss.item() == pytest.approx(nt_xent_by_hand(first, second, 0.3, pools), abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_what_is_no_negative_takes_no_gradient() -> None:
    """Of two pairs in one pool, each loss is that of one pair alone: nothing."""
    first, second = (rows.requires_grad_() for rows in pair(2))
    loss = nt_xent(first, second, temperature=0.3, pools=torch.tensor([4, 4]))
    loss.backward()
    assert loss.item() == 0
    assert not first.grad.any()
    assert not second.grad.any()


def test_the_method_takes_the_pools_that_it_is_told() -> None:
    method, pools = small("simclr"), [0, 0, 1, 1]
    views = views_of(method, 4)
    plain = method.loss(views).item()
    method.pools = torch.tensor(pools)
    first, second = copy.deepcopy(method).embed(torch.cat(views)).chunk(2)
    expected = nt_xent_by_hand(first, second, method.temperature, pools)
    assert method.loss(views).item() == pytest.approx(expected, abs=1e-5)
    assert abs(plain - expected) > 1e-3


@pytest.mark.usefixtures("float64")
def test_loss_knows_neither_the_order_of_images_nor_of_views() -> None:
    first, second = pair()
    order = torch.randperm(len(first), generator=torch.Generator().manual_seed(1))
    loss = nt_xent(first, second, temperature=0.5)
    torch.testing.assert_close(nt_xent(first[order], second[order], temperature=0.5), loss)
    torch.testing.assert_close(nt_xent(second, first, temperature=0.5), loss)


def test_loss_stays_float32_under_autocast() -> None:
    first, second = pair(16, 64)
    exact = nt_xent(first, second, temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        loss = nt_xent(first, second, temperature=0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == exact.item()


def test_bfloat16_projections_are_compared_in_float32() -> None:
    first, second = (rows.bfloat16() for rows in pair(16, 64))
    loss = nt_xent(first, second, temperature=0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == nt_xent(first.float(), second.float(), temperature=0.05).item()


def test_projector_is_the_studys() -> None:
    method = of_preset("simclr", "paper")
    linear, relu, last = method.projector
    assert (linear.in_features, linear.out_features) == (method.encoder.dim, 512)
    assert isinstance(relu, nn.ReLU)
    assert (last.in_features, last.out_features) == (512, 128)
    assert linear.bias is not None
    assert last.bias is not None
    assert method.temperature == 0.5


def test_projector_of_reference_has_batchnorm() -> None:
    linear, norm, _, last = of_preset("simclr", "reference").projector
    assert norm.num_features == linear.out_features == 2048
    assert last.out_features == 128


def test_both_views_share_one_forward() -> None:
    """BatchNorm sees 2n images: apart, the same weights give another loss."""
    method = small("simclr", projector_norm=True)
    seen = []
    method.encoder.register_forward_hook(lambda _m, inputs, _o: seen.append(len(inputs[0])))
    first, second = views_of(method, 4)
    second = 0.5 * second  # as different as views of another contrast
    apart = copy.deepcopy(method)
    seen.clear()
    loss = method.loss([first, second])
    assert seen == [8]
    other = nt_xent(apart.embed(first), apart.embed(second), temperature=method.temperature)
    assert abs(loss.item() - other.item()) > 1e-3

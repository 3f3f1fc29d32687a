"""NNCLR: its loss, and the support set that it draws neighbours from."""

import copy

import pytest
import torch
from lightly.models.modules import NNMemoryBankModule
from oracles.losses import info_nce
from oracles.losses import nearest as nearest_by_hand
from oracles.small_methods import of_preset, small, views_of
from torch import Tensor, nn
from torch.nn import functional

from brainssl.methods.nnclr import NNCLR, nearest


def nnclr(**own: object) -> NNCLR:
    method = small("nnclr", **own)
    assert isinstance(method, NNCLR)
    return method


def rows(n: int, dim: int, seed: int) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("n", "m", "dim"), [(1, 3, 4), (7, 20, 5), (16, 64, 16)])
def test_neighbours_are_the_formulas_and_lightlys(n: int, m: int, dim: int) -> None:
    projections, support = rows(n, dim, 0), functional.normalize(rows(m, dim, 1), dim=1)
    neighbours = nearest(projections, support)
    assert torch.equal(neighbours, support[nearest_by_hand(projections, support)])
    bank = NNMemoryBankModule(size=(m, dim))
    bank.bank = support
    torch.testing.assert_close(neighbours, bank(projections))


def test_neighbours_are_found_in_float32_under_autocast() -> None:
    """In bfloat16 these two would be one."""
    support = functional.normalize(torch.tensor([[1.0, 0.001], [1.0, 0.0]]), dim=1)
    for projections in (torch.tensor([[5.0, 0.0]]), torch.tensor([[5.0, 0.0]]).bfloat16()):
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(nearest(projections, support), support[1:])


@pytest.mark.usefixtures("float64")
def test_both_directions_neighbours_against_predictions() -> None:
    """Half of L(NN(z₁), p₂) and half of L(NN(z₂), p₁), as in the paper's pseudocode."""
    method = nnclr(temperature=0.1)
    first, second = views_of(method, 6)
    second = 0.5 * second
    parts = copy.deepcopy(method)
    loss = method.loss([first, second])
    with torch.no_grad():
        z_1, z_2 = (parts.projector(parts.encoder(view)) for view in (first, second))
        p_1, p_2 = parts.predictor(z_1), parts.predictor(z_2)
    near_1, near_2 = (parts.support[nearest_by_hand(z, parts.support)] for z in (z_1, z_2))
    by_hand = (info_nce(near_1, p_2, 0.1) + info_nce(near_2, p_1, 0.1)) / 2
    assert loss.item() == pytest.approx(by_hand, abs=1e-10)
    assert by_hand != pytest.approx(
        (info_nce(p_2, near_1, 0.1) + info_nce(p_1, near_2, 0.1)) / 2, abs=1e-6
    ), "rows and columns could not be told apart"


def test_neighbours_take_no_gradient_and_predictions_do() -> None:
    method = nnclr()
    method.loss(views_of(method, 6)).backward()
    assert not method.support.requires_grad
    assert all(parameter.grad is not None for parameter in method.predictor.parameters())
    assert any((p.grad != 0).any() for p in method.encoder.parameters() if p.grad is not None)


@pytest.mark.usefixtures("float64")
def test_the_support_keeps_the_newest_projections_of_the_first_view() -> None:
    """24 places, six images a step: after the fifth step, steps two to five are kept."""
    method, taken = nnclr(support=24), []
    start = method.support.clone()
    method.projector.register_forward_hook(lambda _m, _i, out: taken.append(out.detach()))
    for step in range(5):
        before = method.support.clone()
        method.loss(views_of(method, 6, seed=step))
        method.after_step()
        changed = (method.support != before).any(dim=1)
        assert changed.sum() == 6
        if step == 0:
            assert torch.equal(method.support[6:], start[6:])
    firsts = [functional.normalize(z, dim=1) for z in taken[::2]]
    torch.testing.assert_close(method.support, torch.cat([firsts[4], *firsts[1:4]]))


def test_the_newest_are_remembered_after_the_step_alone() -> None:
    """In the loss each image would find itself; and a step may still be skipped."""
    method = nnclr()
    before = method.support.clone()
    found: list[Tensor] = []
    method.predictor.register_forward_hook(lambda *_: found.append(method.support.clone()))
    method.loss(views_of(method, 6))
    assert len(found) == 2
    assert all(torch.equal(each, before) for each in [*found, method.support])
    method.after_step()
    assert not torch.equal(method.support, before)


def test_a_batch_larger_than_the_support_fills_it() -> None:
    method, taken = nnclr(support=4), []
    method.projector.register_forward_hook(lambda _m, _i, out: taken.append(out.detach()))
    method.loss(views_of(method, 6))
    method.after_step()
    kept = {tuple(row) for row in method.support.tolist()}
    assert kept == {tuple(row) for row in functional.normalize(taken[0], dim=1)[2:].tolist()}


def test_heads_of_reference() -> None:
    method = of_preset("nnclr", "reference")
    hidden = [nn.Linear, nn.BatchNorm1d, nn.ReLU]
    assert [type(each) for each in method.projector] == [
        *hidden,
        *hidden,
        nn.Linear,
        nn.BatchNorm1d,
    ]
    assert [type(each) for each in method.predictor] == [*hidden, nn.Linear]
    assert method.support.shape == (1024, 256)
    torch.testing.assert_close(method.support.norm(dim=1), torch.ones(1024))

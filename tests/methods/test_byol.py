"""BYOL: its loss, and what keeps it from the constant answer."""

import copy

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from oracles.losses import regression as regression_by_hand
from oracles.small_methods import of_preset, small, views_of
from torch import Tensor, nn

from brainssl.methods.byol import BYOL, regression


def pair(n: int, dim: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, dim, generator=generator), torch.randn(n, dim, generator=generator)


def byol(**own: object) -> BYOL:
    method = small("byol", **own)
    assert isinstance(method, BYOL)
    return method


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("n", "dim"), [(1, 4), (5, 3), (16, 64)])
def test_loss_is_the_formula_and_lightlys(n: int, dim: int) -> None:
    prediction, target = pair(n, dim)
    loss = regression(prediction, target)
    assert loss.item() == pytest.approx(regression_by_hand(prediction, target), abs=1e-10)
    # lightly stops at −cosine, the study goes on to 2 − 2 cosine.
    reference = 2 + 2 * NegativeCosineSimilarity()(prediction, target)
    torch.testing.assert_close(loss, reference, atol=1e-10, rtol=0)


def test_loss_is_float32_and_its_target_takes_no_gradient() -> None:
    prediction, target = (rows.bfloat16().requires_grad_() for rows in pair(6, 32))
    with torch.autocast("cpu", torch.bfloat16):
        loss = regression(prediction, target)
    assert loss.dtype == torch.float32
    assert loss.item() == regression(prediction.float(), target.float()).item()
    loss.backward()
    assert prediction.grad is not None
    assert target.grad is None


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("normalised", [False, True])
def test_both_directions_each_view_with_its_own_forward(normalised: bool) -> None:
    """Equations 4 to 9 from separate forwards; a joint one gives another loss."""
    method = byol(normalise_projections=normalised)
    first, second = views_of(method, 6)
    second = 0.5 * second
    parts, joint = copy.deepcopy(method), copy.deepcopy(method)
    loss = method.loss([first, second]).item()

    def predicted(network: BYOL, view: Tensor) -> Tensor:
        y = network.online(view)
        return network.predictor(y / y.norm(dim=1, keepdim=True) if normalised else y)

    with torch.no_grad():
        z_1, z_2 = parts.teacher(first), parts.teacher(second)
        p_1, p_2 = predicted(parts, first), predicted(parts, second)
    by_hand = regression_by_hand(p_1, z_2) + regression_by_hand(p_2, z_1)
    assert loss == pytest.approx(by_hand, abs=1e-10)
    assert by_hand != pytest.approx(2 * regression_by_hand(p_1, z_2), abs=1e-6)

    both = torch.cat([first, second])
    with torch.no_grad():
        p, z = predicted(joint, both), joint.teacher(both)
    mixed = regression_by_hand(p[:6], z[6:]) + regression_by_hand(p[6:], z[:6])
    assert loss != pytest.approx(mixed, abs=1e-6)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("normalised", [False, True])
def test_the_predictor_stands_on_the_online_branch_alone(normalised: bool) -> None:
    method = byol(normalise_projections=normalised)
    nn.init.ones_(method.teacher[1][-1].bias)  # so that it can be told from the online network
    inputs: list[Tensor] = []
    method.predictor.register_forward_hook(lambda _m, given, _o: inputs.append(given[0].detach()))
    taught: list[Tensor] = []
    method.teacher.register_forward_hook(lambda _m, _i, out: taught.append(out))
    method.loss(views_of(method, 6))
    assert len(inputs) == len(taught) == 2
    assert not any(torch.equal(one, two) for one in inputs for two in taught)
    norms = torch.cat(inputs).norm(dim=1)
    assert torch.allclose(norms, torch.ones(12), atol=1e-5) == normalised


def test_the_teacher_is_out_of_reach_of_gradients() -> None:
    method = byol()
    method.teacher.requires_grad_(True)  # even then
    method.loss(views_of(method, 6)).backward()
    assert all(parameter.grad is None for parameter in method.teacher.parameters())
    learning = [*method.online.parameters(), *method.predictor.parameters()]
    assert all(parameter.grad is not None for parameter in learning)


@pytest.mark.parametrize(("preset", "normalised"), [("paper", True), ("reference", False)])
def test_heads_are_the_studys_and_the_originals(preset: str, normalised: bool) -> None:
    method = of_preset("byol", preset)
    for head, width in ((method.online[1], method.encoder.dim), (method.predictor, 256)):
        assert [type(each) for each in head] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
        assert (head[0].in_features, head[0].out_features, head[3].out_features) == (
            width,
            4096,
            256,
        )
    assert method.normalise == normalised

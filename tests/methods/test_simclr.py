"""SimCLR's loss against a loop over the study's formula and against lightly."""

import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor

from brainssl.encoders import Encoder
from brainssl.methods.simclr import SimCLR, nt_xent


def nt_xent_by_hand(first: Tensor, second: Tensor, temperature: float) -> float:
    """The study's section 3.5.2, term by term, in Python floats."""
    views = [*first.tolist(), *second.tolist()]
    views = [[x / math.hypot(*view) for x in view] for view in views]
    n = len(first)
    losses = []
    for i, anchor in enumerate(views):
        similarity = [
            math.exp(sum(a * b for a, b in zip(anchor, other, strict=True)) / temperature)
            for other in views
        ]
        partner = (i + n) % (2 * n)
        everyone_else = sum(s for k, s in enumerate(similarity) if k != i)
        losses.append(-math.log(similarity[partner] / everyone_else))
    return sum(losses) / len(losses)


def pair(n: int = 6, dim: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, dim, generator=generator),
        torch.randn(n, dim, generator=generator),
    )


@pytest.mark.parametrize("temperature", [0.05, 0.2, 0.5, 1.0])
@pytest.mark.parametrize("n", [1, 2, 7])
def test_loss_is_the_formula(n: int, temperature: float) -> None:
    first, second = pair(n)
    loss = nt_xent(first, second, temperature=temperature)
    assert loss.item() == pytest.approx(nt_xent_by_hand(first, second, temperature), abs=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_loss_and_gradient_agree_with_lightly(temperature: float) -> None:
    ours, theirs = pair(8)[0].requires_grad_(), pair(8)[0].requires_grad_()
    second = pair(8)[1]
    loss = nt_xent(ours, second, temperature=temperature)
    reference = NTXentLoss(temperature=temperature)(theirs, second)
    loss.backward()
    reference.backward()
    torch.testing.assert_close(loss, reference, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-5, rtol=0)


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


def test_projector_is_the_studys() -> None:
    encoder = Encoder("test_resnet", image_size=32)
    method = SimCLR(encoder, hidden_dim=512, output_dim=128, temperature=0.5)
    linear, relu, last = method.projector
    assert (linear.in_features, linear.out_features) == (encoder.dim, 512)
    assert isinstance(relu, torch.nn.ReLU)
    assert (last.in_features, last.out_features) == (512, 128)
    assert linear.bias is not None
    assert last.bias is not None


def test_both_views_share_one_forward() -> None:
    encoder = Encoder("test_resnet", image_size=32)
    method = SimCLR(encoder, hidden_dim=16, output_dim=8, temperature=0.5)
    seen = []
    encoder.register_forward_hook(lambda _module, inputs, _output: seen.append(len(inputs[0])))
    views = [torch.rand(4, 1, 32, 32), torch.rand(4, 1, 32, 32)]
    loss = method.loss(views)
    assert seen == [8]
    assert loss.ndim == 0

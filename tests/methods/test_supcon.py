"""Supervised contrastive learning: its loss against a loop, and SimCLR's."""

import copy

import pytest
import torch
from oracles.losses import supervised_contrastive as by_hand
from oracles.small_methods import small, views_of
from torch import Tensor

from brainssl.methods.simclr import nt_xent
from brainssl.methods.supcon import supervised_contrastive

CLASSES = [0, 1, 0, -1, 2, 0, -1, 1]


def pair(n: int = 8, dim: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, dim, generator=generator), torch.randn(n, dim, generator=generator)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("temperature", [0.1, 0.5])
@pytest.mark.parametrize("classes", [CLASSES, [3] * 8, [-1] * 8])
@pytest.mark.parametrize("pools", [None, [0, 0, 0, 0, 1, 2, 3, 3]])
def test_loss_is_the_formula(
    pools: list[int] | None, classes: list[int], temperature: float
) -> None:
    first, second = pair()
    loss = supervised_contrastive(
        first,
        second,
        torch.tensor(classes),
        temperature=temperature,
        pools=None if pools is None else torch.tensor(pools),
    )
    expected = by_hand(first, second, classes, temperature, pools)
    assert loss.item() == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("pools", [None, torch.tensor([0, 0, 0, 0, 1, 2, 3, 3])])
def test_without_labels_it_is_simclr(pools: Tensor | None) -> None:
    first, second = pair()
    unknown = torch.full((8,), -1)
    loss = supervised_contrastive(first, second, unknown, temperature=0.3, pools=pools)
    torch.testing.assert_close(loss, nt_xent(first, second, temperature=0.3, pools=pools))


def test_loss_stays_float32_under_autocast() -> None:
    first, second = pair(8, 64)
    classes = torch.tensor(CLASSES)
    exact = supervised_contrastive(first, second, classes, temperature=0.05)
    with torch.autocast("cpu", torch.bfloat16):
        loss = supervised_contrastive(first, second, classes, temperature=0.05)
    assert loss.dtype == torch.float32
    assert loss.item() == exact.item()


def test_the_method_takes_the_classes_that_it_is_told() -> None:
    method = small("supcon", temperature=0.2)
    views = views_of(method, 8)
    first, second = copy.deepcopy(method).embed(torch.cat(views)).chunk(2)
    method.classes = torch.tensor(CLASSES)
    expected = by_hand(first, second, CLASSES, 0.2)
    assert method.loss(views).item() == pytest.approx(expected, abs=1e-5)
    assert abs(expected - by_hand(first, second, [-1] * 8, 0.2)) > 1e-3

"""Synchronised BatchNorm against PyTorch's own on the joint batch."""

from typing import Any

import pytest
import torch
from oracles.joint_batch import Network, learn, views
from torch import nn

from brainssl.training.batchnorm import synchronise

Ranks = tuple[list[dict[str, Any]], list[tuple[int, int]]]


def test_running_statistics_are_those_of_the_joint_batch(two_ranks: Ranks) -> None:
    """After some steps, with a momentum and as a plain average; the variance is unbiased."""
    alone = learn()["state"]
    names = [name for name in alone if "running" in name or "tracked" in name]
    assert len(names) == 9
    for result in two_ranks[0]:
        for name in names:
            torch.testing.assert_close(
                result["state"][name], alone[name], atol=1e-10, rtol=0, msg=name
            )


@pytest.mark.usefixtures("float64")
def test_the_state_loads_into_a_plain_network(two_ranks: Ranks) -> None:
    network = Network().eval()
    for result in two_ranks[0]:
        network.load_state_dict(result["state"])
        answers = network.layers(views(3)[0])
        torch.testing.assert_close(result["answers"], answers, atol=1e-10, rtol=0)


@pytest.mark.usefixtures("float64")
def test_alone_it_is_plain_batchnorm() -> None:
    """The formulae hold for one process too: values, gradients, statistics."""
    torch.manual_seed(0)
    plain, ours = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    nn.init.uniform_(plain.weight)
    ours.load_state_dict(plain.state_dict())
    synchronise(ours, cuda=False)
    rows = 5 + torch.randn(4, 3, 6, 6)
    weights = torch.randn_like(rows)
    gradients = []
    for norm in (plain, ours):
        x = rows.clone().requires_grad_()
        (norm(x) * weights).sum().backward()
        gradients.append((x.grad, norm.weight.grad, norm.bias.grad))
    torch.testing.assert_close(gradients[1], gradients[0], atol=1e-10, rtol=0)
    torch.testing.assert_close(ours.state_dict(), plain.state_dict(), atol=1e-10, rtol=0)


def test_under_autocast_it_gives_the_dtype_that_it_is_given() -> None:
    plain, ours = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    synchronise(ours, cuda=False)
    halves = torch.randn(4, 3, 6, 6).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert ours(halves).dtype == plain(halves).dtype == torch.bfloat16


def test_on_cuda_it_is_pytorchs_own_with_the_same_parameters() -> None:
    network = Network()
    before = {name: id(value) for name, value in network.named_parameters()}
    names = list(network.state_dict())
    synchronise(network, cuda=True)
    norms = [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 3
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    assert {name: id(value) for name, value in network.named_parameters()} == before
    assert sorted(network.state_dict()) == sorted(names)

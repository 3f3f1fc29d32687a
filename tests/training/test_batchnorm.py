"""BatchNorm: synchronised as PyTorch's own on the joint batch; statistics as in training."""

from typing import Any

import numpy as np
import pytest
import torch
from oracles.joint_batch import Network, learn, views
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from brainssl.data.store import ImageStore
from brainssl.models.encoder import Encoder, build_encoder
from brainssl.training import batchnorm as module
from brainssl.training.batchnorm import estimate_statistics, synchronise

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


def fresh(store: ImageStore) -> tuple[Encoder, Tensor]:
    """An encoder that expects what it never sees, and the images of a store in [0, 1]."""
    encoder = build_encoder("test_resnet", image_size=store.size, seed=0)
    for norm in encoder.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.fill_(7)
    return encoder, torch.from_numpy(store.images).float()[:, None] / 255


def test_estimated_statistics_are_mean_and_variance_of_what_each_layer_gets(
    shared_store: ImageStore,
) -> None:
    """Of one batch: by the inputs of each layer, in training mode."""
    encoder, images = fresh(shared_store)
    rows = np.arange(0, 60, 2)
    twin = build_encoder("test_resnet", image_size=shared_store.size, seed=0)
    estimate_statistics(encoder.eval(), shared_store.images, rows)
    assert not any(part.training for part in encoder.modules())
    seen_by_twin: dict[str, Tensor] = {}
    norms = {n: m for n, m in twin.named_modules() if isinstance(m, nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(
            lambda _, inputs, name=name: seen_by_twin.update({name: inputs[0].double()})
        )
    with torch.no_grad():
        twin.train()(images[rows])
    found = encoder.state_dict()
    assert len(norms) > 2
    for name, norm in norms.items():
        values = seen_by_twin[name].movedim(1, 0).flatten(1)
        own = found[f"{name}.running_mean"], found[f"{name}.running_var"]
        torch.testing.assert_close(own[0].double(), values.mean(1), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(own[1].double(), values.var(1), atol=1e-5, rtol=1e-4)
        assert encoder.get_submodule(name).momentum == norm.momentum == 0.1


def test_statistics_of_several_batches_are_those_of_pytorch(
    shared_store: ImageStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH", 20)
    encoder, images = fresh(shared_store)
    other, _ = fresh(shared_store)
    estimate_statistics(encoder, shared_store.images, np.arange(60))
    batches = np.random.default_rng(0).permutation(60).reshape(3, 20)
    update_bn([images[batch] for batch in batches], other)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(encoder.state_dict()[name], value, atol=1e-6, rtol=1e-5)


def test_the_order_of_the_rows_is_drawn() -> None:
    """In the order of a store a batch is of one class, and the spread between classes is lost."""
    encoder = nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))
    images = np.zeros((256, 2, 2), np.uint8)
    images[128:] = 255
    estimate_statistics(encoder, images, np.arange(256))
    expected = (encoder[0].weight.item() / 2) ** 2
    assert encoder[1].running_var.item() == pytest.approx(expected, rel=0.05)


def test_a_network_without_batchnorm_stays_as_it_is() -> None:
    network = nn.Linear(2, 1)
    estimate_statistics(network, np.zeros((3, 2, 2), np.uint8), np.arange(3))

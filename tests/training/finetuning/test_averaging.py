"""The exponential average of weights, against the sum that defines it."""

import copy
import io
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from brainssl.training.finetuning.averaging import AveragedChoice
from brainssl.training.trainer import Training


def changed(network: nn.Module, step: int) -> dict[str, Any]:
    """Give a network other weights and statistics, and return them."""
    generator = torch.Generator().manual_seed(step)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator))
        else:
            value.fill_(step)
    return copy.deepcopy(network.state_dict())


@pytest.mark.parametrize(("half_life", "epoch_steps"), [(0.5, 3), (2.0, 1), (100.0, 10)])
def test_the_average_is_the_weighted_mean_over_all_steps(
    half_life: float, epoch_steps: int
) -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    choice = AveragedChoice(half_life=half_life, patience=10)
    steps = []
    for step in range(1, 8):
        steps.append(changed(network, step))
        choice.average(network, epoch_steps)
    ages = np.arange(len(steps))[::-1]
    weights = np.exp2(-ages / (half_life * epoch_steps))
    choice.smooth(network)
    for name, value in network.state_dict().items():
        own = np.stack([step[name].numpy() for step in steps])
        expected = np.average(own, axis=0, weights=weights)
        if "tracked" in name:
            expected = own[-1]
        np.testing.assert_allclose(value.numpy(), expected, atol=1e-6, err_msg=name)


def test_the_networks_own_weights_come_back_and_the_best_average_is_kept() -> None:
    network = nn.BatchNorm1d(2)
    choice = AveragedChoice(half_life=1, patience=10)
    judged = []
    for step, loss in enumerate([2.0, 1.0, 3.0]):
        own = changed(network, step)
        choice.average(network, 1)
        choice.smooth(network)
        judged.append(copy.deepcopy(network.state_dict()))
        choice.judge(loss, network)
        for name, value in network.state_dict().items():
            assert torch.equal(value, own[name])
    assert choice.best_epoch == 2
    for name, value in choice.best.items():
        assert torch.equal(value, judged[1][name])
    assert "a half-life of 1 epochs" in choice.told


def test_a_step_that_was_not_taken_does_not_count() -> None:
    training = Training(torch.zeros(1), seed=0)
    training.weight = nn.Parameter(torch.ones(1))
    choice = AveragedChoice(half_life=1, patience=10)
    trainer: Any = SimpleNamespace(num_training_batches=1)
    choice.on_train_batch_end(trainer, training)
    training.skipped = True
    training.weight.data.fill_(math.nan)
    choice.on_train_batch_end(trainer, training)
    choice.smooth(training)
    assert training.weight == 1


def test_a_checkpoint_holds_all_of_it() -> None:
    network = nn.BatchNorm1d(2)
    choice, resumed = (AveragedChoice(half_life=1, patience=10) for _ in range(2))
    for step in range(3):
        changed(network, step)
        choice.average(network, 2)
    file = io.BytesIO()
    torch.save(choice.state_dict(), file)
    file.seek(0)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    found = []
    for one in (choice, resumed):
        changed(network, 9)
        one.average(network, 2)
        one.smooth(network)
        found.append(copy.deepcopy(network.state_dict()))
    for name, value in found[0].items():
        assert torch.equal(value, found[1][name])

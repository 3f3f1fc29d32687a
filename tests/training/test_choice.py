"""The choice of an epoch: what is judged is what is kept."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from torch import nn

from brainssl.training.choice import SmoothedChoice


@pytest.mark.parametrize(
    ("losses", "patience", "best", "seen"),
    [
        ([1.0, 1.0, 5.0, 3.0, 3.0, 3.0], 10, 1, 6),  # no epoch around which losses are bad
        ([1.0, 0.8, 0.9, 1.0, 1.1, 1.2], 2, 2, 4),
        ([1.0, 0.5], 10, 2, 2),
        ([math.nan, 2.0, math.nan, 3.0], 2, 2, 4),
    ],
)
@pytest.mark.parametrize("smoothing", [1, 3])
def test_the_epoch_with_the_lowest_loss_is_kept(
    losses: list[float], patience: int, best: int, seen: int, smoothing: int
) -> None:
    """What a loss judges is the mean of the last epochs; own weights are back after it."""
    choice = SmoothedChoice(smoothing=smoothing, patience=patience)
    network = nn.BatchNorm1d(1)
    epochs = 0
    for epoch, loss in enumerate(losses, start=1):
        for tensor in network.state_dict().values():
            tensor.fill_(epoch)
        trainer: Any = SimpleNamespace(callback_metrics={"val_loss": loss}, should_stop=False)
        choice.on_validation_start(trainer, network)  # type: ignore[arg-type]
        mean = np.mean(range(max(1, epoch - smoothing + 1), epoch + 1))
        assert network.weight.item() == network.running_var.item() == pytest.approx(mean)
        assert network.num_batches_tracked.item() == epoch
        choice.on_validation_end(trainer, network)  # type: ignore[arg-type]
        assert {tensor.item() for tensor in network.state_dict().values()} == {epoch}
        epochs = epoch
        if trainer.should_stop:
            break
    assert (epochs, choice.best_epoch) == (seen, best)
    kept = np.mean(range(max(1, best - smoothing + 1), best + 1))
    assert choice.best["weight"].item() == pytest.approx(kept)

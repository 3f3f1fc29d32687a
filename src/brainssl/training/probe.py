"""Linear probe: one linear layer on features that are computed once."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor, nn
from torch.nn import functional

from brainssl.settings import ProbeSettings
from brainssl.training.batches import seeded
from brainssl.training.trainer import without_decay


@dataclass(frozen=True)
class Probe:
    """A fitted head, and the losses of each epoch as rows of a history."""

    head: nn.Linear
    history: list[dict[str, float]]


def fit_probe(
    features: Float32[np.ndarray, "n dim"],
    labels: Int64[np.ndarray, " n"],
    val_features: Float32[np.ndarray, "m dim"],
    val_labels: Int64[np.ndarray, " m"],
    *,
    classes: int,
    settings: ProbeSettings,
    seed: int = 0,
) -> Probe:
    """Fit a linear classifier with AdamW, stopping on the loss of the whole validation set.

    Features are standardised with the training set's mean and deviation; the returned head has
    the standardisation folded in and takes raw features.

    Args:
        features: of the images whose labels may be used.
        labels: theirs.
        val_features: of the validation set, which chooses the epoch.
        val_labels: theirs.
        classes: number of classes.
        settings: epochs, rates, patience.
        seed: of the order of the samples.
    """
    mean, scale = _standardisation(features)
    x, y = _tensor((features - mean) / scale), torch.from_numpy(labels)
    val_x, val_y = _tensor((val_features - mean) / scale), torch.from_numpy(val_labels)
    head = nn.Linear(x.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    groups = without_decay(head, weight_decay=settings.weight_decay, lr=settings.learning_rate)
    optimizer = torch.optim.AdamW(groups)
    best, best_loss, waited = copy.deepcopy(head.state_dict()), float("inf"), 0
    history = []
    for epoch in range(settings.epochs):
        order = torch.randperm(len(x), generator=seeded(seed, 2, epoch))
        losses = [
            _step(head, optimizer, x[rows], y[rows])
            for rows in torch.split(order, settings.batch_size)
        ]
        with torch.no_grad():
            val_loss = functional.cross_entropy(head(val_x), val_y).item()
        train_loss = float(np.mean(losses))
        history.append({"epoch": epoch + 1, "train_loss": train_loss, "val_loss": val_loss})
        waited += 1
        if val_loss < best_loss:
            best, best_loss, waited = copy.deepcopy(head.state_dict()), val_loss, 0
        if waited >= settings.patience:
            break
    head.load_state_dict(best)
    return Probe(_fold(head, mean, scale), history)


def _step(head: nn.Linear, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> float:
    loss = functional.cross_entropy(head(x), y)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return loss.item()


def _standardisation(
    features: Float32[np.ndarray, "n dim"],
) -> tuple[Float32[np.ndarray, " dim"], Float32[np.ndarray, " dim"]]:
    # A feature that never changes carries nothing: it is left at zero, not divided by zero.
    scale = features.std(axis=0)
    return features.mean(axis=0), np.where(scale > 1e-6, scale, 1).astype(np.float32)


def _tensor(array: Float32[np.ndarray, "n dim"]) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _fold(
    head: nn.Linear, mean: Float32[np.ndarray, " dim"], scale: Float32[np.ndarray, " dim"]
) -> nn.Linear:
    with torch.no_grad():
        weight = head.weight / torch.from_numpy(scale)
        head.bias.sub_(weight @ torch.from_numpy(mean))
        head.weight.copy_(weight)
    return head

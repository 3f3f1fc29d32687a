"""Which epoch of a training is kept."""

import math
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

Weights = dict[str, Tensor]


class SmoothedChoice(Callback):
    """Keeps the smoothed weights of the epoch with the best validation loss, and stops after it.

    Smoothed weights are the mean of those at the ends of the last `smoothing` epochs (Izmailov et
    al. 2018, section 3), or of all epochs while there are fewer. The loss that judges them is their
    own, over the whole validation set, so that what is judged is what is kept. The training goes on
    from its own weights, as if nobody had looked.

    Attributes:
        losses: of the smoothed weights, one an epoch.
        best: the weights to keep, by name; empty as long as no loss was finite.
        best_loss: theirs.
        best_epoch: theirs, from 1.
    """

    def __init__(self, *, smoothing: int, patience: int) -> None:
        self.smoothing, self.patience = smoothing, patience
        self.losses: list[float] = []
        self.best: Weights = {}
        self.best_loss, self.best_epoch = math.inf, 0
        self._window: list[Weights] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stay stopped where a resumed training had stopped already."""
        self._stop_if_spent(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Put the smoothed weights in, for the epoch's validation loss."""
        self.smooth(pl_module)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Judge the epoch that ends, and put its own weights back."""
        self.judge(float(trainer.callback_metrics["val_loss"]), pl_module)
        self._stop_if_spent(trainer)

    def smooth(self, network: nn.Module) -> None:
        """Take in the weights of one more epoch, and leave the smoothed ones in the network."""
        self._window = [*self._window, _copied(network)][-self.smoothing :]
        network.load_state_dict(_mean(self._window))

    def judge(self, loss: float, network: nn.Module) -> None:
        """Take in the smoothed weights' validation loss; the network has its own weights back."""
        self.losses.append(loss)
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, len(self.losses)
            self.best = _copied(network)
        network.load_state_dict(self._window[-1])

    @property
    def spent(self) -> bool:
        """Whether there were `patience` epochs without a better one."""
        return self.best_epoch > 0 and len(self.losses) - self.best_epoch >= self.patience

    @property
    def told(self) -> str:
        """Say what was kept, and why."""
        mean = min(self.smoothing, self.best_epoch)
        weights = f", mean weights of {mean} epochs" if mean > 1 else ""
        return f"epoch {self.best_epoch}, by the validation loss {self.best_loss:.4f}{weights}"

    def _stop_if_spent(self, trainer: Trainer) -> None:
        if self.spent:
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Return the judgement so far, for the checkpoint."""
        names = ("losses", "best", "best_loss", "best_epoch", "_window")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the judgement of a checkpoint."""
        for name, value in state_dict.items():
            setattr(self, name, value)


def _copied(network: nn.Module) -> Weights:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _mean(window: list[Weights]) -> Weights:
    """Return the mean of weights and running statistics; what is counted is that of the last."""
    return {
        name: torch.stack([own[name] for own in window]).mean(dim=0)
        if last.is_floating_point()
        else last
        for name, last in window[-1].items()
    }

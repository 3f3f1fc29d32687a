"""Weights averaged over all steps, the older the less."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from torch import nn

from brainssl.training.choice import SmoothedChoice, Weights
from brainssl.training.trainer import Training


class AveragedChoice(SmoothedChoice):
    """Judges and keeps an exponential average of the weights, in place of the mean over epochs.

    After step n the average is Σₖ d^(n−k) wₖ / Σₖ d^(n−k), of the weights wₖ after each step from
    the first on: the initial ones do not count. d is such that half is forgotten in `half_life`
    epochs. Running statistics are averaged as weights are; what is counted is of the last step.

    Args:
        half_life: in epochs.
        patience: epochs without a better validation loss.
    """

    def __init__(self, *, half_life: float, patience: int) -> None:
        super().__init__(smoothing=1, patience=patience)
        self.half_life = half_life
        self._average: Weights = {}
        self._steps = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any
    ) -> None:
        """Take in the weights of a step, if it was taken."""
        assert isinstance(pl_module, Training)
        if not pl_module.skipped:
            self.average(pl_module, int(trainer.num_training_batches))

    @torch.no_grad()
    def average(self, network: nn.Module, epoch_steps: int) -> None:
        """Take in the weights of a step, of which an epoch has so many."""
        kept = 0.5 ** (1 / (self.half_life * epoch_steps))
        self._steps += 1
        rate = (1 - kept) / (1 - kept**self._steps)
        for name, own in network.state_dict().items():
            if name in self._average and own.is_floating_point():
                # After a resume it comes from the CPU.
                self._average[name] = self._average[name].to(own.device).lerp_(own, rate)
            else:
                self._average[name] = own.detach().clone()

    def smooth(self, network: nn.Module) -> None:
        """Leave the average in the network, whose own weights come back after the judgement."""
        super().smooth(network)
        if self._average:
            network.load_state_dict(self._average)

    @property
    def told(self) -> str:
        """Say what was kept, and why."""
        return f"{super().told}, average weights with a half-life of {self.half_life:g} epochs"

    def state_dict(self) -> dict[str, Any]:
        """Return the judgement and the average so far, for the checkpoint."""
        return super().state_dict() | {"_average": self._average, "_steps": self._steps}

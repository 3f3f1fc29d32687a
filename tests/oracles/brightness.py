"""A small training that one process and two can do: contrastive, with a slow copy and a centre."""

from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from oracles.float64 import in_float64
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.methods.gathering import gather, mean_over_ranks
from brainssl.methods.momentum import follow, momentum_copy
from brainssl.methods.simclr import nt_xent
from brainssl.training.trainer import Training, adamw, without_decay
from brainssl.views.recipes import to_unit


class Brightness(Training):
    """An image and its mirror image attract: the views do not depend on who draws them.

    It learns in float64: AdamW divides small gradients by their own size, rounding included.
    """

    centre: Tensor

    @in_float64()
    def __init__(self, pixels: Tensor) -> None:
        super().__init__(pixels, seed=0)
        torch.manual_seed(0)
        self.online = nn.Sequential(
            nn.Conv2d(1, 8, 3, stride=2, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(72, 6),
        )
        self.teacher = momentum_copy(self.online)
        self.register_buffer("centre", torch.zeros(6))

    @in_float64()
    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        images = to_unit(self.pixels[batch]).double()
        one, two = self.online(torch.cat([images, images.flip(3)])).chunk(2)
        with torch.no_grad():
            taught = self.teacher(images).float()
        self.centre.lerp_(mean_over_ranks(taught.mean(dim=0)), 0.5)
        loss = nt_xent(gather(one), gather(two), temperature=0.5)
        self.log("train_loss", loss, on_step=False, on_epoch=True, sync_dist=True)
        return loss

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        follow(self.teacher, self.online, 0.9)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        groups = without_decay(self.online, weight_decay=0.1, lr=0.01)
        return adamw(self, groups, warmup_epochs=1, epochs=4)


class Diary(Callback):
    """Counts epochs and tells of each; the last process may have had enough."""

    def __init__(self, enough: int = 1000) -> None:
        self.epochs, self.enough = 0, enough

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Training)
        several = trainer.world_size > 1
        assert pl_module.pixels.is_shared() == several  # one copy for all
        assert not any(parameter.is_shared() for parameter in pl_module.parameters())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.epochs == self.enough and trainer.global_rank == trainer.world_size - 1:
            raise BrainsslError("enough for today")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs += 1
        if trainer.is_global_zero:
            assert isinstance(pl_module, Training)
            pl_module.say(f"epoch {self.epochs}")

    def state_dict(self) -> dict[str, Any]:
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.epochs = state_dict["epochs"]

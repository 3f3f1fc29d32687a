"""The one place that calls Lightning: precision, checkpoints, history, progress."""

import logging
import math
import signal
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.utils.data import DataLoader

from brainssl.classifier import device_of
from brainssl.settings import RunSettings
from brainssl.storage import write_atomically

Progress = Callable[[int, int], None]
CHECKPOINT = "last.ckpt"


class History(Callback):
    """Writes one row an epoch to `history.csv`: losses, learning rate, seconds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "train_loss": logged["train_loss"],
                "val_loss": logged.get("val_loss", float("nan")),
                "lr": rate,
                "seconds": round(time.perf_counter() - self._started, 3),
            }
        )
        frame = pd.DataFrame(self.rows)
        write_atomically(self.path, lambda beside: frame.to_csv(beside, index=False))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows of a checkpoint."""
        self.rows = state_dict["rows"]


class Checkpoint(Callback):
    """Saves everything that going on exactly needs, at the end of an epoch.

    Args:
        path: of the checkpoint; replaced atomically.
        every_seconds: the least time between two savings; 0 saves each epoch.
    """

    def __init__(self, path: Path, *, every_seconds: float) -> None:
        self.path, self.every_seconds = path, every_seconds
        self._saved = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, if it is time."""
        if time.monotonic() - self._saved >= self.every_seconds:
            write_atomically(self.path, trainer.save_checkpoint)
            self._saved = time.monotonic()


class Report(Callback):
    """Tells how many optimiser steps are done, of how many."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Tell."""
        self.progress(trainer.global_step, int(trainer.estimated_stepping_batches))


class Training(LightningModule):
    """What pretraining and fine-tuning share: resident pixels and seeded randomness.

    Attributes:
        pixels: every image of the store, uint8 (n, size, size); batches are rows of it.
    """

    def __init__(self, pixels: Tensor, *, seed: int) -> None:
        super().__init__()
        # In a tuple, so that the images are no part of the module or of a checkpoint.
        self._resident = (pixels,)
        self.seed = seed

    @property
    def pixels(self) -> Tensor:
        """The images, on the device where the training runs."""
        return self._resident[0]

    def on_fit_start(self) -> None:
        """Move the images to the device once: the loader then moves only row numbers."""
        self._resident = (self.pixels.to(self.device),)

    def on_train_epoch_start(self) -> None:
        """Seed dropout and the like from the epoch, so that resuming repeats it."""
        torch.manual_seed(self.seed * 100_003 + self.current_epoch)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of the whole gradient.

        Lightning refuses to clip for fused optimisers, because of scaled float16 gradients. Here
        they are bfloat16 or float32 and never scaled.
        """
        if gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)


def fit(
    training: Training,
    batches: DataLoader[Tensor],
    *,
    val_batches: DataLoader[Tensor] | None = None,
    epochs: int,
    clip_norm: float | None,
    run: RunSettings,
    folder: Path,
    checkpoint_seconds: float,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
) -> None:
    """Train, or go on from `folder/last.ckpt` where there is one.

    Writes `history.csv` and `last.ckpt` into `folder`. Going on gives the weights, bit for bit,
    that an uninterrupted run on the same processor gives.
    """
    checkpoint = folder / CHECKPOINT
    callbacks = [*callbacks, History(folder / "history.csv")]
    if progress:
        callbacks.append(Report(progress))
    # Last, so that it saves what the others have noted of the epoch.
    callbacks.append(Checkpoint(checkpoint, every_seconds=checkpoint_seconds))
    training.to(memory_format=torch.channels_last)
    with _quiet():
        trainer = Trainer(
            accelerator="gpu" if device_of(run).type == "cuda" else "cpu",
            devices=1,
            precision=run.precision,
            max_epochs=epochs,
            gradient_clip_val=clip_norm,
            callbacks=list(callbacks),
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        resume = checkpoint if checkpoint.is_file() else None
        with _interruptible(trainer):
            trainer.fit(training, batches, val_batches, ckpt_path=resume, weights_only=True)


def adamw(
    training: Training, groups: list[dict[str, Any]], *, warmup_epochs: float, epochs: int
) -> OptimizerLRScheduler:
    """Return AdamW (fused) and its schedule: linear warm-up, cosine to zero, once a step.

    Args:
        training: inside of a trainer, which knows the number of steps.
        groups: of parameters, each with its own `lr` and `weight_decay`.
        warmup_epochs: epochs of rising rate.
        epochs: in all.
    """
    optimizer = torch.optim.AdamW(groups, fused=training.device.type in ("cpu", "cuda"))
    steps = int(training.trainer.estimated_stepping_batches)
    warmup = round(steps * min(1.0, warmup_epochs / epochs))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: cosine(step, steps=steps, warmup=warmup)
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def without_decay(module: nn.Module, *, weight_decay: float, lr: float) -> list[dict[str, Any]]:
    """Split parameters in two groups: biases and normalisation take no weight decay."""
    weights = [p for p in module.parameters() if p.ndim > 1]
    others = [p for p in module.parameters() if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay, "lr": lr},
        {"params": others, "weight_decay": 0.0, "lr": lr},
    ]


def cosine(step: int, *, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate at `step` (from 0) of `steps`.

    Rises linearly over `warmup` steps, then falls as half a cosine to 0 (Loshchilov & Hutter 2017,
    one cycle without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C be Ctrl-C: Lightning makes an exit of it, and leaves the signal ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit:
        if trainer.interrupted:
            signal.signal(signal.SIGINT, handler)
            raise KeyboardInterrupt from None
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice off the terminal; its errors still come through."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        logger.setLevel(level)

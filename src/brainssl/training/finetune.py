"""Fine-tuning; from fresh weights it is the supervised baseline, with the same budget."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional

from brainssl.data.split import Indices
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder
from brainssl.settings import Settings
from brainssl.settings.sections import FinetuneSettings
from brainssl.training.batches import plain_batches, refuse_alone, seeded, training_batches
from brainssl.training.loggers import MakeLoggers
from brainssl.training.single_pixels import refuse_single_pixels
from brainssl.training.trainer import Training, adamw, fit, without_decay
from brainssl.views.recipes import TABLE2, to_unit

Weights = dict[str, Tensor]


class Finetuning(Training):
    """Encoder and a new head; augmentation on training batches alone."""

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Linear,
        pixels: Tensor,
        labels: Int64[np.ndarray, " n"],
        settings: FinetuneSettings,
        *,
        seed: int,
    ) -> None:
        super().__init__(pixels, seed=seed)
        self.encoder, self.head, self.settings = encoder, head, settings
        self.register_buffer("labels", torch.tensor(labels), persistent=False)

    def on_after_batch_transfer(
        self, batch: Tensor, dataloader_idx: int
    ) -> tuple[Float[Tensor, "n 1 size size"], Int64[Tensor, " n"]]:
        """Turn row numbers into images and labels; only training images are augmented."""
        images = self.pixels[batch]
        if self.trainer.training:
            generator = seeded(self.seed, 3, self.global_step)
            views = TABLE2.draw(images, images.shape[-1], generator)
        else:
            views = to_unit(images)
        return views, self.labels[batch]  # type: ignore[index]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Float[Tensor, ""]:
        """Return the loss of an augmented batch."""
        return self._loss(batch, "train_loss")

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the loss; Lightning averages it over the whole validation set."""
        self._loss(batch, "val_loss")

    def _loss(self, batch: tuple[Tensor, Tensor], name: str) -> Float[Tensor, ""]:
        images, labels = batch
        gamma = self.settings.focal_gamma if self.settings.loss == "focal" else 0.0
        loss = focal_loss(self.head(self.encoder(images)).float(), labels, gamma)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and cosine, the head faster than the encoder."""
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        groups = [
            *without_decay(self.encoder, weight_decay=decay, lr=rate),
            *without_decay(self.head, weight_decay=decay, lr=rate * self.settings.head_factor),
        ]
        epochs = self.trainer.max_epochs or self.settings.epochs
        return adamw(self, groups, warmup_epochs=self.settings.warmup_epochs, epochs=epochs)


def focal_loss(
    logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"], gamma: float
) -> Float[Tensor, ""]:
    """Return the mean of (1 − p)^γ · −ln p of the true class, in nats (Lin et al. 2017, eq. 4).

    With γ = 0 it is the cross-entropy; the larger γ, the less what is learnt already counts.
    """
    loss = functional.cross_entropy(logits, labels, reduction="none")
    if gamma:
        # 1 − p from −ln p, exact where p is nearly 1; the root of 0 has no finite slope.
        loss = (-torch.expm1(-loss)).clamp(min=1e-12) ** gamma * loss
    return loss.mean()


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


def passes(settings: FinetuneSettings, images: int) -> int:
    """Return how often an epoch goes through the labelled images.

    With few labels a pass is a handful of steps: judged after each one, the training would stop
    before it began. So an epoch has at least `min_epoch_steps` optimiser steps.
    """
    steps = max(1, images // settings.batch_size)
    return max(1, math.ceil(settings.min_epoch_steps / steps))


def finetune(
    store: ImageStore,
    rows: Indices,
    val_rows: Indices,
    folder: Path,
    *,
    encoder: Encoder,
    settings: Settings,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
    loggers: MakeLoggers = list,
) -> nn.Linear:
    """Train `encoder` in place, together with a new head that is returned.

    Args:
        store: of the images.
        rows: images whose labels may be used, augmented as in the study's Table 2.
        val_rows: the validation set, which chooses the epoch; never augmented.
        folder: where `history.csv` goes, and a checkpoint for going on, which the caller removes
            when all is done.
        encoder: pretrained, or fresh for the supervised baseline.
        settings: of the whole run.
        seed: of the head's weights, the order and the augmentation.
        progress: called with (optimiser steps done, steps in all).
        loggers: makes the loggers, beside `history.csv`.

    Raises:
        BrainsslError: an image has no label, images are too small for bfloat16 on a processor, or
            the validation loss is never finite.
    """
    refuse_alone(rows)
    labels = store.labels
    if min(labels[rows].min(), labels[val_rows].min()) < 0:
        raise BrainsslError("fine-tuning was given an image without a label: give labelled rows")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 2)
        head = nn.Linear(encoder.dim, len(store.classes))
    refuse_single_pixels(encoder, [store.size], settings.run)
    epochs = settings.finetune.epochs
    choice = SmoothedChoice(
        smoothing=settings.finetune.smoothing, patience=settings.finetune.patience
    )
    pixels = torch.from_numpy(store.images)
    training = Finetuning(encoder, head, pixels, labels, settings.finetune, seed=seed)
    fit(
        training,
        training_batches(
            rows,
            settings.finetune.batch_size,
            seed,
            passes=passes(settings.finetune, len(rows)),
            balance=labels[rows] if settings.finetune.sampling == "balanced" else None,
        ),
        val_batches=plain_batches(val_rows, 4 * settings.finetune.batch_size),
        epochs=epochs,
        clip_norm=settings.finetune.clip_norm,
        run=settings.run,
        folder=folder,
        callbacks=[choice],
        progress=progress,
        loggers=loggers,
    )
    if not choice.best:
        raise BrainsslError(
            "the validation loss was never finite: lower finetune.learning_rate (now "
            f"{settings.finetune.learning_rate:g})"
        )
    training.load_state_dict(choice.best)
    return head

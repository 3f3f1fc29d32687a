"""Fine-tuning; from fresh weights it is the supervised baseline."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int64
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
from brainssl.training.choice import SmoothedChoice
from brainssl.training.loggers import MakeLoggers
from brainssl.training.single_pixels import refuse_single_pixels
from brainssl.training.trainer import Training, adamw, fit, without_decay
from brainssl.views.recipes import TABLE2, to_unit


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
        self.views = TABLE2.stronger(settings.augmentation)
        self.register_buffer("labels", torch.tensor(labels), persistent=False)

    def on_after_batch_transfer(
        self, batch: Tensor, dataloader_idx: int
    ) -> tuple[Float[Tensor, "n 1 size size"], Int64[Tensor, " n"]]:
        """Turn row numbers into images and labels; only training images are augmented."""
        images = self.pixels[batch]
        if self.trainer.training:
            generator = seeded(self.seed, 3, self.global_step)
            views = self.views.draw(images, images.shape[-1], generator)
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
        loss = self.loss_of(self.head(self.encoder(images)).float(), labels)
        self.log(name, loss, on_step=False, on_epoch=True, batch_size=len(images))
        return loss

    def loss_of(
        self, logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        """Return the loss that the settings ask for."""
        gamma = self.settings.focal_gamma if self.settings.loss == "focal" else 0.0
        return focal_loss(logits, labels, gamma)

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


def passes(settings: FinetuneSettings, images: int) -> int:
    """Return how often an epoch goes through the labelled images.

    With few labels a pass is a handful of steps: judged after each one, the training would stop
    before it began. So an epoch has at least `min_epoch_steps` optimiser steps.
    """
    steps = max(1, images // settings.batch_size)
    return max(1, math.ceil(settings.min_epoch_steps / steps))


def supervised_epochs(settings: Settings, labelled: int, unlabelled: int) -> int:
    """Return how many epochs the supervised baseline has, at most.

    With `supervised.equal_steps` it has the optimiser steps of a pretraining on top of its own, as
    a pretrained encoder has had both when it is fine-tuned.

    Args:
        settings: as they hold for the baseline; the pretraining is that of their `pretrain`.
        labelled: images that the baseline learns from.
        unlabelled: images that a pretraining learns from.
    """
    own, before = settings.finetune, settings.pretrain
    if not settings.supervised.equal_steps:
        return own.epochs
    labelled, unlabelled = max(1, labelled), max(1, unlabelled)
    steps = before.epochs * (unlabelled // min(before.batch_size, unlabelled))
    each = passes(own, labelled) * labelled // min(own.batch_size, labelled)
    return own.epochs + math.ceil(steps / each)


@dataclass(frozen=True)
class Tuned:
    """A head that was trained with its encoder, why it is that of this epoch, and how good.

    Attributes:
        head: takes the encoder's features.
        chosen: in words.
        val_loss: the validation loss of what was kept, in nats.
        uniform_loss: the same of an answer that gives every class the same probability; what is
            not below it has learnt less than nothing.
    """

    head: nn.Linear
    chosen: str
    val_loss: float
    uniform_loss: float


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
) -> Tuned:
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
    same = torch.zeros(1, len(store.classes)), torch.zeros(1, dtype=torch.int64)
    return Tuned(head, choice.told, choice.best_loss, training.loss_of(*same).item())

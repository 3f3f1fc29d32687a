"""FixMatch: training with labels, and with pseudo-labels of images whose labels are not used.

Sohn et al. 2020, https://arxiv.org/abs/2001.07685, section 2.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

from brainssl.settings.methods import FixMatchSettings
from brainssl.training.batches import seeded
from brainssl.training.finetuning.mixing import Mixed
from brainssl.training.finetuning.module import Finetuning
from brainssl.views.geometry import Geometry
from brainssl.views.recipes import ViewRecipe
from brainssl.views.sending import sent

WEAK = ViewRecipe(geometry=Geometry(flip=0.5, shift=0.125, fill="border"))
"""The original's weak views: flips, and shifts by up to an eighth of the side."""


@dataclass(frozen=True)
class Both:
    """A labelled batch, and two views of images without their labels.

    Attributes:
        labelled: as fine-tuning has it.
        rows: of the other images, in the store.
        weak: their weak views, which make pseudo-labels.
        strong: their strong views, which learn them.
    """

    labelled: Mixed
    rows: Int64[Tensor, " m"]
    weak: Float[Tensor, "m 1 size size"]
    strong: Float[Tensor, "m 1 size size"]


class FixMatch(Finetuning):
    """Fine-tuning with a second loss: of strong views, by what is sure of weak ones.

    Args:
        unlabelled: rows of the images whose labels are not used; they may hold the labelled ones.
        fixmatch: threshold, ratio and weight.
        strong: recipe of the strong views.
        rest: as for `Finetuning`.
    """

    def __init__(
        self,
        *rest: Any,
        unlabelled: Int64[Tensor, " n"],
        fixmatch: FixMatchSettings,
        strong: ViewRecipe,
        **named: Any,
    ) -> None:
        super().__init__(*rest, **named)
        self.unlabelled, self.fixmatch, self.strong = unlabelled, fixmatch, strong
        self._counts = torch.zeros(4, dtype=torch.int64)

    def on_train_epoch_start(self) -> None:
        """Begin to count the epoch's pseudo-labels."""
        super().on_train_epoch_start()
        self._counts = torch.zeros(4, dtype=torch.int64, device=self.device)

    def on_after_batch_transfer(  # type: ignore[override]
        self, batch: Tensor, dataloader_idx: int
    ) -> Both | Mixed | tuple[Tensor, Tensor]:
        """Turn row numbers into labelled images, and draw others beside them."""
        labelled = super().on_after_batch_transfer(batch, dataloader_idx)
        if not isinstance(labelled, Mixed):
            return labelled
        # By the step and not by a running generator: a resumed run draws the same.
        size, step = self.fixmatch.ratio * len(batch), self.global_step
        rows = sent(turn(self.unlabelled, size, self.seed, step), batch.device)
        images, generator = self.pixels[rows], seeded(self.seed, 9, step)
        weak, strong = (
            recipe.draw(images, images.shape[-1], generator) for recipe in (WEAK, self.strong)
        )
        return Both(labelled, rows, weak, strong)

    def training_step(  # type: ignore[override]
        self, batch: Both, batch_idx: int
    ) -> Float[Tensor, ""]:
        """Return the loss of the labelled images plus λ times that of the strong views.

        Labelled images and strong views go through the network as one batch, weak views as another.
        All are in the statistics of BatchNorm, as in the original.
        """
        count = len(batch.labelled.images)
        together = torch.cat([batch.labelled.images, batch.strong])
        logits = self.head(self.encoder(together)).float()
        # After the pass with gradients: autocast keeps the weights that it has rounded, and in
        # older PyTorch those first rounded in here would pass no gradient on.
        with torch.no_grad():
            guesses, sure = pseudo_labels(
                self.head(self.encoder(batch.weak)), self.fixmatch.threshold
            )
        loss = self.mixed_loss(logits[:count], batch.labelled)
        loss = loss + self.fixmatch.weight * pseudo_loss(logits[count:], guesses, sure)
        self._count(guesses, sure, self.labels[batch.rows])  # type: ignore[index]
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=count)
        return loss

    def _count(
        self, guesses: Int64[Tensor, " m"], sure: Bool[Tensor, " m"], labels: Int64[Tensor, " m"]
    ) -> None:
        # Labels are looked at here alone, after the loss: nothing depends on it.
        known = sure & (labels >= 0)
        right = known & (guesses == labels)
        self._counts += torch.stack([torch.ones_like(sure), sure, known, right]).sum(dim=1)

    def noted(self) -> dict[str, float]:
        """Return the share of images with a pseudo-label, and of those the share that is right.

        The latter is of images whose label is known to us, though not to the training; NaN where
        there is none.
        """
        seen, sure, known, right = self._counts.tolist()
        return {
            "pseudo_share": sure / seen if seen else math.nan,
            "pseudo_accuracy": right / known if known else math.nan,
        }


def turn(rows: Int64[Tensor, " n"], size: int, seed: int, step: int) -> Int64[Tensor, " m"]:
    """Return the rows of a step, of an endless series of passes through them, each shuffled anew.

    Args:
        rows: to draw from, on the CPU.
        size: how many a step takes; of fewer rows, all of them.
        seed: of the orders.
        step: optimiser steps done; rows depend on nothing that was drawn before.
    """
    size = min(size, len(rows))
    first, place = divmod(step * size, len(rows))
    passes = 1 if place + size <= len(rows) else 2
    orders = [
        torch.randperm(len(rows), generator=seeded(seed, 8, first + n)) for n in range(passes)
    ]
    return rows[torch.cat(orders)[place : place + size]]


def pseudo_labels(
    logits: Float[Tensor, "m classes"], threshold: float
) -> tuple[Int64[Tensor, " m"], Bool[Tensor, " m"]]:
    """Return the most probable class of each image, and whether it is sure enough to count.

    Args:
        logits: of the weak views.
        threshold: τ; a class counts whose probability is not below it.
    """
    probability, guesses = logits.float().softmax(dim=1).max(dim=1)
    return guesses, probability >= threshold


def pseudo_loss(
    logits: Float32[Tensor, "m classes"], guesses: Int64[Tensor, " m"], sure: Bool[Tensor, " m"]
) -> Float32[Tensor, ""]:
    """Return the cross-entropy of strong views with pseudo-labels (equation 4), in nats.

    It is divided by the number of all images, not of those that count: few sure ones weigh little.

    Args:
        logits: of the strong views.
        guesses: their pseudo-labels.
        sure: which of them count.
    """
    losses = functional.cross_entropy(logits, guesses, reduction="none")
    return torch.where(sure, losses, 0.0).mean()

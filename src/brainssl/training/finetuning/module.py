"""What fine-tuning does in a step."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from brainssl.models.encoder import Encoder
from brainssl.settings.sections import FinetuneSettings
from brainssl.training.batches import seeded
from brainssl.training.finetuning.layer_rates import layer_groups
from brainssl.training.finetuning.losses import classification_loss
from brainssl.training.finetuning.mixing import Mixed, mixed
from brainssl.training.trainer import Training, adamw, without_decay
from brainssl.views.recipes import TABLE2, ViewRecipe, to_unit


class Finetuning(Training):
    """Encoder and a head; augmentation, mixing and weights of classes on training batches alone."""

    def __init__(
        self,
        encoder: Encoder,
        head: nn.Linear,
        pixels: Tensor,
        labels: Int64[np.ndarray, " n"],
        settings: FinetuneSettings,
        *,
        seed: int,
        recipe: ViewRecipe = TABLE2,
        weights: Float32[Tensor, " classes"] | None = None,
    ) -> None:
        super().__init__(pixels, seed=seed)
        self.encoder, self.head, self.settings = encoder, head, settings
        self.views = recipe.stronger(settings.augmentation)
        self.register_buffer("labels", torch.tensor(labels), persistent=False)
        self.register_buffer("weights", weights, persistent=False)

    def on_after_batch_transfer(
        self, batch: Tensor, dataloader_idx: int
    ) -> Mixed | tuple[Float[Tensor, "n 1 size size"], Int64[Tensor, " n"]]:
        """Turn row numbers into images and labels; only training images are changed."""
        images, labels = self.pixels[batch], self.labels[batch]  # type: ignore[index]
        if not self.trainer.training:
            return to_unit(images), labels
        views = self.views.draw(images, images.shape[-1], seeded(self.seed, 3, self.global_step))
        return mixed(
            views,
            labels,
            mixup=self.settings.mixup,
            cutmix=self.settings.cutmix,
            generator=seeded(self.seed, 4, self.global_step),
        )

    def training_step(self, batch: Mixed, batch_idx: int) -> Float[Tensor, ""]:
        """Return the loss of an augmented batch; of mixed images, that of both labels."""
        logits = self.head(self.encoder(batch.images)).float()
        loss = self.mixed_loss(logits, batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(logits))
        return loss

    def mixed_loss(self, logits: Float[Tensor, "n classes"], batch: Mixed) -> Float[Tensor, ""]:
        """Return the training loss of what was said of a batch."""
        loss = self._training_loss(logits, batch.labels)
        if batch.share == 1:
            return loss
        return batch.share * loss + (1 - batch.share) * self._training_loss(logits, batch.others)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the plain loss; Lightning averages it over the whole validation set."""
        images, labels = batch
        loss = self.loss_of(self.head(self.encoder(images)).float(), labels)
        self.log("val_loss", loss, on_step=False, on_epoch=True, batch_size=len(images))

    def loss_of(
        self, logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        """Return the loss that the settings ask for, without smoothing and weights of classes."""
        return classification_loss(logits, labels, gamma=self._gamma)

    def _training_loss(
        self, logits: Float[Tensor, "n classes"], labels: Int64[Tensor, " n"]
    ) -> Float[Tensor, ""]:
        return classification_loss(
            logits,
            labels,
            gamma=self._gamma,
            weights=self.weights,  # type: ignore[arg-type]
            smoothing=self.settings.label_smoothing,
        )

    @property
    def _gamma(self) -> float:
        return self.settings.focal_gamma if self.settings.loss == "focal" else 0.0

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and cosine, the head faster than the encoder."""
        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        if self.settings.layer_decay < 1:
            groups = layer_groups(
                self.encoder, weight_decay=decay, rate=rate, decay=self.settings.layer_decay
            )
        else:
            groups = without_decay(self.encoder, weight_decay=decay, lr=rate)
        groups += without_decay(self.head, weight_decay=decay, lr=rate * self.settings.head_factor)
        epochs = self.trainer.max_epochs or self.settings.epochs
        return adamw(self, groups, warmup_epochs=self.settings.warmup_epochs, epochs=epochs)

"""Self-supervised pretraining."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.encoders import Encoder, build_encoder, save_encoder
from brainssl.errors import BrainsslError
from brainssl.methods import Method, build_method
from brainssl.settings import Settings
from brainssl.storage import begun_for, whole_folder, working_folder, write_json
from brainssl.training.batches import seeded, training_batches
from brainssl.training.trainer import CHECKPOINT, Training, adamw, fit, without_decay
from brainssl.views.recipes import ViewRecipe


class Pretraining(Training):
    """Draws views of a batch on the device and lets the method judge them."""

    def __init__(self, method: Method, pixels: Tensor, settings: Settings, *, seed: int) -> None:
        super().__init__(pixels, seed=seed)
        self.method = method
        self.settings = settings
        self.recipe = ViewRecipe.of(settings.views.model_dump())

    def on_after_batch_transfer(
        self, batch: Tensor, dataloader_idx: int
    ) -> list[Float[Tensor, "n 1 size size"]]:
        """Turn row numbers into views: here, because autocast does not reach this hook."""
        # By the step and not by a running generator: a resumed run draws the same views.
        generator = seeded(self.seed, 1, self.global_step)
        images, size = self.pixels[batch], self.settings.encoder.image_size
        return [self.recipe.draw(images, size, generator) for _ in range(self.method.views)]

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Float[Tensor, ""]:
        """Return the loss of the views."""
        loss = self.method.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch[0]))
        return loss

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Let the method follow the optimiser's step."""
        self.method.after_step(self.global_step, int(self.trainer.estimated_stepping_batches))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with warm-up and cosine over all of the method's parameters."""
        chosen = self.settings.pretrain
        groups = without_decay(
            self.method, weight_decay=chosen.weight_decay, lr=chosen.learning_rate
        )
        return adamw(self, groups, warmup_epochs=chosen.warmup_epochs, epochs=chosen.epochs)


def pretrain(
    store: ImageStore,
    split: Split,
    out: Path,
    *,
    method: str,
    settings: Settings,
    seed: int = 0,
    resume: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Encoder:
    """Pretrain an encoder without labels, on the training set and the unlabelled images of a split.

    Args:
        store: of the images; its size must be `settings.encoder.image_size`.
        split: of the store; its validation and test sets are not touched.
        out: folder that will hold `encoder.safetensors`, `history.csv`, `settings.json` and
            `split.json`, so that whoever measures the encoder keeps to the same test set.
        method: a name of `brainssl.methods.METHODS`.
        settings: what to do.
        seed: of the initial weights, the order and the views.
        resume: go on from the last finished epoch of a killed run, exactly; where there is none,
            begin.
        progress: called with (optimiser steps done, steps in all).

    Raises:
        BrainsslError: `out` exists, the run to be resumed had other settings or data, or the
            weights are no longer finite.
    """
    facts = {
        "method": method,
        "seed": seed,
        "protocol": split.protocol,
        "split_digest": split.digest,
        "store": store.checksum,
    }
    request = facts | {"settings": settings.model_dump(mode="json")}
    if resume and begun_for(out) not in (None, request):
        raise BrainsslError(
            f"the unfinished run at {working_folder(out)} has other settings or data: give it "
            "those, or leave out --resume to begin anew"
        )
    rows = split.pretraining(store.manifest)
    encoder = build_encoder(**settings.encoder.model_dump(), seed=seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)  # the heads' weights, apart from the encoder's
        learner = build_method(method, encoder, settings)
    training = Pretraining(learner, torch.from_numpy(store.images), settings, seed=seed)
    with whole_folder(out, resume=resume, request=request) as folder:
        fit(
            training,
            training_batches(rows, settings.pretrain.batch_size, seed),
            epochs=settings.pretrain.epochs,
            clip_norm=settings.pretrain.clip_norm,
            run=settings.run,
            folder=folder,
            checkpoint_seconds=0,
            progress=progress,
        )
        if not all(torch.isfinite(tensor).all() for tensor in encoder.state_dict().values()):
            raise BrainsslError(
                "pretraining has diverged: lower pretrain.learning_rate (now "
                f"{settings.pretrain.learning_rate:g})"
            )
        encoder.facts = facts | {"images": len(rows)}
        save_encoder(encoder, folder / "encoder.safetensors")
        split.save(folder / "split.json")
        write_json(folder / "settings.json", settings.model_dump(mode="json"))
        (folder / CHECKPOINT).unlink()
    return encoder.eval()

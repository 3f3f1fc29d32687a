"""Self-supervised pretraining."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from brainssl.data.indices import Indices
from brainssl.data.label_fractions import label_subset
from brainssl.data.manifest import labels_tell_sequences
from brainssl.data.marks import joined
from brainssl.data.shots import LabelFraction
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import begun_for, whole_folder, working_folder, write_json
from brainssl.hardware.device import precision_of
from brainssl.methods import METHODS, Method, build_method
from brainssl.methods.method import Crop, Moment
from brainssl.models.encoder import Encoder, build_encoder, save_encoder
from brainssl.settings import LABELLED_METHODS, Settings
from brainssl.settings.starts import RANDOM
from brainssl.training.batches import refuse_alone, seeded, training_batches
from brainssl.training.loggers import build_loggers
from brainssl.training.positives import Partners
from brainssl.training.requests import START, as_before, as_begun
from brainssl.training.sentinel import COLLAPSE, Sentinel, Watched
from brainssl.training.single_pixels import refuse_single_pixels
from brainssl.training.starting import refuse_more_labels, refuse_seen_start
from brainssl.training.trainer import CHECKPOINT, Training, adamw, fit, without_decay
from brainssl.views.recipes import ViewRecipe, as_tensor


class Pretraining(Training):
    """Draws views of a batch on the device and lets the method judge them."""

    def __init__(
        self,
        method: Method,
        crops: Sequence[Crop],
        pixels: Tensor,
        settings: Settings,
        *,
        seed: int,
        partners: Partners | None = None,
        classes: Int64[Tensor, " n"] | None = None,
    ) -> None:
        super().__init__(pixels, seed=seed)
        # In a tuple, for the same reason as the images.
        self._beside: tuple[Partners | None, Tensor | None] = (partners, classes)
        self.method, self.settings = method, settings
        size, recipe = settings.encoder.image_size, ViewRecipe.of(settings.views.model_dump())
        sides = [crop.side(size, method.encoder.patch) for crop in crops]
        self.views = [(recipe.cropped(crop.area), s) for crop, s in zip(crops, sides, strict=True)]

    def on_fit_start(self) -> None:
        """Move the images, and what is known of them, to the device."""
        super().on_fit_start()
        partners, classes = self._beside
        self._beside = (
            None if partners is None else partners.to(self.device),
            None if classes is None else classes.to(self.device),
        )

    def on_after_batch_transfer(
        self, batch: Tensor, dataloader_idx: int
    ) -> list[Float[Tensor, "n 1 _ _"]]:
        """Turn row numbers into views: here, because autocast does not reach this hook."""
        # By the step and not by a running generator: a resumed run draws the same views.
        process = [self.global_rank] if self.trainer.world_size > 1 else []
        generator = seeded(self.seed, 1, self.global_step, *process)
        partners, classes = self._beside
        images = [self.pixels[batch]]
        if partners is not None:
            drawn = partners.draw(batch, seed=self.seed, step=self.global_step)
            images.append(self.pixels[drawn])
            self.method.pools = partners.pool[batch]
        if classes is not None:
            self.method.classes = classes[batch]
        # Of a pair the views take turns: the first is of the image, the second of its partner.
        return [
            recipe.draw(images[turn % len(images)], size, generator)
            for turn, (recipe, size) in enumerate(self.views)
        ]

    def on_train_batch_start(self, *args: Any, **kwargs: Any) -> None:
        """Tell the method where the training stands."""
        self.method.moment = Moment(
            step=self.global_step - self.skipped_steps,
            steps=int(self.trainer.estimated_stepping_batches),
            epoch_steps=int(self.trainer.num_training_batches),
        )

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Float[Tensor, ""]:
        """Return the loss of the views."""
        loss = self.method.loss(batch)
        n = len(batch[0])
        # Over all processes: of a method that does not gather, each sees the loss of its share.
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=n, sync_dist=True)
        return loss

    def on_after_backward(self) -> None:
        """Let the method change its gradients."""
        self.method.after_backward()

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        """Let the method follow the optimiser's step, if it was taken."""
        if not self.skipped:
            self.method.after_step()

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
    label_fraction: LabelFraction | None = None,
    seed: int = 0,
    resume: bool = False,
    stop_on_collapse: bool = False,
    loggers: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> Encoder:
    """Pretrain an encoder on the training set and the unlabelled images of a split.

    It learns without labels, but for methods of `LABELLED_METHODS`: they see those of the training
    set that the label fraction allows. All others of training and validation images are read by the
    collapse sentinel alone, which tells how well nearest neighbours agree; nothing is chosen by it.

    Args:
        store: of the images; its size must be `settings.encoder.image_size`.
        split: of the store; its test set is not touched.
        out: folder that will hold `encoder.safetensors`, `history.csv`, `collapse.json`,
            `settings.json` and `split.json`, so that whoever measures the encoder keeps to the
            same test set.
        method: a name of `brainssl.methods.METHODS`.
        settings: what to do; what holds for the method is taken out of them.
        label_fraction: share of the training labels that such a method learns from, or shots; None:
            all of them. Other methods have none.
        seed: of the initial weights, the order, the views and the choice of labels.
        resume: go on from the last checkpoint of a killed run, exactly; where there is none, begin.
        stop_on_collapse: end with an error when the sentinel says that the method has collapsed.
        loggers: names of `brainssl.training.loggers.LOGGERS`, beside `history.csv`.
        progress: called with (optimiser steps done, steps in all).
        say: told values that depend on the data, and warnings.

    Raises:
        BrainsslError: `out` exists, the run to be resumed had other settings or data, views are too
            small for bfloat16 on a processor, pairs of one patient are asked for where none is
            known, the method learns from no labels and a fraction is given, the weights are no
            longer finite, or the method has collapsed and was to stop.
    """
    facts: dict[str, Any] = {}
    if method in LABELLED_METHODS:
        facts["label_fraction"] = 1.0 if label_fraction is None else label_fraction
    elif label_fraction is not None:
        raise BrainsslError(
            f"{method} learns from no labels: leave out --label-fraction, or choose one of "
            f"{', '.join(sorted(LABELLED_METHODS))}"
        )
    settings = settings.of(method)
    chosen, told = settings.section(method), say or (lambda line: None)
    facts |= {
        "method": method,
        "seed": seed,
        "protocol": split.protocol,
        "split_digest": split.digest,
        "store": store.checksum,
        "reader": store.reader,
        **store.told_pixels,
    }
    encoder = build_encoder(**settings.encoder.model_dump(), seed=seed)
    precision = precision_of(settings.run, encoder)
    refuse_seen_start(encoder, store, split)
    if "label_fraction" in facts:
        refuse_more_labels(encoder, store, split, facts["label_fraction"], seed)
    request = facts | {"settings": settings.written([method]), "precision": precision.name}
    if settings.encoder.weights != RANDOM:  # those the settings and the seed tell
        told(str(encoder.start))
        request[START] = encoder.digest
    request = as_begun(out, request)
    before = as_before(method, [method])
    begun = begun_for(out, request, before) if resume else None
    if begun is not None and begun | {"precision": precision.name} != request:
        raise BrainsslError(
            f"the unfinished run at {working_folder(out)} has other settings or data, or other "
            "starting weights: give it those, or leave out --resume to begin anew"
        )
    if begun is not None and begun != request:
        told(f"another machine began this in another precision: begun anew in {precision.name}")
    rows = split.pretraining(store.manifest)
    groups = store.manifest["group"].to_numpy()[rows] if settings.pretrain.one_per_group else None
    refuse_alone(rows)
    classes = _classes_used(store, split, facts, seed)
    partners = _partners(store, rows, settings, classes, told)
    if partners is not None:
        facts["paired"] = partners.paired
    batches = training_batches(rows, settings.pretrain.batch_size, seed, groups=groups)
    resolved = chosen.resolved(len(batches))
    for name, (value, reason) in resolved.items():
        told(f"{method}.{name} = {value:.5g}: {reason}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)  # the heads' weights, apart from the encoder's
        learner = build_method(method, encoder, chosen)
    pixels, crops = as_tensor(store.images), learner.crops(chosen)
    refuse_views(encoder, method, settings)
    training = Pretraining(
        learner,
        crops,
        pixels,
        settings,
        seed=seed,
        partners=partners,
        classes=None if classes is None else torch.from_numpy(classes),
    )
    with whole_folder(out, resume=resume, request=request, defaults=before) as folder:
        watched = Watched.of(store, split, images=settings.pretrain.watch_images, seed=seed)
        sentinel = Sentinel(
            folder / COLLAPSE,
            method,
            watched,
            ViewRecipe.of(settings.views.model_dump()),
            size=settings.encoder.image_size,
            seed=seed,
            stop=stop_on_collapse,
        )
        fit(
            training,
            batches,
            epochs=settings.pretrain.epochs,
            clip_norm=settings.pretrain.clip_norm,
            run=settings.run,
            folder=folder,
            callbacks=[sentinel],
            loggers=partial(build_loggers, loggers, folder, out.name),
            progress=progress,
            say=say,
            devices=settings.run.devices,
        )
        trained = learner.trained
        if not all(torch.isfinite(tensor).all() for tensor in trained.state_dict().values()):
            raise BrainsslError(
                "pretraining has diverged: lower pretrain.learning_rate (now "
                f"{settings.pretrain.learning_rate:g})"
            )
        trained.facts = facts | {"images": len(rows)} | encoder.starting_weights
        trained.learnt = joined(encoder.learnt, store.marks[rows])
        save_encoder(trained, folder / "encoder.safetensors")
        split.save(folder / "split.json")
        reasons = {name: {"value": value, "reason": why} for name, (value, why) in resolved.items()}
        reasons["run.precision"] = {"value": precision.name, "reason": precision.reason}
        write_json(folder / "settings.json", settings.written([method]) | {"resolved": reasons})
        (folder / CHECKPOINT).unlink()
    return trained.eval().requires_grad_()  # what was frozen here need not stay so


def _partners(
    store: ImageStore,
    rows: Indices,
    settings: Settings,
    classes: Int64[np.ndarray, " n"] | None,
    told: Callable[[str], object],
) -> Partners | None:
    """Return whose second view may be of another slice; None where each is of its own."""
    kind = settings.pretrain.positives
    if kind == "image":
        return None
    partners = Partners.of(store.manifest, rows, kind, classes=classes, families=store.families)
    told(f"pretrain.positives: {partners.paired:,} of {len(rows):,} images have a partner")
    if labels_tell_sequences(store.manifest.iloc[rows], store.families):
        told(
            "pretrain.positives: sequences are those of the labels, which are not read: partners "
            "may be of two sequences"
        )
    return partners


def refuse_views(encoder: Encoder, method: str, settings: Settings) -> None:
    """Refuse views of a pretraining that a network does not take, or would learn wrongly from.

    Args:
        encoder: to be pretrained.
        method: a name of `brainssl.methods.METHODS`.
        settings: as they hold for the method.

    Raises:
        BrainsslError: local crops are of another size than a network for images of one size takes,
            or views are too small for bfloat16 on a processor.
    """
    size = settings.encoder.image_size
    crops = METHODS[method].crops(settings.section(method))
    sides = {crop.side(size, encoder.patch) for crop in crops}
    for side in sides - {size}:
        try:
            encoder.width_at(side)
        except BrainsslError:
            raise BrainsslError(
                f"{encoder.name} takes images of {encoder.image_size} px and no local crops of "
                f"{side} px: set {method}.local_crops=0, or choose another encoder.name"
            ) from None
    refuse_single_pixels(encoder, sides, settings.run)


def _classes_used(
    store: ImageStore, split: Split, facts: dict[str, Any], seed: int
) -> Int64[np.ndarray, " n"] | None:
    """Return the class of each training image whose label may be used, -1 of all others."""
    if "label_fraction" not in facts:
        return None
    used = label_subset(store.manifest, split, facts["label_fraction"], seed=seed)
    classes = np.full(len(store.labels), -1, np.int64)
    classes[used] = store.labels[used]
    return classes

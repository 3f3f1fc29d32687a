"""Fine-tuning; from fresh weights it is the supervised baseline, or FixMatch."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from brainssl.data.indices import Indices
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder
from brainssl.settings import Settings
from brainssl.settings.sections import FinetuneSettings
from brainssl.training.batches import plain_batches, refuse_alone, training_batches
from brainssl.training.choice import SmoothedChoice
from brainssl.training.finetuning.averaging import AveragedChoice
from brainssl.training.finetuning.fixmatch import FixMatch
from brainssl.training.finetuning.losses import class_weights
from brainssl.training.finetuning.module import Finetuning
from brainssl.training.finetuning.start import first_head, freeze_statistics, settle_statistics
from brainssl.training.loggers import MakeLoggers
from brainssl.training.single_pixels import refuse_single_pixels
from brainssl.training.trainer import fit
from brainssl.views.recipes import TABLE2, ViewRecipe, as_tensor


def passes(settings: FinetuneSettings, images: int) -> int:
    """Return how often an epoch goes through the labelled images.

    With few labels a pass is a handful of steps: judged after each one, the training would stop
    before it began. So an epoch has at least `min_epoch_steps` optimiser steps.
    """
    steps = max(1, images // settings.batch_size)
    return max(1, math.ceil(settings.min_epoch_steps / steps))


def supervised_epochs(settings: Settings, labelled: int, unlabelled: int) -> int:
    """Return how many epochs the supervised baseline has, at most; FixMatch has the same.

    With `supervised.equal_steps` it has the optimiser steps of a pretraining on top of its own, as
    a pretrained encoder has had both when it is fine-tuned.

    Args:
        settings: as they hold for the one or the other; the pretraining is that of their
            `pretrain`.
        labelled: images that it learns from with their labels.
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
    unlabelled: Indices | None = None,
) -> Tuned:
    """Train `encoder` in place, together with a head that is returned.

    Args:
        store: of the images.
        rows: images whose labels may be used, augmented by `recipe_of` the settings.
        val_rows: the validation set, which chooses the epoch; never augmented.
        folder: where `history.csv` goes, and a checkpoint for going on, which the caller removes
            when all is done.
        encoder: pretrained, or fresh for the supervised baseline.
        settings: of the whole run.
        seed: of the head's weights, the order and the augmentation.
        progress: called with (optimiser steps done, steps in all).
        loggers: makes the loggers, beside `history.csv`.
        unlabelled: images from which FixMatch learns without their labels, of the training set too;
            None: there is no FixMatch.

    Raises:
        BrainsslError: an image has no label, images are too small for bfloat16 on a processor, the
            encoder has no layers to tell apart, or the validation loss is never finite.
    """
    refuse_alone(rows)
    labels = store.labels
    if min(labels[rows].min(), labels[val_rows].min()) < 0:
        raise BrainsslError("fine-tuning was given an image without a label: give labelled rows")
    chosen = settings.finetune
    refuse_single_pixels(encoder, [store.size], settings.run)
    if chosen.freeze_batchnorm or chosen.head_start == "probe":
        settle_statistics(encoder, store, rows, settings)
    head = first_head(encoder, store, rows, val_rows, settings, seed)
    choice = _choice(chosen)
    learns: Callable[..., Finetuning] = Finetuning
    if unlabelled is not None:
        learns = partial(
            FixMatch,
            unlabelled=torch.from_numpy(unlabelled),
            fixmatch=settings.fixmatch,
            strong=ViewRecipe.of(settings.views.model_dump()),
        )
    training = learns(
        encoder,
        head,
        as_tensor(store.images),
        labels,
        chosen,
        seed=seed,
        recipe=recipe_of(settings),
        weights=class_weights(labels[rows], len(store.classes), chosen.class_weights),
    )
    if chosen.freeze_batchnorm:
        freeze_statistics(encoder)
    fit(
        training,
        training_batches(
            rows,
            chosen.batch_size,
            seed,
            passes=passes(chosen, len(rows)),
            balance=labels[rows] if chosen.sampling == "balanced" else None,
        ),
        val_batches=plain_batches(val_rows, 4 * chosen.batch_size),
        epochs=chosen.epochs,
        clip_norm=chosen.clip_norm,
        run=settings.run,
        folder=folder,
        callbacks=[choice],
        progress=progress,
        loggers=loggers,
    )
    if not choice.best:
        raise BrainsslError(
            "the validation loss was never finite: lower finetune.learning_rate (now "
            f"{chosen.learning_rate:g})"
        )
    training.load_state_dict(choice.best)
    same = torch.zeros(1, len(store.classes)), torch.zeros(1, dtype=torch.int64)
    return Tuned(head, choice.told, choice.best_loss, training.loss_of(*same).item())


def recipe_of(settings: Settings) -> ViewRecipe:
    """Return how training images are augmented, before `finetune.augmentation` makes it stronger.

    It is that of the study's Table 2, or the one of pretraining's views.
    """
    if settings.finetune.views == "table2":
        return TABLE2
    return ViewRecipe.of(settings.views.model_dump())


def _choice(settings: FinetuneSettings) -> SmoothedChoice:
    if settings.average_half_life:
        return AveragedChoice(half_life=settings.average_half_life, patience=settings.patience)
    return SmoothedChoice(smoothing=settings.smoothing, patience=settings.patience)

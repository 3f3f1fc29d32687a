"""Where a fine-tuning begins: statistics that a fresh encoder lacks, and a head that knows it."""

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from brainssl.data.indices import Indices
from brainssl.data.store import ImageStore
from brainssl.hardware.device import device_of
from brainssl.models.classifier import run_in_batches
from brainssl.models.encoder import Encoder
from brainssl.settings import Settings
from brainssl.training.batchnorm import estimate_statistics
from brainssl.training.probe import Labelled, fit_probe


def settle_statistics(
    encoder: Encoder, store: ImageStore, rows: Indices, settings: Settings
) -> None:
    """Estimate the BatchNorm statistics of an encoder with drawn weights; all others have theirs.

    Args:
        encoder: changed in place, and moved to where it is trained.
        store: of the images.
        rows: images of the training, seen as they are.
        settings: say whether an encoder that was not pretrained has drawn weights.
    """
    encoder.to(device_of(settings.run))
    if not encoder.facts and settings.encoder.weights == "random":
        estimate_statistics(encoder, store.images, rows)


def first_head(
    encoder: Encoder,
    store: ImageStore,
    rows: Indices,
    val_rows: Indices,
    settings: Settings,
    seed: int,
) -> nn.Linear:
    """Return the head that `finetune.head_start` asks for: drawn, or the encoder's linear probe.

    A drawn head would first change features that fit already (Kumar et al. 2022). The probe is that
    of the settings, on the images as they are, its standardisation folded in.

    Args:
        encoder: left as it is.
        store: of the images.
        rows: of the training.
        val_rows: which choose the penalty.
        settings: of fine-tuning and of the probe.
        seed: of drawn weights, or of the order where the probe takes steps.

    Raises:
        BrainsslError: the features are not finite.
    """
    classes = len(store.classes)
    if settings.finetune.head_start != "probe":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 2)
            return nn.Linear(encoder.dim, classes)
    parts = [
        Labelled(run_in_batches(encoder, store.images, own), store.labels[own])
        for own in (rows, val_rows)
    ]
    return fit_probe(*parts, classes=classes, settings=settings.probe, seed=seed).head


def freeze_statistics(network: nn.Module) -> None:
    """Let every BatchNorm normalise by its running statistics, and leave them as they are.

    Scale and shift learn on. It lasts as long as nobody puts the network into another mode.
    """
    for norm in network.modules():
        if isinstance(norm, _BatchNorm):
            norm.eval()

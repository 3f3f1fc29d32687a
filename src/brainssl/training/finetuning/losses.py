"""What a training with labels minimises: cross-entropy or focal loss, weights of classes."""

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

from brainssl.settings.sections import ClassWeights

BETA = 0.99
"""Of the effective number of images: it grows to 100 at most. Nearer to 1 it would be the number
itself in collections of a few hundred images a class, and `effective` would be `inverse`."""


def classification_loss(
    logits: Float[Tensor, "n classes"],
    labels: Int64[Tensor, " n"],
    *,
    gamma: float = 0.0,
    weights: Float[Tensor, " classes"] | None = None,
    smoothing: float = 0.0,
) -> Float[Tensor, ""]:
    """Return the mean over the images of w · (1 − p)^γ · −ln p of the true class, in nats.

    With γ = 0 it is the cross-entropy, otherwise the focal loss (Lin et al. 2017, equations 4 and
    5); the larger γ, the less what is learnt already counts. It is divided by the number of images,
    not by the sum of their weights.

    Args:
        logits: of the images.
        labels: their classes.
        gamma: from 0.
        weights: of the classes; None: all 1.
        smoothing: ε; 1 − ε + ε/K of a label is its own class's and ε/K that of each other one
            (Szegedy et al. 2016, section 7), each with the weight of its class. For γ = 0 alone.
    """
    if not gamma:
        return functional.cross_entropy(
            logits, labels, weights, reduction="none", label_smoothing=smoothing
        ).mean()
    loss = functional.cross_entropy(logits, labels, reduction="none")
    # 1 − p from −ln p, exact where p is nearly 1; the root of 0 has no finite slope.
    loss = (-torch.expm1(-loss)).clamp(min=1e-12) ** gamma * loss
    return (loss if weights is None else weights[labels] * loss).mean()


def class_weights(
    labels: Int64[np.ndarray, " n"], classes: int, kind: ClassWeights
) -> Float32[Tensor, " classes"] | None:
    """Return how much an image of each class counts; 1 in the mean over the images.

    `inverse` is proportional to 1 / n, n the number of images of the class: all classes count the
    same together. `effective` is proportional to 1 / E, E = (1 − β^n) / (1 − β) being the effective
    number of images (Cui et al. 2019, equation 2), with β = `BETA`: what images of a class add to
    each other falls with their number, so that the weights of rare classes are milder.

    Args:
        labels: of the training images.
        classes: how many there are; one without images gets the weight 0.
        kind: None gives None.
    """
    if kind is None:
        return None
    counts = np.bincount(labels, minlength=classes)
    numbers = counts if kind == "inverse" else (1 - BETA**counts) / (1 - BETA)
    own = np.divide(1.0, numbers, out=np.zeros(classes), where=counts > 0)
    return torch.tensor(own * len(labels) / (counts @ own), dtype=torch.float32)

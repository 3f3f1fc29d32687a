"""Several models as one: the mean of what they say."""

from collections.abc import Sequence

import numpy as np

from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError

_LEAST = 1e-30  # a probability whose logarithm float32 holds


def ensemble(members: Sequence[Predictions]) -> Predictions:
    """Return the mean of the members' probabilities, as logits that give it back.

    Args:
        members: what each model said of the same images, at least one.

    Raises:
        BrainsslError: the members differ in images, splits, groups, labels or classes.
    """
    keys = ["image_id", "group", "split", "label"]
    first = members[0]
    for member in members:
        # The training part holds the labels that were used, the same at one seed and fraction.
        if not member.frame[keys].equals(first.frame[keys]) or member.classes != first.classes:
            raise BrainsslError("an ensemble needs models that were measured on the same images")
    mean = np.mean([member.probabilities() for member in members], axis=0)
    return from_probabilities(first, mean, first.labels, first.classes)


def from_probabilities(
    model: Predictions,
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
) -> Predictions:
    """Return predictions of the same images whose softmax is `probabilities`.

    Args:
        model: whose images, groups and splits are taken.
        probabilities: (n, classes), each row summing to 1.
        labels: (n,), indices into `classes`.
        classes: their names.
    """
    return Predictions.build(
        model.frame["image_id"].tolist(),
        model.groups,
        model.frame["split"].tolist(),
        labels,
        logits_of(probabilities),
        classes,
    )


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """Return logits whose softmax is `probabilities`, finite also where one is 0."""
    logits: np.ndarray = np.log(np.maximum(probabilities, _LEAST))
    return logits

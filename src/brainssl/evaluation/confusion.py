"""Scores that are functions of the confusion matrix, which of a draw is a sum over groups."""

import numpy as np
from jaxtyping import Float64, Int64

SCORES = ("accuracy", "balanced_accuracy", "f1_macro")
"""What `of_confusion` returns, as `brainssl.evaluation.metrics.evaluate` defines them."""


def by_group(
    labels: Int64[np.ndarray, " n"],
    predicted: Int64[np.ndarray, " n"],
    group_of: Int64[np.ndarray, " n"],
    classes: int,
) -> Float64[np.ndarray, "groups cells"]:
    """Count the images of each group by true and predicted class.

    Args:
        labels: true class of each image.
        predicted: the class that it was given.
        group_of: its group, counted from 0 without gaps.
        classes: how many there are.
    """
    cells = (group_of * classes + labels) * classes + predicted
    size = (group_of.max() + 1) * classes**2
    return np.bincount(cells, minlength=size).reshape(-1, classes**2).astype(np.float64)


def of_confusion(
    counts: Float64[np.ndarray, "draws classes classes"],
) -> Float64[np.ndarray, "draws scores"]:
    """Return `SCORES` of confusion matrices whose rows are the true classes."""
    hits = np.einsum("dcc->dc", counts)
    support, called = counts.sum(2), counts.sum(1)
    present = support > 0
    recall = np.divide(hits, support, out=np.zeros(hits.shape), where=present)
    f1 = np.divide(2 * hits, support + called, out=np.zeros(hits.shape), where=present)
    classes = present.sum(1)
    accuracy = hits.sum(1) / support.sum(1)
    return np.stack([accuracy, recall.sum(1) / classes, f1.sum(1) / classes], axis=1)

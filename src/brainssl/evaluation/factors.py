"""Tumour family and sequence, each alone, as a class is a pair of the two; and planes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from brainssl.evaluation.draws import drawn_means
from brainssl.evaluation.ensemble import from_probabilities
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json


def by_factor(model: Predictions, values: Sequence[str]) -> Predictions:
    """Return predictions of a factor: the probabilities of all classes that share a value, summed.

    Args:
        model: predictions of the classes.
        values: the factor's value for each class, see `brainssl.data.families.factors`.
    """
    names = sorted(set(values))
    place = np.array([names.index(value) for value in values])
    summed = model.probabilities() @ np.eye(len(names))[place]
    return from_probabilities(model, summed, place[model.labels], names)


def by_plane(
    model: Predictions, planes: Mapping[str, str], *, draws: int = 2000
) -> dict[str, dict[str, Any]]:
    """Return the accuracy on the images of each plane, the planes with most images first.

    Args:
        model: predictions of one split.
        planes: of images, by `image_id`; images without one are left out.
        draws: of the cluster bootstrap. A group whose images lie in several planes is drawn in
            each of them with those that lie there.

    Returns:
        For each plane `n` (images), `accuracy` and its 95 % `interval`, or None for that with
        fewer than two groups. Empty where no plane is known.
    """
    of = model.frame["image_id"].map(planes)
    hits = (model.predicted == model.labels).astype(np.float64)
    found = {}
    for plane in of.value_counts().index:
        rows = (of == plane).to_numpy()
        own = model.groups[rows]
        drawn = drawn_means(hits[rows][:, None], own, draws, 0, model.labels[rows])
        (interval,) = percentile_intervals(drawn, 0.95)
        told = {"n": int(rows.sum()), "accuracy": float(hits[rows].mean()), "interval": interval}
        found[str(plane)] = for_json(told)
    return found

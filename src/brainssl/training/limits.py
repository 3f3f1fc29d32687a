"""A classifier gets to know its limits: on validation, and by training images that it remembers."""

from dataclasses import replace

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

from brainssl.data.dataset import Data
from brainssl.evaluation.appearance import appearance, oddness, whitening
from brainssl.evaluation.familiarity import Apart, frame_of, nearest, standardised
from brainssl.evaluation.limits import Limits
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.witnesses import tempered, witnesses
from brainssl.models.classifier import Classifier
from brainssl.models.reference import Reference, rows_held, rows_spread

_TOGETHER = 256  # images in memory


def learn_limits(
    classifier: Classifier,
    said: Predictions,
    features: Float32[np.ndarray, "n dim"],
    data: Data,
) -> None:
    """Give a classifier its limits and its reference, in place.

    Args:
        classifier: with its `rules` and `families` among the facts.
        said: its predictions, of which those of training and validation count.
        features: of the same images, in the same order.
        data: store and split.
    """
    parts = said.frame["split"].to_numpy(object)
    val = said.of("val")
    reference = _reference(classifier, said.of("train"), features[parts == "train"], data)
    apart = None
    if reference is not None and len(val):
        own = standardised(features[parts == "val"], reference.frame)
        apart = Apart(nearest(own, reference.features), oddness(_looks(val, data), reference.looks))
    shared = data.split.protocol != "grouped"
    limits = Limits.fit(val, apart, shared=shared) if len(val) else None
    if limits is not None:
        told = data.store.families
        calibrated = tempered(val, limits.temperature or 1.0)
        patients = witnesses(calibrated, data.store.manifest, classifier.facts, told)
        limits = limits.with_patients(patients)
        if untaught := _untaught(classifier, said.of("train")):
            limits = replace(limits, lacks=(untaught, *limits.lacks))
    classifier.reference = reference
    classifier.limits = None if limits is None else limits.facts()


def _untaught(classifier: Classifier, train: Predictions) -> str | None:
    """Say which classes no training image was of; None where there is none."""
    taught = set(train.labels.tolist())
    names = [name for at, name in enumerate(classifier.classes) if at not in taught]
    if not names:
        return None
    return f"It cannot recognise {', '.join(names)}: no training image was of that class."


def _reference(
    classifier: Classifier, train: Predictions, features: Float32[np.ndarray, "n dim"], data: Data
) -> Reference | None:
    most = rows_held(classifier.state_dict(), classifier.encoder.dim)
    rows: Int64[np.ndarray, " kept"] = rows_spread(train.labels, train.groups, most)
    if not len(rows):
        return None
    frame = frame_of(features).astype(np.float32)
    ids = train.frame["image_id"].to_numpy(object)[rows]
    return Reference(
        tuple(map(str, ids)),
        train.labels[rows],
        train.groups[rows],
        standardised(features[rows], frame).astype(np.float16),
        frame,
        whitening(_looks(train, data)),
    )


def _looks(said: Predictions, data: Data) -> Float32[np.ndarray, "n 20"]:
    """Return the appearance of the images of predictions."""
    places = pd.Index(data.store.manifest["image_id"]).get_indexer(said.frame["image_id"])
    found = [
        appearance(data.store.images[places[at : at + _TOGETHER]])
        for at in range(0, len(places), _TOGETHER)
    ]
    return np.concatenate(found)

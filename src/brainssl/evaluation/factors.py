"""Tumour family and sequence, each alone: a class is a pair of the two."""

from collections.abc import Sequence

import numpy as np

from brainssl.evaluation.ensemble import from_probabilities
from brainssl.evaluation.predictions import Predictions

SEQUENCES = ("T1", "T1C+", "T2")


def family_and_sequence(name: str) -> tuple[str, str]:
    """Return "Glioma", "T1C+" of "Glioma T1C+"; without a known sequence the whole name and ""."""
    family, _, sequence = name.rpartition(" ")
    return (family, sequence) if sequence in SEQUENCES else (name, "")


def factors(classes: Sequence[str]) -> dict[str, list[str]]:
    """Return `family` and `sequence` of each class.

    A factor that is the same for all classes is left out; empty where a class names no sequence.
    """
    pairs = [family_and_sequence(name) for name in classes]
    if not all(sequence for _, sequence in pairs):
        return {}
    named = dict(zip(("family", "sequence"), map(list, zip(*pairs, strict=True)), strict=True))
    return {name: values for name, values in named.items() if len(set(values)) > 1}


def by_factor(model: Predictions, values: Sequence[str]) -> Predictions:
    """Return predictions of a factor: the probabilities of all classes that share a value, summed.

    Args:
        model: predictions of the classes.
        values: the factor's value for each class, see `factors`.
    """
    names = sorted(set(values))
    place = np.array([names.index(value) for value in values])
    summed = model.probabilities() @ np.eye(len(names))[place]
    return from_probabilities(model, summed, place[model.labels], names)

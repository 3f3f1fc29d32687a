"""Tumour family and sequence, each alone, as a class is a pair of the two; and planes."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainssl.data.csv_tables import Table, composed
from brainssl.data.sequence import as_sequence, is_sequence
from brainssl.evaluation.draws import drawn_means
from brainssl.evaluation.ensemble import from_probabilities
from brainssl.evaluation.intervals import percentile_intervals
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json
from brainssl.foundation.errors import BrainsslError

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
    return _varying(pairs)


def factors_from_table(file: Path, classes: Sequence[str]) -> dict[str, list[str]]:
    """Return `family` and `sequence` of each class as a table says, see `pairs_from_table`.

    A factor that is the same for all classes is left out; `sequence` also where a class has none.
    """
    return _varying(pairs_from_table(file, classes))


def pairs_from_table(file: Path, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return family and sequence of each class from a CSV table `label,family,sequence`.

    Known sequences come in one spelling (`T1ce` is T1C+), others as they are written.

    Args:
        file: one row a class; an empty sequence says that the class has none.
        classes: their names.

    Raises:
        BrainsslError: the table lacks a column, a class or a family, names a label twice, or one
            that is no class.
    """
    table = Table.read(file)
    table.needs("label", "family", "sequence")
    names = {composed(name): name for name in classes}
    found: dict[str, tuple[str, str]] = {}
    for row in table.rows:
        label, sequence = composed(row["label"]), row["sequence"]
        if label not in names:
            near = difflib.get_close_matches(label, names, n=1)
            hint = f" (nearest: {near[0]!r})" if near else ""
            raise BrainsslError(
                f"{file}: label {label!r} is not among the classes{hint}; correct it or delete "
                "its row"
            )
        if names[label] in found:
            raise BrainsslError(f"{file}: has the label {label!r} twice; keep one row")
        if not row["family"]:
            raise BrainsslError(f"{file}: label {label!r} has no family; fill it in")
        spelt = as_sequence(sequence) if is_sequence(sequence) else sequence
        found[names[label]] = (row["family"], spelt)
    if absent := [name for name in classes if name not in found]:
        raise BrainsslError(f"{file}: has no row for the class {absent[0]!r}; add one")
    return [found[name] for name in classes]


def _varying(pairs: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    named = {name: [pair[at] for pair in pairs] for at, name in enumerate(("family", "sequence"))}
    return {name: values for name, values in named.items() if all(values) and len(set(values)) > 1}


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

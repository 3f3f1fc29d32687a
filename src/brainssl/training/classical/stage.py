"""A classical baseline as a folder: predictions and rows of results, as of a network."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from brainssl.data.dataset import Data
from brainssl.data.indices import Indices
from brainssl.data.shots import LabelFraction, Shots
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.foundation.storage import whole_folder, write_json
from brainssl.settings import Settings
from brainssl.training.classical.families import fit_family
from brainssl.training.classical.features import HandMade
from brainssl.training.probe import Labelled
from brainssl.training.stages import Progress

MOST_IMAGES = 5000
"""Training images that a classical baseline learns from: an SVM takes their square in time."""


def classical_stage(
    data: Data,
    features: HandMade,
    out: Path,
    *,
    family: str,
    settings: Settings,
    label_fraction: LabelFraction = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Fit a classical baseline into a new folder and return its rows of results.

    Args:
        data: store and split.
        features: of the same store.
        out: folder to make. It holds no classifier: scikit-learn's can only be pickled.
        family: of `brainssl.training.classical.FAMILIES`; the `method` of the rows.
        settings: of the evaluation.
        label_fraction: share of the training labels that are used.
        seed: of the choice of labels, and of a tree's choice among equal features.
        progress: called with (images described, images in all).
    """
    started = time.perf_counter()
    features.progress = progress
    rows = data.rows(label_fraction, seed)
    learnt, told = _learnt(data, rows["train"], label_fraction, seed)
    with whole_folder(out) as folder:
        train, val = (
            Labelled(features.vectors[own], data.store.labels[own]) for own in (learnt, rows["val"])
        )
        fitted = fit_family(family, train, val, classes=len(data.store.classes), seed=seed)
        order = np.concatenate(list(rows.values()))
        manifest = data.store.manifest.iloc[order]
        predictions = Predictions.build(
            manifest["image_id"].tolist(),
            manifest["group"].to_numpy(np.int64),
            [part for part, own in rows.items() for _ in own],
            data.store.labels[order],
            np.log(fitted.probabilities(features.vectors[order])),
            data.store.classes,
        )
        predictions.save(folder / "predictions.parquet")
        data.split.save(folder / "split.json")
        write_json(folder / "settings.json", settings.written(()))
        facts = {"method": family, "stage": "supervised", "label_fraction": label_fraction}
        facts |= {"seed": seed, "chosen": fitted.chosen + told, "protocol": data.split.protocol}
        facts |= data.labelled(label_fraction, rows["train"]).facts()
        facts["seconds"] = round(time.perf_counter() - started, 2)
        results = result_rows(predictions, facts, settings.evaluation)
        write_json(folder / "rows.json", results)
        return results


def _learnt(data: Data, train: Indices, fraction: LabelFraction, seed: int) -> tuple[Indices, str]:
    """Return the images that are learnt, nested in those whose labels may be used, and a note."""
    if len(train) <= MOST_IMAGES:
        return train, ""
    fewer: LabelFraction = MOST_IMAGES / len(data.split.train)
    if isinstance(fraction, Shots):
        fewer = Shots(max(1, MOST_IMAGES // len(data.store.classes)))
    own = data.rows(fewer, seed)["train"]
    return own, f"; learnt from {len(own)} of {len(train)} images"

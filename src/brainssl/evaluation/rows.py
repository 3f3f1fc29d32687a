"""Rows of results: one model on one split, with its metrics and intervals."""

import math
from typing import Any

import numpy as np

from brainssl.evaluation.intervals import Resamples, resample
from brainssl.evaluation.metrics import evaluate, per_class
from brainssl.evaluation.predictions import SPLITS, Predictions
from brainssl.settings.sections import EvaluationSettings


def result_rows(
    predictions: Predictions, facts: dict[str, Any], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """Measure predictions on each split that they hold.

    Args:
        predictions: of one model.
        facts: what every row begins with: method, stage, protocol, label_fraction, seed ...
        settings: of the bootstrap. Its draws are the same for all models, so that they can be
            compared on the same resampled groups.

    Returns:
        Dictionaries ready for JSON: `unit`, a slice unless `facts` say otherwise, and `facts`,
        then `split n metrics intervals classes_held per_class`. What cannot be computed (a class
        without cases, one group) is None.
    """
    rows = []
    for split in SPLITS:
        part = predictions.of(split)
        if len(part) == 0:
            continue
        labels, probabilities = part.labels, part.probabilities()
        drawn = resample(part, draws=settings.draws)
        by_class: dict[str, dict[str, Any]] = {**per_class(labels, probabilities, part.classes)}
        for name, intervals in drawn.class_intervals().items():
            by_class[name]["intervals"] = intervals
        measured = {
            "metrics": evaluate(labels, probabilities),
            "intervals": drawn.intervals(),
            "classes_held": _classes_held(drawn, len(np.unique(labels))),
            "per_class": by_class,
        }
        rows.append(
            {"unit": "slice", **facts, "split": split, "n": len(part), **for_json(measured)}
        )
    return rows


def _classes_held(drawn: Resamples, classes: int) -> dict[str, float] | None:
    """Return over how many classes macro averages of draws go, and how many go over all of them."""
    held = drawn.classes_held
    if not held.any():
        return None
    return {"mean": float(held.mean()), "all": float((held == classes).mean())}


def for_json(value: Any) -> Any:
    """Replace NaN by None and pairs that hold one by None; turn tuples into lists."""
    if isinstance(value, dict):
        return {key: for_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return None if any(math.isnan(item) for item in value) else list(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    return value

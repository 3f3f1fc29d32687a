"""The classifier that a study recommends, beside its report, with what its test set said of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainssl.foundation.storage import remove
from brainssl.models.tensor_files import copy_with_facts
from brainssl.studies.pooling import POOLED

CLASSIFIER = "classifier.safetensors"


def hand_over(out: Path, study: dict[str, Any], rows: Sequence[dict[str, Any]]) -> Path | None:
    """Write the recommended classifier into the folder of its study, and return the file.

    It is the file of its step but for one fact more: `measured`. The file of the step stays as it
    was trained.

    Args:
        out: folder of the study.
        study: its record; `best` names the step.
        rows: of results.

    Returns:
        None where no classifier is recommended, or its file is gone; then one of an earlier
        publication is removed.
    """
    step = (study.get("best") or {}).get("step")
    source = out / str(step) / CLASSIFIER
    if not step or not source.is_file():
        remove(out / CLASSIFIER)
        return None
    copy_with_facts(source, out / CLASSIFIER, {"measured": measured(str(step), rows)})
    return out / CLASSIFIER


def measured(step: str, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Say how often a classifier was right on the test images of its study, which chose nothing.

    Args:
        step: whose classifier it is.
        rows: of results.

    Returns:
        `step`, `protocol`, `fold`, `n` test images, `accuracy` with its 95 % `interval` (None
        with fewer than two groups), `balanced_accuracy` and `f1_macro`; where there are folds also
        `folds`: the same figures of its model trained in each, on all images. None where the step
        has no such row.
    """
    own = _row(rows, step=step)
    if own is None:
        return None
    told = {"step": step, **{name: own.get(name) for name in ("protocol", "fold")}, **_figures(own)}
    alike = ("method", "start", "stage", "protocol", "label_fraction", "seed")
    same = {name: own.get(name) for name in alike}
    pooled = _row(rows, fold=POOLED, **same)
    return told if pooled is None else {**told, "folds": _figures(pooled)}


def _row(rows: Sequence[dict[str, Any]], **asked: Any) -> dict[str, Any] | None:
    return next(
        (
            row
            for row in rows
            if row["split"] == "test"
            and row.get("unit", "slice") == "slice"
            and all(row.get(name) == value for name, value in asked.items())
        ),
        None,
    )


def _figures(row: dict[str, Any]) -> dict[str, Any]:
    metrics = row["metrics"]
    return {
        "n": row["n"],
        "accuracy": metrics["accuracy"],
        "interval": (row.get("intervals") or {}).get("accuracy"),
        "balanced_accuracy": metrics["balanced_accuracy"],
        "f1_macro": metrics["f1_macro"],
    }

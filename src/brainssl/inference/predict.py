"""Classifying files: the same reader and the same pixels as in training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from brainssl.data.read import UnreadableImage, read_slice
from brainssl.data.store import letterbox
from brainssl.models.classifier import Classifier


def predict_files(classifier: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Classify image files.

    Args:
        classifier: its file, or the folder that holds it.
        files: images; one that cannot be read gets an `error` in place of a prediction.

    Returns:
        `classifier` (facts of its training), `classes`, and `predictions`: per file, in order,
        `file`, then `label`, `probability`, `probabilities` by class and `flags` of the reader,
        or `error`.

    Raises:
        BrainsslError: there is no such classifier.
    """
    loaded = Classifier.load(classifier)
    rows = [_predict(loaded, file) for file in files]
    return {"classifier": loaded.facts, "classes": list(loaded.classes), "predictions": rows}


def predictions_table(answer: dict[str, Any]) -> pd.DataFrame:
    """Return what `predict_files` does as a table, one row a file.

    Its columns are `file`, `label`, `probability`, `probability:<class>` for each class, `flags`,
    joined by ";", and `error`.
    """
    rows = []
    for said in answer["predictions"]:
        shares = said.get("probabilities", {})
        row = {name: said.get(name) for name in ("file", "label", "probability")}
        row |= {f"probability:{name}": shares.get(name) for name in answer["classes"]}
        rows.append(row | {"flags": ";".join(said.get("flags", ())), "error": said.get("error")})
    return pd.DataFrame(rows)


def _predict(classifier: Classifier, file: Path) -> dict[str, Any]:
    try:
        image = read_slice(file, reader=classifier.reader)
    except UnreadableImage as error:
        return {"file": str(file), "error": str(error)}
    logits = classifier.logits(letterbox(image.pixels, classifier.image_size)[None])[0]
    probabilities = softmax(logits.astype(np.float64))
    named = dict(zip(classifier.classes, probabilities.tolist(), strict=True))
    label = max(named, key=lambda name: named[name])
    return {
        "file": str(file),
        "label": label,
        "probability": named[label],
        "probabilities": named,
        "flags": list(image.flags),
    }

"""Classifying files: the same reader and the same pixels as in training."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8
from scipy.special import softmax

from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage, read_slice
from brainssl.data.store import letterbox
from brainssl.hardware.device import device_of
from brainssl.inference.answers import unit_answers
from brainssl.inference.inputs import collect
from brainssl.models.classifier import Classifier
from brainssl.settings.sections import RunSettings

TOGETHER = 64
"""Images that go through the network at once: so many are in memory.

How many they are changes the sums of float32 in their last digits, and nothing else.
"""


def predict_files(
    classifier: Path, files: Sequence[Path], *, patients: Path | None = None
) -> dict[str, Any]:
    """Classify image files, and the series and patients that they are of.

    Args:
        classifier: its file, or the folder that holds it.
        files: images, or folders of which all images are meant; one that cannot be read gets an
            `error` in place of a prediction.
        patients: CSV `path,patient[,sequence]`, or `folders`; by default they are found, see
            `brainssl.inference.inputs.collect`.

    Returns:
        `classifier` (facts of its training), `classes`, `patients_from` (a sentence, or None where
        no patient is known), `rules`, `patients` and `series`, see
        `brainssl.inference.answers.unit_answers`; `predictions`: per file, in order, `file`, then
        `label`, `probability`, `probabilities` by class and `flags` of the reader, or `error`; and
        `notes`.

    Raises:
        BrainsslError: there is no such classifier, or see `collect`.
    """
    loaded = Classifier.load(classifier).to(device_of(RunSettings()))
    inputs = collect(files, patients)
    rows: list[dict[str, Any]] = [
        {"file": str(image.file), "error": image.refusal} for image in inputs.images
    ]
    asked = [at for at, image in enumerate(inputs.images) if not image.refusal]
    read = partial(_read, reader=loaded.reader, size=loaded.image_size)
    waiting: list[tuple[int, UInt8[np.ndarray, "size size"]]] = []
    places: list[int] = []
    said: list[Float32[np.ndarray, "n classes"]] = [np.empty((0, len(loaded.classes)), np.float32)]

    def classify() -> None:
        if waiting:
            said.append(loaded.logits(np.stack([pixels for _, pixels in waiting])))
            places.extend(at for at, _ in waiting)
            waiting.clear()

    found = in_order(read, [inputs.images[at].file for at in asked])
    for at, image in zip(asked, found, strict=True):
        if isinstance(image, str):
            rows[at]["error"] = image
            continue
        pixels, flags = image
        rows[at] = {"file": rows[at]["file"], "flags": list(flags)}
        waiting.append((at, pixels))
        if len(waiting) == TOGETHER:
            classify()
    classify()
    logits = np.concatenate(said)
    for at, one in zip(places, logits, strict=True):
        rows[at] = _answer(rows[at], one, loaded.classes)
    units = unit_answers(loaded, inputs, np.array(places, np.int64), logits)
    return {
        "classifier": loaded.facts,
        "classes": list(loaded.classes),
        "patients_from": inputs.patients_from,
        "rules": units["rules"],
        "patients": units["patients"],
        "series": units["series"],
        "predictions": rows,
        "notes": inputs.notes + units["notes"],
    }


def _read(
    file: Path, *, reader: int, size: int
) -> tuple[UInt8[np.ndarray, "size size"], tuple[str, ...]] | str:
    """Return a letterboxed slice and what the reader noticed, or why it cannot be read."""
    try:
        image = read_slice(file, reader=reader)
    except UnreadableImage as error:
        return str(error)
    return letterbox(image.pixels, size), tuple(image.flags)


def _answer(
    row: dict[str, Any], logits: Float32[np.ndarray, " classes"], classes: Sequence[str]
) -> dict[str, Any]:
    probabilities = softmax(logits.astype(np.float64))
    named = dict(zip(classes, probabilities.tolist(), strict=True))
    label = max(named, key=lambda name: named[name])
    return {
        "file": row["file"],
        "label": label,
        "probability": named[label],
        "probabilities": named,
        "flags": row["flags"],
    }

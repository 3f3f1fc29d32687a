"""Classifying files: the same reader and the same pixels as in training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from brainssl.data.marks import known, marks
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage, read_slice
from brainssl.data.store import letterbox
from brainssl.hardware.device import device_of
from brainssl.inference.answers import unit_answers
from brainssl.inference.inputs import Inputs, collect
from brainssl.inference.judgement import LEVEL, Judgement
from brainssl.inference.maps import draw_maps
from brainssl.models.classifier import Classifier
from brainssl.settings.sections import RunSettings

TOGETHER = 64
"""Images that go through the network at once: so many are in memory.

How many they are changes the sums of float32 in their last digits, and nothing else.
"""


@dataclass(frozen=True)
class Asked:
    """What is asked beside the class.

    Attributes:
        level: of the sets of classes, one of `brainssl.evaluation.promised_sets.LEVELS`.
        neighbours: how many known cases are shown, each of another group.
        maps: folder for saliency maps laid over the images; None: none are made.
    """

    level: float = LEVEL
    neighbours: int = 0
    maps: Path | None = None


def predict_files(
    classifier: Path,
    files: Sequence[Path],
    *,
    patients: Path | None = None,
    asked: Asked | None = None,
) -> dict[str, Any]:
    """Classify image files, and the series and patients that they are of.

    Args:
        classifier: its file, or the folder that holds it.
        files: images, or folders of which all images are meant; one that cannot be read gets an
            `error` in place of a prediction.
        patients: CSV `path,patient[,sequence]`, or `folders`; by default they are found, see
            `brainssl.inference.inputs.collect`.
        asked: what is asked beside the class.

    Returns:
        `classifier` (facts of its training), `classes`, `limits` (of
        `brainssl.inference.judgement.Judgement.facts`), `lacks` (what could not be judged, one
        sentence each), `patients_from` (a sentence, or None where no patient is known), `rules`,
        `patients` and `series`, see `brainssl.inference.answers.unit_answers`; `predictions`: per
        file, in order, `file`, then

        - `label`, `probability`, `probabilities` by class, calibrated, and `softmax`, which is not;
        - `family` and `sequence`, where classes are of several: the same of sums of probabilities;
        - `set`: the classes that it may be of at the level, None where nothing is promised;
        - `familiar`, or None where that is not known, `why`, and `oddness`: 1 is the limit;
        - `neighbours`: the `image_id`, `label` and `similarity` of the nearest known cases;
        - `learnt`: whether this very picture was among the training images, None if not known;
        - `flags` of the reader, and with `maps` the file of the `map`;

        or `error`; and `notes`.

    Raises:
        BadUseError: a level that there is not.
        BrainsslError: there is no such classifier, or see `collect`.
    """
    wanted = asked or Asked()
    loaded = Classifier.load(classifier).to(device_of(RunSettings()))
    judgement = Judgement(loaded, level=wanted.level, neighbours=wanted.neighbours)
    inputs = collect(files, patients)
    rows: list[dict[str, Any]] = [
        {"file": str(image.file), "error": image.refusal} for image in inputs.images
    ]
    places: list[int] = []
    said: list[Float32[np.ndarray, "n classes"]] = [np.empty((0, len(loaded.classes)), np.float32)]
    for batch in _batches(inputs, loaded, rows):
        logits, features = loaded.seen(batch.pixels)
        learnt = _learnt(batch.pixels, loaded)
        answers = judgement.answers(batch.pixels, logits, features)
        for at, answer, was_learnt, flags in zip(
            batch.places, answers, learnt, batch.flags, strict=True
        ):
            rows[at] = {
                "file": rows[at]["file"],
                **answer,
                "learnt": was_learnt,
                "flags": list(flags),
            }
        places += batch.places
        said.append(logits)
    if wanted.maps is not None:
        draw_maps(loaded, rows, wanted.maps)
    units = unit_answers(
        loaded,
        inputs,
        np.array(places, np.int64),
        np.concatenate(said),
        judgement.limits,
    )
    return {
        "classifier": loaded.facts,
        "classes": list(loaded.classes),
        "limits": judgement.facts(),
        "lacks": list(judgement.limits.lacks),
        "patients_from": inputs.patients_from,
        "rules": units["rules"],
        "patients": units["patients"],
        "series": units["series"],
        "predictions": rows,
        "notes": inputs.notes + units["notes"],
    }


@dataclass(frozen=True, eq=False)
class _Batch:
    """Images that go through the network together, and their places among all."""

    places: list[int]
    pixels: UInt8[np.ndarray, "n size size"]
    flags: list[tuple[str, ...]]


def _batches(inputs: Inputs, loaded: Classifier, rows: list[dict[str, Any]]) -> Iterator[_Batch]:
    """Read what can be read, and write into the rows of the others why not."""
    wanted = [at for at, image in enumerate(inputs.images) if not image.refusal]
    read = partial(_read, reader=loaded.reader, size=loaded.image_size)
    found = in_order(read, [inputs.images[at].file for at in wanted])
    waiting: list[tuple[int, UInt8[np.ndarray, "size size"], tuple[str, ...]]] = []
    for at, image in zip(wanted, found, strict=True):
        if isinstance(image, str):
            rows[at]["error"] = image
            continue
        waiting.append((at, *image))
        if len(waiting) == TOGETHER:
            yield _together(waiting)
            waiting = []
    if waiting:
        yield _together(waiting)


def _together(
    waiting: Sequence[tuple[int, UInt8[np.ndarray, "size size"], tuple[str, ...]]],
) -> _Batch:
    places, pixels, flags = zip(*waiting, strict=True)
    return _Batch(list(places), np.stack(pixels), list(flags))


def _learnt(pixels: UInt8[np.ndarray, "n size size"], loaded: Classifier) -> list[bool | None]:
    """Tell which pictures were among the training images, by their marks."""
    if loaded.learnt is None:
        return [None] * len(pixels)
    return [bool(one) for one in known(marks(pixels), loaded.learnt)]


def _read(
    file: Path, *, reader: int, size: int
) -> tuple[UInt8[np.ndarray, "size size"], tuple[str, ...]] | str:
    """Return a letterboxed slice and what the reader noticed, or why it cannot be read."""
    try:
        image = read_slice(file, reader=reader)
    except UnreadableImage as error:
        return str(error)
    return letterbox(image.pixels, size), tuple(image.flags)

"""Classifying pictures and volumes: the same reader and the same pixels as in training."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt

from brainssl.data.families import pairs_of
from brainssl.data.field_of_view import refusal_of_picture, told_field
from brainssl.data.letterbox import letterbox
from brainssl.data.marks import known, marks
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage, read_slice
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.hardware.device import device_of
from brainssl.inference.given import Volumes, leave_apart, parted
from brainssl.inference.inputs import Image, Inputs, collect
from brainssl.inference.judgement import LEVEL, Judgement
from brainssl.inference.maps import MapsAs, draw_map, map_name
from brainssl.inference.volumes import Cut, Cutting, cuts, described
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
        maps_as: `png`, or `dicom` of DICOM files alone.
        cutting: which slices of volumes are judged.
    """

    level: float = LEVEL
    neighbours: int = 0
    maps: Path | None = None
    maps_as: MapsAs = "png"
    cutting: Cutting = field(default_factory=Cutting)


def predict_files(
    classifier: Path,
    files: Sequence[Path],
    *,
    patients: Path | None = None,
    asked: Asked | None = None,
) -> dict[str, Any]:
    """Classify pictures and volumes, and the series and patients that they are of.

    Args:
        classifier: its file, or the folder that holds it.
        files: pictures, volumes, and folders of either; one that cannot be read gets an `error` in
            place of a prediction.
        patients: CSV `path,patient[,sequence]`, or `folders`, of pictures; by default they are
            found, see `brainssl.inference.inputs.collect`. Volumes have theirs.
        asked: what is asked beside the class.

    Returns:
        `classifier` (facts of its training), `classes`, `limits` (of
        `brainssl.inference.judgement.Judgement.facts`), `lacks` (what could not be judged, one
        sentence each), `patients_from` (a sentence, or None where no patient is known), `rules`,
        `patients` and `series`, see `brainssl.inference.answers.unit_answers`, of volumes also what
        `brainssl.inference.volumes.described` tells, and of patients of volumes `sources`, the
        files and folders that were named; `excluded`: `series`, `source` and `reason` of series
        that are none to judge; `predictions`: per picture and slice, volumes last, `file` (of a
        slice the name of its series and its number; also `source`, the file or folder that was
        named, and `slice`, its number); where it is known, `patient`, and of volumes `series`; then

        - `label`, `probability`, `probabilities` by class, calibrated, and `softmax`, which is not;
        - `family` and `sequence`, where classes are of several: the same of sums of probabilities;
        - `set`: the classes that it may be of at the level, None where nothing is promised;
        - `familiar`, or None where that is not known, `why`, and `oddness`: 1 is the limit;
        - `neighbours`: the `image_id`, `label` and `similarity` of the nearest known cases;
        - `learnt`: whether this very picture was among the training images, None if not known;
        - `flags` of the reader, and with `maps` the file of the `map`, see also
          `brainssl.inference.dicom_series`;

        or `error`; and `notes`.

    Raises:
        BadUseError: a level that there is not, or patients of pictures where there are none.
        BrainsslError: there is no such classifier, nothing to judge, or see `collect` and `parted`.
    """
    wanted = asked or Asked()
    loaded = Classifier.load(classifier).to(device_of(RunSettings()))
    judgement = Judgement(loaded, level=wanted.level, neighbours=wanted.neighbours)
    pictures, volumes = parted(files, wanted.cutting.key)
    as_dicom = wanted.maps is not None and wanted.maps_as == "dicom"
    if as_dicom:
        from brainssl.inference.dicom_series import refuse_others

        refuse_others(pictures, volumes)
    inputs = _collected(files, pictures, patients, volumes)
    cutting, told = wanted.cutting.for_plane(loaded.plane)
    if loaded.field_of_view is not None:
        words = told_field(loaded.field_of_view)
        told = [*told, f"Slices of volumes are {words}, as in the classifier's training."]
    volumes.notes += told if volumes.series else []
    rows: list[dict[str, Any]] = [
        {"file": str(image.file), "error": image.refusal} for image in inputs.images
    ]
    held: dict[str, Cut] = {}
    places: list[int] = []
    said: list[Float32[np.ndarray, "n classes"]] = [np.empty((0, len(loaded.classes)), np.float32)]
    for batch in _every(inputs, volumes, cutting, loaded, rows, held):
        logits, features = loaded.seen(batch.pixels)
        learnt = _learnt(batch.pixels, loaded)
        answers = judgement.answers(batch.pixels, logits, features)
        for at, answer, was_learnt, flags, image in zip(
            batch.places, answers, learnt, batch.flags, batch.pixels, strict=True
        ):
            rows[at] |= answer | {"learnt": was_learnt, "flags": list(flags)}
            rows[at].pop("error", None)
            if wanted.maps is not None and not as_dicom:
                draw_map(loaded, rows[at], image, wanted.maps / map_name(at + 1, rows[at]))
        places += batch.places
        said.append(logits)
    for at, row in enumerate(rows):
        known_of = {"patient": inputs.patients.get(at), "series": inputs.volumes.get(at)}
        row |= {name: value for name, value in known_of.items() if value}
    units: dict[str, Any] = {"rules": {}, "patients": [], "series": [], "notes": []}
    if inputs.patients or inputs.volumes:
        from brainssl.inference.answers import unit_answers  # pictures alone need not wait for it

        found = np.array(places, np.int64)
        units = unit_answers(loaded, inputs, found, np.concatenate(said), judgement.limits)
    series = _told(units["series"], volumes, held, loaded)
    if wanted.maps is not None and as_dicom:
        from brainssl.inference.dicom_series import DicomSeries

        units["notes"] += DicomSeries(loaded, cutting, wanted.maps).write(volumes, series, rows)
    return {
        "classifier": loaded.facts,
        "classes": list(loaded.classes),
        "limits": judgement.facts(),
        "lacks": list(judgement.limits.lacks),
        "patients_from": " ".join(filter(None, [inputs.patients_from, volumes.patients_from]))
        or None,
        "rules": units["rules"],
        "patients": [one | _sources(one, rows) for one in units["patients"]],
        "series": series,
        "excluded": volumes.excluded,
        "predictions": rows,
        "notes": inputs.notes + volumes.notes + units["notes"],
    }


def _collected(
    named: Sequence[Path], pictures: list[Path], patients: Path | None, volumes: Volumes
) -> Inputs:
    if not volumes.series and not volumes.unreadable and not pictures:
        first = volumes.excluded[0] if volumes.excluded else None
        told = "".join(f", e.g. {file} holds no image of its own" for file in named[:1])
        told = f", e.g. {first['source']}: {first['reason']}" if first else told
        raise BrainsslError(f"there is nothing to judge{told}: name pictures or series of MRI")
    if pictures:
        inputs = collect(pictures, patients)
        leave_apart(volumes, set(inputs.patients.values()))
        return inputs
    if patients is not None:
        raise BadUseError(
            "--patients is of pictures, and there are volumes alone, which have their patients: "
            "omit it"
        )
    return Inputs([])


def _told(
    series: list[dict[str, Any]], volumes: Volumes, held: dict[str, Cut], loaded: Classifier
) -> list[dict[str, Any]]:
    """Add to each series that is a volume what is told of those."""
    given = {one.name: one for one in volumes.series}
    pairs = pairs_of(loaded.classes, loaded.facts.get("families"))
    classes = [(name, *pair) for name, pair in zip(loaded.classes, pairs, strict=True)]
    return [
        one | described(given[name], held.get(name), classes, one.get("label"))
        if (name := one.get("series"))
        else one
        for one in series
    ]


def _sources(patient: dict[str, Any], rows: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return what was named of a patient's volumes; nothing where there are pictures alone."""
    name = patient["patient"]
    own = [row["source"] for row in rows if "source" in row and row.get("patient") == name]
    return {"sources": list(dict.fromkeys(own))} if own else {}


@dataclass(frozen=True, eq=False)
class _Batch:
    """Images that go through the network together, and their places among all."""

    places: list[int]
    pixels: UInt[np.ndarray, "n size size"]
    flags: list[tuple[str, ...]]


def _every(
    inputs: Inputs,
    volumes: Volumes,
    cutting: Cutting,
    loaded: Classifier,
    rows: list[dict[str, Any]],
    held: dict[str, Cut],
) -> Iterator[_Batch]:
    """Read pictures, then volumes."""
    yield from _batches(inputs, loaded, rows)
    yield from _of_volumes(inputs, volumes, cutting, loaded, rows, held)


def _of_volumes(
    inputs: Inputs,
    volumes: Volumes,
    cutting: Cutting,
    loaded: Classifier,
    rows: list[dict[str, Any]],
    held: dict[str, Cut],
) -> Iterator[_Batch]:
    """Read volumes, and put their slices to the images and the rows.

    Volumes do not share a batch: what is said of one does not depend on what it is given with.
    """
    for file, source, why in volumes.unreadable:
        inputs.images.append(Image(Path(file), Path(), Path()))
        rows.append({"file": file, "source": source, "error": why})
    size, bits = loaded.image_size, loaded.bits
    field = loaded.field_of_view
    read = cuts(
        volumes.series, cutting, reader=loaded.reader, size=size, bits=bits, field_of_view=field
    )
    for one, found in zip(volumes.series, read, strict=True):
        begun = len(rows)
        if isinstance(found, str):
            rows.append({"file": one.name, "source": one.source, "error": f"{one.source}: {found}"})
        else:
            held[one.name] = found
            rows += [
                {"file": f"{one.name}/{number:04}", "source": one.source, "slice": number}
                for number in found.numbers
            ]
        for at in range(begun, len(rows)):
            inputs.images.append(Image(Path(rows[at]["file"]), Path(), Path()))
            inputs.volumes[at] = one.name
            if one.patient:
                inputs.patients[at] = one.patient
            if one.sequence:
                inputs.sequences[at] = one.sequence
        if isinstance(found, str):
            continue
        for first in range(0, len(found.numbers), TOGETHER):
            part = slice(first, first + TOGETHER)
            places = range(begun, len(rows))[part]
            yield _Batch(list(places), found.pixels[part], list(found.flags[part]))


def _batches(inputs: Inputs, loaded: Classifier, rows: list[dict[str, Any]]) -> Iterator[_Batch]:
    """Read what can be read, and write into the rows of the others why not."""
    if loaded.field_of_view is not None:
        why = refusal_of_picture(loaded.field_of_view)
        for row, one in zip(rows, inputs.images, strict=True):
            row["error"] = one.refusal or f"{one.file} {why}"
        return
    wanted = [at for at, image in enumerate(inputs.images) if not image.refusal]
    read = partial(_read, reader=loaded.reader, size=loaded.image_size, bits=loaded.bits)
    found = in_order(read, [inputs.images[at].file for at in wanted])
    waiting: list[tuple[int, UInt[np.ndarray, "size size"], tuple[str, ...]]] = []
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
    waiting: Sequence[tuple[int, UInt[np.ndarray, "size size"], tuple[str, ...]]],
) -> _Batch:
    places, pixels, flags = zip(*waiting, strict=True)
    return _Batch(list(places), np.stack(pixels), list(flags))


def _learnt(pixels: UInt[np.ndarray, "n size size"], loaded: Classifier) -> list[bool | None]:
    """Tell which pictures were among the training images, by their marks."""
    if loaded.learnt is None:
        return [None] * len(pixels)
    return [bool(one) for one in known(marks(pixels), loaded.learnt)]


def _read(
    file: Path, *, reader: int, size: int, bits: int
) -> tuple[UInt[np.ndarray, "size size"], tuple[str, ...]] | str:
    """Return a letterboxed slice and what the reader noticed, or why it cannot be read."""
    try:
        image = read_slice(file, reader=reader)
    except UnreadableImage as error:
        return str(error)
    return letterbox(image.pixels, size, bits), tuple(image.flags)

"""From what a classifier says to the fields of the contract."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from brainssl.foundation.depth import shallow
from brainssl.foundation.errors import BrainsslError
from brainssl.serving.answers import (
    Case,
    Deciding,
    Explanation,
    Figures,
    Measured,
    Neighbours,
    PatientPrediction,
    Prediction,
    Predictions,
    SeriesPrediction,
    Unread,
)
from brainssl.serving.engine import Engine
from brainssl.serving.faults import Fault
from brainssl.serving.reading import Found
from brainssl.serving.volumes import Seen

if TYPE_CHECKING:
    from brainssl.inference.saliency import SaliencyMap

_OF_SLICE = (
    "label",
    "probability",
    "probabilities",
    "softmax",
    "set",
    "familiar",
    "why",
    "oddness",
)
_OF_PATIENT = ("patient", "label", "probability", "probabilities", "rule", "chosen", "slices")
_OF_SERIES = ("label", "probability", "probabilities", "rule", "chosen", "slices")


def images_of(found: Found) -> np.ndarray:
    """Return the slices that there are, `(n, size, size)`."""
    return np.stack([one.image for _, one in found if isinstance(one, Seen)])


def predictions(engine: Engine, found: Found, images: np.ndarray, seen: np.ndarray) -> Predictions:
    """Return what is said of slices and of their volumes.

    Args:
        engine: that says it.
        found: the slices.
        images: of them, see `images_of`.
        seen: what the engine gave for these, logits and features.
    """
    logits = np.ascontiguousarray(seen[:, : len(engine.classes)])
    answers = iter(zip(engine.answers(images, seen), logits, strict=True))
    told = [
        one if isinstance(one, Unread) else _predicted(name, one, *next(answers))
        for name, one in found
    ]
    series, patients = _units(engine, found, logits)
    return Predictions(
        predictions=told,
        series=series,
        patients=patients,
        lacks=engine.lacks,
        measured=measured(engine),
    )


def measured(engine: Engine) -> Measured | None:
    """Return how often the classifier was right on the test images of its study, if it says so."""
    told = engine.classifier.facts.get("measured")
    if not told:
        return None
    folds = told.get("folds")
    return Measured(folds=folds and Figures(**_figures(folds)), **_figures(told))


def _figures(told: Mapping[str, Any]) -> dict[str, Any]:
    return {"n": told["n"], "accuracy": told["accuracy"], "interval": told.get("interval")}


def _predicted(name: str, seen: Seen, answer: dict[str, Any], logits: np.ndarray) -> Prediction:
    return Prediction(
        file=name,
        upload=seen.file,
        slice=seen.number,
        **{one: answer[one] for one in _OF_SLICE},
        series=seen.stack.name if seen.stack else None,
        patient=seen.stack.patient if seen.stack else None,
        logits=logits.tolist(),
        flags=list(seen.flags),
    )


def _units(
    engine: Engine, found: Found, logits: np.ndarray
) -> tuple[list[SeriesPrediction], list[PatientPrediction]]:
    """Answer for each volume, and for each patient that is known."""
    slices = [(name, one) for name, one in found if isinstance(one, Seen)]
    rows = [row for row, (_, one) in enumerate(slices) if one.stack]
    if not rows:
        return [], []
    stacks = [stack for row in rows if (stack := slices[row][1].stack)]
    names = [stack.name for stack in stacks]
    firsts = dict(zip(reversed(names), reversed(rows), strict=True))
    units = engine.units(stacks, logits[rows])
    told = []
    for said in units["series"]:
        name, first = slices[firsts[said["series"]]]
        deciding = slices[rows[int(said["decided_by"]["file"])]][1]
        assert first.stack is not None
        assert deciding.number is not None
        told.append(
            SeriesPrediction(
                series=said["series"],
                file=name,
                uploads=list(first.stack.files),
                patient=first.stack.patient,
                **{one: said[one] for one in _OF_SERIES},
                held=first.stack.held,
                without_brain=list(first.stack.without),
                decided_by=Deciding(
                    slice=deciding.number, probability=said["decided_by"]["probability"]
                ),
                sequence=first.stack.sequence,
                note=engine.note(first.stack.sequence, said["label"]),
            )
        )
    of = {stack.name: stack.patient for stack in stacks}
    return told, [
        PatientPrediction(
            series=[name for name, patient in of.items() if patient == said["patient"]],
            **{one: said[one] for one in _OF_PATIENT},
            fusion=said.get("fusion"),
        )
        for said in units["patients"]
    ]


def mapped(engine: Engine, seen: Seen, kind: str, label: str | None) -> "SaliencyMap":
    """Map what in a slice speaks for a class.

    Raises:
        Fault: the classifier has not what that kind of map needs.
    """
    try:
        return engine.explain(seen.image, kind, label)
    except BrainsslError:
        raise Fault(422, f"this classifier has not what {kind} needs") from None


def explanation(engine: Engine, name: str, seen: Seen, kind: str, label: str | None) -> Explanation:
    """Return the map of a slice; see `mapped`."""
    made = mapped(engine, seen, kind, label)
    return Explanation(
        file=name,
        upload=seen.file,
        slice=seen.number,
        label=made.label,
        probability=made.probability,
        probabilities=made.probabilities,
        method=kind,
        peak=made.peak,
        size=len(made.image),
        image=_png(made.image),
        overlay=_png(made.overlay()),
        map=_written(np.ascontiguousarray(made.saliency, "<f4").tobytes()),
    )


def neighbours(
    found: Found, nearest: Sequence[Sequence[tuple[str, str, float]]]
) -> list[Neighbours | Unread]:
    """Return the known cases of slices.

    Args:
        found: the slices.
        nearest: of each slice: id, label and cosine of known cases.
    """
    cases = iter(nearest)
    return [
        one
        if isinstance(one, Unread)
        else Neighbours(
            file=name,
            upload=one.file,
            slice=one.number,
            cases=[
                Case(id=known, label=label, similarity=cosine)
                for known, label, cosine in next(cases)
            ],
        )
        for name, one in found
    ]


def _png(pixels: np.ndarray) -> str:
    held = io.BytesIO()
    Image.fromarray(shallow(pixels)).save(held, "PNG", compress_level=1)
    return _written(held.getvalue())


def _written(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")

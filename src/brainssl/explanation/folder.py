"""Explain a classifier: maps of its test slices and their scorecard, in a folder."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32, Float64
from PIL import Image
from scipy.special import softmax

from brainssl.data.balance import COPY
from brainssl.data.dataset import Data, evenly
from brainssl.data.indices import Indices
from brainssl.evaluation.rows import for_json
from brainssl.explanation.lesions import read_lesions
from brainssl.explanation.measure import Cases, Explained, How, explain
from brainssl.explanation.neighbours import Neighbours, nearest
from brainssl.explanation.overlay import overlay
from brainssl.explanation.scorecard import scorecard
from brainssl.explanation.side_by_side import EXPLANATIONS, MAPS_FILE
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import whole_folder, write_json, write_text
from brainssl.models.classifier import Classifier, run_in_batches

IMAGES = 100


@dataclass(frozen=True)
class Request:
    """What to explain, and how.

    Attributes:
        images: how many test slices at most, from all groups in turn.
        lesions: masks, COCO JSON or YOLO text, see `brainssl.explanation.lesions.read_lesions`; by
            default what the store has of its source.
        how: kinds of maps, layer, baselines and steps.
        draws: of the cluster bootstrap.
        seed: of the choice of slices.
        among: how many training slices at most, from all groups in turn, are looked at for those
            that are alike; None: all.
    """

    images: int = IMAGES
    lesions: Path | None = None
    how: How = field(default_factory=How)
    draws: int = 2000
    seed: int = 0
    among: int | None = None


@dataclass(frozen=True, eq=False)
class Explanation:
    """A classifier explained on slices of a store.

    Attributes:
        rows: of the slices in the store.
        cases: these slices.
        found: maps, logits and measures.
        alike: for each slice the nearest training slices, as places in `training`.
        training: rows of the training slices in the store.
    """

    rows: Indices
    cases: Cases
    found: Explained
    alike: Neighbours
    training: Indices

    @property
    def probabilities(self) -> Float64[np.ndarray, "n classes"]:
        """Of all classes, by softmax."""
        return np.asarray(softmax(self.found.logits.astype(np.float64), axis=1))


MakePage = Callable[[Data, Classifier, Explanation, dict[str, Any]], str]


def explain_classifier(
    data: Data,
    classifier: Classifier,
    out: Path,
    request: Request | None = None,
    *,
    page: MakePage | None = None,
    made_from: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Explain a classifier on test slices of the split that it was trained on, into a new folder.

    The folder holds `explanations.json` (what is returned), `explanations.html` (the page, if there
    is to be one), `measures.parquet` and `cascade.parquet` (a row a slice and map), `maps.npz` (by
    kind, float16 from 0 to 1; `<kind>_raw`, as they come from the layer; `image_ids`) and
    `overlays/<image_id>-<kind>.png`.

    Args:
        data: store and split of its training.
        classifier: on the device where it is to run; its layers are put into the memory format in
            which they run faster.
        out: folder to make.
        request: what to explain, and how.
        page: returns the page as text, from data, classifier, what was made and what is returned:
            `brainssl.reporting.documents.gallery.render_gallery`.
        made_from: kept as it is, for who wants to know later whether it is still the same.
        progress: called with (slices done, slices in all).

    Returns:
        `classifier` (facts of its training), `maps`, `layer`, `grid` (rows and columns of the raw
        maps), `alike_among` (training slices that were looked at for similar ones), `images`,
        `groups`, `with_lesion`, `empty` (share of maps without evidence, by kind), `scores` (see
        `brainssl.explanation.scorecard.Score`), `cascade` (mean likeness by kind and block) and
        `made_from`.

    Raises:
        BrainsslError: the classifier was trained on another store or split, the encoder has no
            feature map, the lesions cannot be read, or `out` exists.
    """
    request = request or Request()
    classifier = classifier.to(memory_format=torch.channels_last)
    data.refuse_seen(classifier.facts)
    with whole_folder(out) as folder:
        made = make_explanation(data, classifier, request, progress=progress)
        told = {"classifier": classifier.facts, **_facts(made, request), "made_from": made_from}
        write_json(folder / EXPLANATIONS, told)
        made.found.measures.to_parquet(folder / "measures.parquet", index=False)
        made.found.cascade.to_parquet(folder / "cascade.parquet", index=False)
        _save_maps(made, folder)
        if page:
            text = page(data, classifier, made, told)
            write_text(folder / "explanations.html", text)
        return told


def make_explanation(
    data: Data,
    classifier: Classifier,
    request: Request,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Explanation:
    """Choose slices, explain them, and find the training slices that are most alike."""
    rows, cases = choose_slices(data, request)
    found = explain(classifier, cases, request.how, progress=progress)
    training = data.rows(classifier.facts["label_fraction"], int(classifier.facts["seed"]))
    known, encode = training["train"], classifier.encoder
    groups = data.store.manifest["group"].to_numpy(np.int64)
    if request.among is not None:
        known = known[evenly(groups[known], request.among)]
    alike = nearest(
        run_in_batches(encode, data.store.images, rows),
        run_in_batches(encode, data.store.images, known),
        query_groups=cases.groups,
        known_groups=groups[known],
    )
    return Explanation(rows, cases, found, alike, known)


def choose_slices(data: Data, request: Request) -> tuple[Indices, Cases]:
    """Choose test slices from all groups in turn, with their lesions.

    Raises:
        BrainsslError: the lesions cannot be read, or name none of the slices.
    """
    rows = data.sample("test", request.images, request.seed)
    manifest = data.store.manifest
    lesions: tuple[Any, ...] = tuple(data.store.lesions(rows) or (None,) * len(rows))
    if request.lesions:
        if data.store.field_of_view is not None:
            raise BrainsslError(
                f"{request.lesions} is of whole slices, and {data.store.path} has slices of "
                f"{data.store.field_of_view:g} mm: leave it out, or prepare a store without "
                "--field-of-view; masks that the source itself brings are in the store"
            )
        # An augmented copy has its original's path, but not its lesion in the same place.
        copies = manifest["flags"].iloc[rows].str.contains(COPY, regex=False)
        found = read_lesions(request.lesions, manifest.iloc[rows], data.store.size)
        lesions = tuple(None if c else own for own, c in zip(found, copies, strict=True))
        if all(lesion is None for lesion in lesions):
            raise BrainsslError(
                f"{request.lesions} names none of the {len(rows)} test slices: its names are to be "
                "those of the images, relative to their folder"
            )
    groups = manifest["group"].to_numpy(np.int64)[rows]
    names = tuple(manifest["image_id"].iloc[rows].astype(str))
    return rows, Cases(np.asarray(data.store.images[rows]), names, groups, lesions)


def _fading(cascade: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Return the mean likeness by kind of map and block, from the head down."""
    means = cascade.groupby(["map", "block"], sort=False)["likeness"].mean()
    found: dict[str, dict[str, float]] = {}
    for key, value in means.items():
        kind, block = map(str, key)  # type: ignore[call-overload]
        found.setdefault(kind, {})[block] = float(value)
    return found


def _facts(made: Explanation, request: Request) -> dict[str, Any]:
    found, cases = made.found, made.cases
    scores = scorecard(found.measures, draws=request.draws)
    return {
        "maps": list(found.maps),
        "layer": request.how.layer,
        "grid": list(found.grid),
        "alike_among": len(made.training),
        "images": len(cases),
        "groups": len(np.unique(cases.groups)),
        "with_lesion": sum(lesion is not None and bool(lesion.any()) for lesion in cases.lesions),
        "empty": {kind: float((peaks <= 0).mean()) for kind, peaks in found.peaks.items()},
        "scores": [for_json(score.to_dict()) for score in scores],
        "cascade": for_json(_fading(found.cascade)),
    }


def _save_maps(made: Explanation, folder: Path) -> None:
    maps: dict[str, Float32[np.ndarray, "n size size"]] = made.found.maps
    held = {kind: own.astype(np.float16) for kind, own in maps.items() if kind in made.found.peaks}
    raw = {f"{kind}_raw": own for kind, own in made.found.raw.items()}
    names = np.array(made.cases.image_ids, dtype="U")
    np.savez_compressed(folder / MAPS_FILE, image_ids=names, **held, **raw)  # type: ignore[arg-type]
    (folder / "overlays").mkdir()
    for i, name in enumerate(made.cases.image_ids):
        for kind, own in held.items():
            drawn = overlay(made.cases.images[i], own[i].astype(np.float32), made.cases.lesions[i])
            Image.fromarray(drawn).save(folder / "overlays" / f"{name}-{kind}.png")

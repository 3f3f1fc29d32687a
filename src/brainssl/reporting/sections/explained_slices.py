"""Two slices with the maps of every model: that of the most probable true class, and the least."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image

from brainssl.evaluation.predictions import Predictions
from brainssl.explanation.overlay import scale_text
from brainssl.explanation.side_by_side import FOLDER, MAPS_FILE
from brainssl.foundation.depth import shallow
from brainssl.foundation.plain_names import read_frame
from brainssl.reporting.blocks import Block, Prose, Strips
from brainssl.reporting.figures.map_strips import map_strip, scale_strip
from brainssl.reporting.figures.pictures import Picture, read_images
from brainssl.reporting.study import Study
from brainssl.reporting.tables.scorecards import BLIND, MAP_TITLES, classless
from brainssl.reporting.titles import title_of
from brainssl.reporting.wording import join, percent

_HOW = (
    "Two of the slices. The maps are of the class that each model names; colour comes as a map "
    "grows, from 0 to its peak, which stands below, and leaves the grey values where the map is 0. "
    "A white line is the outline of a lesion."
)


def slice_strips(study: Study, models: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return a scale and, for each of the two slices, a strip a model; nothing if files lack.

    The slices are those whose true class has the highest and the lowest probability in the mean of
    the models.

    Args:
        study: with predictions, and the explanations beside them.
        models: as `results.json` has them under `explanations`.
    """
    said = {}
    for model in models:
        if (frame := said_of(study, model)) is None:
            return []
        said[str(model["step"])] = frame
    known = pd.DataFrame({step: frame["known"] for step, frame in said.items()}).mean(axis=1)
    order = [str(name) for name in known.sort_values(ascending=False, kind="stable").index]
    kinds = list(dict.fromkeys(str(s["map"]) for s in models[0]["scores"] if s["map"] not in BLIND))
    titles = join([MAP_TITLES.get(kind, kind) for kind in kinds])
    blocks: list[Block] = []
    for what, image in (("highest", order[0]), ("lowest", order[-1])):
        own = slice_of(study, image)
        strips = [_strip(study, model, image, kinds, own, said) for model in models]
        if pictures := tuple(strip for strip in strips if strip is not None):
            label = said[str(models[0]["step"])]["label"][image]
            start = "" if own is None else "as it is, then "
            caption = (
                f"The slice to whose class, {label}, the models give the {what} probability in "
                f"their mean: {start}{titles}."
            )
            blocks.append(Strips(caption, pictures))
    how = Prose((_HOW + classless(kinds),))
    return [how, Strips("", (scale_strip(),)), *blocks] if blocks else []


def folder_of(model: Mapping[str, Any]) -> str:
    """Return the folder of a model's explanations within the study."""
    return f"{FOLDER}/{str(model['step']).removeprefix('steps/')}"


def said_of(study: Study, model: Mapping[str, Any]) -> pd.DataFrame | None:
    """Return, by slice that was explained, what is true and what was said; None if files lack.

    Columns are `label`, `known` (probability of the true class), the class `named`, and `sure`
    (its probability).
    """
    rows = (*study.rows, *study.of_folds)
    row = next((r for r in rows if (r.step, r.split) == (model["step"], "test")), None)
    predictions = study.predictions(row) if row else None
    try:
        file = study.folder / folder_of(model) / "measures.parquet"
        names = read_frame(file, columns=["image_id"])["image_id"].unique()
    except (OSError, ValueError):
        return None
    if predictions is None or not set(names) <= set(predictions.frame["image_id"]):
        return None
    return _as_frame(predictions).loc[names]


def _as_frame(predictions: Predictions) -> pd.DataFrame:
    probabilities = predictions.probabilities()
    return pd.DataFrame(
        {
            "label": predictions.frame["label"].to_numpy(),
            "known": probabilities[np.arange(len(probabilities)), predictions.labels],
            "named": np.array(predictions.classes)[predictions.predicted],
            "sure": probabilities.max(axis=1),
        },
        index=predictions.frame["image_id"].to_numpy(),
    )


def _strip(
    study: Study,
    model: Mapping[str, Any],
    image: str,
    kinds: Sequence[str],
    own: UInt8[np.ndarray, "h w"] | None,
    said: Mapping[str, pd.DataFrame],
) -> Picture | None:
    overlays = study.folder / folder_of(model) / "overlays"
    try:
        maps = [pixels(overlays, image, kind) for kind in kinds]
    except (OSError, ValueError):
        return None
    tiles = maps if own is None else [own, *maps]
    title = title_of(model)
    frame = said[str(model["step"])]
    peaks = [
        f"{MAP_TITLES.get(kind, kind)} {scale_text(peak)}"
        for kind, peak in _peaks(study.folder / folder_of(model), image, kinds).items()
    ]
    named = f"{title}: named {frame['named'][image]}, {percent(float(frame['sure'][image]))} %"
    caption = ". ".join([named, *([", ".join(peaks)] * bool(peaks))]) + "."
    titles = join([MAP_TITLES.get(kind, kind) for kind in kinds])
    return map_strip(tiles, len(tiles), f"{titles} of {title}", caption)


def _peaks(folder: Path, image: str, kinds: Sequence[str]) -> dict[str, float]:
    """Return the largest value of each raw map of a slice; nothing without the file of maps."""
    try:
        with np.load(folder / MAPS_FILE, allow_pickle=False) as maps:
            (place,) = np.flatnonzero(maps["image_ids"] == image)
            return {kind: float(maps[f"{kind}_raw"][place].max()) for kind in kinds}
    except (OSError, ValueError, KeyError):
        return {}


def pixels(overlays: Path, image: str, kind: str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a map that lies over a slice.

    Raises:
        OSError, ValueError: it is not there, or no picture.
    """
    with Image.open(overlays / f"{image}-{kind}.png") as opened:
        return np.asarray(opened.convert("RGB"))


def slice_of(study: Study, image: str) -> UInt8[np.ndarray, "h w"] | None:
    """Return a slice's pixels from the store that holds it."""
    for store in sorted(study.folder.glob("store*")):
        if (found := read_images(store)) is None:
            continue
        images, manifest = found
        if "image_id" in manifest and len(rows := np.flatnonzero(manifest["image_id"] == image)):
            return shallow(np.asarray(images[rows[0]]))
    return None

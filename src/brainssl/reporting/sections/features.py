"""The section that maps the features of test images before and after training."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from PIL import Image, ImageOps

from brainssl.data.families import factors
from brainssl.data.sequence import in_order
from brainssl.evaluation.projection import NEIGHBOURS, PROJECTIONS, Projections
from brainssl.foundation.depth import shallow
from brainssl.foundation.errors import BrainsslError
from brainssl.reporting.blocks import Block, Choice, Fold, Multiples, Panel, Prose, Slices
from brainssl.reporting.figures.figure import COLOURS, FAINT, SYMBOLS, Figure, Key, panel, rounded
from brainssl.reporting.figures.pictures import read_images
from brainssl.reporting.study import Study
from brainssl.reporting.titles import method_title
from brainssl.reporting.wording import count, counted, fixed, labels_title, shorten
from brainssl.settings.starts import mark_of

_COLOURINGS = {"family": "tumour family", "sequence": "sequence", "class": "class"}
_MOMENTS = {"pretrained": "pretrained", "finetuned": "fine-tuned"}
_ACROSS = 4  # the two panels of a method stay side by side
_HEIGHT = 230
_SIDE = 48  # of a thumbnail, in pixels
_COLUMNS = 32
_BUDGET = 1_500_000  # characters of all thumbnails together
_QUALITIES = (80, 60, 40)  # of the JPEG; the last suffices for 1,000 images of noise

_HOW = (
    "A point is a test image. It lies near images whose features are alike: t-SNE lays out in two "
    "dimensions what an encoder says in many. Point at one to see what it is and where it lies on "
    "the other maps, or walk through a map with the arrow keys."
)
_ONLY = "Only who is near whom can be read from these maps; they do not measure accuracy."
_NOT = (
    "Distances between clusters and their sizes mean nothing, t-SNE also makes clusters where "
    "there are none, and the axes have no unit. In brackets stands the trustworthiness of each "
    "map: 1 if every image’s {k} nearest on the map are its nearest by the features, too, about "
    "0.5 if the points lay at random."
)


def content(study: Study) -> tuple[Block, ...]:
    """Show a map for each encoder, coloured by family and by sequence, and slices on hover."""
    try:
        maps = Projections.load(study.folder / PROJECTIONS)
    except BrainsslError:
        return ()
    if maps.frame.empty:
        return ()
    places = {row: place for place, row in enumerate(maps.frame["row"].unique())}
    panels = tuple(
        Panel(f"features-by-{name}", _COLOURINGS[name], (_multiples(maps, name, values, places),))
        for name, values in _colourings(study, maps.frame).items()
    )
    slices = _slices(study, maps.frame.drop_duplicates("row"))
    choice = Choice("features-by", "Coloured by", panels)
    how = Fold("How to read a map", (Prose(_text(maps)),))
    return (Prose((_ONLY,)), choice, slices, how)


def _text(maps: Projections) -> tuple[str, ...]:
    k = min(NEIGHBOURS, (maps.frame["row"].nunique() - 1) // 2)
    told = [_HOW, _NOT.format(k=k)]
    for entry in maps.facts.get("left_out") or ():
        title = _title(entry["method"], entry["moment"], entry.get("start", ""))
        told.append(f"{title} is not drawn: {entry['reason']}.")
    return tuple(told)


def _colourings(study: Study, frame: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return, by name, what each class is coloured as."""
    labels = set(frame["label"])
    classes = [name for name in study.classes if name in labels]
    classes += sorted(labels - set(classes))
    found = factors(classes, study.families) or {"class": classes}
    return {name: dict(zip(classes, values, strict=True)) for name, values in found.items()}


def _multiples(
    maps: Projections, name: str, values: Mapping[str, str], places: Mapping[int, int]
) -> Multiples:
    order = in_order(values.values()) if name == "sequence" else []
    keys = {
        value: Key(
            shorten(value, 60),
            COLOURS[i % len(COLOURS)],
            SYMBOLS[i // len(COLOURS) % len(SYMBOLS)],
            "",
        )
        for i, value in enumerate(dict.fromkeys([*order, *values.values()]))
    }
    figures = tuple(
        _map(name, str(method), str(moment), str(start), own, values, keys, places)
        for (method, moment, start), own in maps.frame.groupby(
            ["method", "moment", "start"], sort=False
        )
    )
    made, shown, of = maps.facts["made_from"], len(places), int(maps.facts["images"])
    caption = (
        f"t-SNE of the features of {counted(shown, 'test image')}"
        f"{f' of {count(of)}, from all groups in turn' if of > shown else ''}, protocol "
        f"“{made['protocol']}”, {labels_title(made['label_fraction'])}, seed "
        f"{made['seed']}."
    )
    title = f"Test images by {_COLOURINGS[name]}"
    return Multiples(f"features-by-{name}", title, caption, tuple(keys.values()), figures, _ACROSS)


def _map(
    name: str,
    method: str,
    moment: str,
    start: str,
    own: pd.DataFrame,
    values: Mapping[str, str],
    keys: Mapping[str, Key],
    places: Mapping[int, int],
) -> Figure:
    trusted = fixed(float(own["trust"].iloc[0]), 2)
    title = _title(method, moment, start)
    coloured = own["label"].map(values)
    traces = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": rounded(points["x"].tolist(), 2),
            "y": rounded(points["y"].tolist(), 2),
            "customdata": [places[row] for row in points["row"]],
            "marker": key.marker(5) | {"opacity": 0.8},
            "hoverinfo": "none",
        }
        for value, key in keys.items()
        if len(points := own[coloured == value])
    ]
    return panel(
        f"features-by-{name}-{moment}_{method}{mark_of(start)}",
        Key(f"{title} ({trusted})", ""),
        f"t-SNE of the features, {title}, by {_COLOURINGS[name]}; trustworthiness {trusted}",
        traces,
        _LAYOUT,
        _HEIGHT,
    )


_AXIS: dict[str, Any] = {
    "showgrid": False,
    "showticklabels": False,
    "ticks": "",
    "showline": True,
    "mirror": True,
    "linecolor": FAINT,
}
_LAYOUT: dict[str, Any] = {
    "margin": {"l": 1, "r": 1, "t": 6, "b": 1},
    "xaxis": _AXIS,
    "yaxis": _AXIS,
}


def _title(method: str, moment: str, start: str) -> str:
    """Return "Untrained encoder", "SimCLR, pretrained", "Supervised baseline"."""
    stage = _MOMENTS.get(moment)
    title = method_title(method, start)
    return f"{title}, {stage}" if stage else title


def _slices(study: Study, images: pd.DataFrame) -> Slices:
    """Say what each image is, with pictures where the study's store is there."""
    names = tuple(
        f"{label}\n{own}" for label, own in zip(images["label"], images["image_id"], strict=True)
    )
    pictures = _pictures(study, images)
    sheet = "" if pictures is None else _sheet(pictures)
    return Slices(names, sheet, min(_COLUMNS, len(names)))


def _pictures(study: Study, images: pd.DataFrame) -> UInt8[np.ndarray, "n h w"] | None:
    """Return the images from the store that holds them in these rows; None if none does."""
    rows = images["row"].to_numpy()
    for store in sorted(study.folder.glob("store*")):
        if (found := read_images(store)) is None:
            continue
        pixels, manifest = found
        held = "image_id" in manifest and rows.max() < len(pixels)
        if held and list(manifest["image_id"].iloc[rows]) == list(images["image_id"]):
            return shallow(np.asarray(pixels[rows]))
    return None


def _sheet(images: UInt8[np.ndarray, "n h w"]) -> str:
    """Return thumbnails row by row on one JPEG, as a data URI of at most `_BUDGET` characters."""
    rows = -(-len(images) // _COLUMNS)
    sheet = Image.new("L", (_SIDE * min(_COLUMNS, len(images)), _SIDE * rows))
    for place, pixels in enumerate(images):
        tile = ImageOps.contain(Image.fromarray(pixels), (_SIDE, _SIDE), Image.Resampling.LANCZOS)
        sheet.paste(tile, (place % _COLUMNS * _SIDE, place // _COLUMNS * _SIDE))
    for quality in _QUALITIES:
        stream = io.BytesIO()
        sheet.save(stream, "JPEG", quality=quality, optimize=True)
        data = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
        if len(data) <= _BUDGET:
            break
    return data

"""Four test slices with what the best classifier says of them: two right, two wrong."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from brainssl.data.shots import label_fraction
from brainssl.explanation.comparison import COMPARED_MAP
from brainssl.reporting.blocks import Block, Strips
from brainssl.reporting.figures.map_strips import map_strip
from brainssl.reporting.figures.pictures import Picture
from brainssl.reporting.findings.outcomes import CHOOSING
from brainssl.reporting.sections.explained_slices import folder_of, pixels, said_of, slice_of
from brainssl.reporting.study import Study
from brainssl.reporting.tables.scorecards import MAP_TITLES
from brainssl.reporting.titles import learner_and_stage, title_of
from brainssl.reporting.wording import counted, join, percent

_EACH = 2


def example_strips(study: Study) -> list[Block]:
    """Return a strip of each example: the slice, and its map; nothing without explanations.

    The classifier is that of the explained ones that is best on validation. Of the slices that were
    explained the first two by image that it names rightly are shown, and the first two that it
    names wrongly; where there are fewer of one kind, more of the other.
    """
    found = study.analysis.get("explanations") or {}
    model = _best(study, found)
    said = said_of(study, model) if model else None
    if model is None or said is None:
        return []
    made = {image: _strip(study, model, said, image) for image in chosen(said)}
    shown = {image: picture for image, picture in made.items() if picture}
    if not shown:
        return []
    title = title_of(model)
    caption = (
        f"{title}, of the explained classifiers the best on validation: of "
        f"{counted(len(said), 'explained slice')} {_which(said, list(shown))}. "
        f"Colour: {MAP_TITLES[COMPARED_MAP]} of the class named."
    )
    return [Strips(caption, tuple(shown.values()), small=True)]


def chosen(said: pd.DataFrame) -> list[str]:
    """Return the images of the examples, those named rightly first.

    Args:
        said: by image, with its `label` and the class that was `named`.
    """
    own = said.sort_index(kind="stable")
    right = own["named"].to_numpy() == own["label"].to_numpy()
    hits, misses = list(own.index[right]), list(own.index[~right])
    some_hits = max(_EACH, 2 * _EACH - len(misses))
    some_misses = max(_EACH, 2 * _EACH - len(hits))
    return [*map(str, hits[:some_hits]), *map(str, misses[:some_misses])]


def _which(said: pd.DataFrame, images: Sequence[str]) -> str:
    """Say which slices are shown: of those named rightly and of those named wrongly."""
    own = said.loc[list(images)]
    hits = int((own["named"].to_numpy() == own["label"].to_numpy()).sum())
    parts = [(hits, "right"), (len(images) - hits, "wrong")]
    shown = [
        f"the first {number} by name that are {kind}" if number > 1 else f"the first that is {kind}"
        for number, kind in parts
        if number
    ]
    none = [f"none is {kind}" for number, kind in parts if not number]
    return "; ".join([join(shown), *none])


def _best(study: Study, found: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the explained model with the best macro F1 on validation, of those that have one."""
    models = found.get("models") or ()
    if not models:
        return None
    validated = study.validated(str(found["protocol"]), CHOOSING.name)
    labels = label_fraction(found["label_fraction"])
    scored = [
        (validated[key], place)
        for place, model in enumerate(models)
        for (method, start), stage in [learner_and_stage(model)]
        if (key := (method, start, stage, labels)) in validated
    ]
    if not scored:
        return None
    best: Mapping[str, Any] = models[max(scored, key=lambda pair: (pair[0], -pair[1]))[1]]
    return best


def _strip(
    study: Study, model: Mapping[str, Any], said: pd.DataFrame, image: str
) -> Picture | None:
    try:
        overlay = pixels(study.folder / folder_of(model) / "overlays", image, COMPARED_MAP)
    except (OSError, ValueError):
        return None
    own = slice_of(study, image)
    tiles = [overlay] if own is None else [own, overlay]
    truth, named, sure = (said[column][image] for column in ("label", "named", "sure"))
    told = f"{named}, {percent(float(sure))}\u00a0%"
    caption = f"Right: {told}" if named == truth else f"Wrong: {told}; truth {truth}"
    alt = f"Slice {image} and its saliency map. {caption}"
    return map_strip(tiles, len(tiles), alt, caption)

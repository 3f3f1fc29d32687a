"""The page of explanations: the scorecard, and slices with their maps and similar cases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64

from brainssl.data.dataset import Data
from brainssl.explanation.folder import Explanation
from brainssl.explanation.overlay import overlay, scale_text
from brainssl.foundation.depth import shallow
from brainssl.models.classifier import Classifier
from brainssl.reporting.blocks import Block, Facts, Prose, Section, Strips
from brainssl.reporting.figures.map_strips import map_strip, scale_strip
from brainssl.reporting.figures.pictures import Picture
from brainssl.reporting.page import Page, render_page
from brainssl.reporting.tables.scorecards import (
    MAP_TITLES,
    classless,
    coarseness,
    score_table,
    verdict,
)
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.titles import arm_title
from brainssl.reporting.wording import counted, fixed, join, percent
from brainssl.settings.starts import RANDOM

_SHOWN = 6

_HOW = (
    "Each row shows the slice, then a map of the class that the classifier named: {titles}. Colour "
    "comes as the map grows and leaves the grey values where it is 0; the scale runs from 0 to the "
    "peak of the raw map, which stands below.{outline} The three slices behind are those of "
    "{among} training slices that the encoder finds most alike, one of a group, none of the "
    "slice’s own."
)


def render_gallery(
    data: Data, classifier: Classifier, made: Explanation, told: Mapping[str, Any]
) -> str:
    """Return the page as text: scorecard first, then slices that were right, wrong and unsure."""
    facts = classifier.facts
    stage = str(facts.get("stage") or "")
    start = str(facts.get("start") or "")
    title = arm_title(
        str(facts.get("method") or "classifier"), stage, "" if start == RANDOM else start
    )
    kinds = [str(kind) for kind in told["maps"]]
    sections = [
        Section("scorecard", "How far the maps can be trusted", _scorecard(told)),
        *_chapters(data, classifier, made, kinds),
    ]
    slices, groups = int(told["images"]), int(told["groups"])
    about = (
        f"{counted(slices, 'test slice')} of {counted(groups, 'group')} · protocol "
        f"{facts.get('protocol')} · seed {facts.get('seed')}"
    )
    origin = "from maps that it computed and measured"
    return render_page(Page("brainssl explanations", title, about, sections, origin))


def _scorecard(told: Mapping[str, Any]) -> tuple[Block, ...]:
    rows, columns = told["grid"]
    texts = verdict(told["scores"])
    texts += coarseness(rows, columns)
    caption = (
        f"Mean over {counted(int(told['images']), 'test slice')} of "
        f"{counted(int(told['groups']), 'group')} ({int(told['with_lesion'])} with a known "
        "lesion), with the 95 % interval of the cluster bootstrap. A map at random and a blob in "
        "the centre know nothing of the classifier: a map is worth what it has over them."
    )
    scores = score_table("scores", caption, {"": told["scores"]})
    facts = (
        ("Layer", str(told["layer"] or "the encoder's last")),
        ("Raw maps", f"{rows} × {columns}"),
        *(
            (f"{MAP_TITLES.get(kind, kind)} without evidence", f"{percent(share)} % of slices")
            for kind, share in told["empty"].items()
        ),
    )
    return (Prose(tuple(texts)), scores, Facts(facts), _fading(told["cascade"]))


def _fading(cascade: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Return how alike maps stay while weights are drawn anew."""
    blocks = list(next(iter(cascade.values())))
    lines = tuple(
        Line((MAP_TITLES.get(kind, kind),), tuple(Cell(fixed(own.get(b), 2)) for b in blocks))
        for kind, own in cascade.items()
    )
    caption = (
        "Likeness (rank correlation) of each map to itself while the weights are drawn anew from "
        "the head down to the block named. A map that stays alike shows the slice, not what was "
        "learnt."
    )
    return Table("cascade", caption, ("Map",), tuple(blocks), lines)


def _chapters(
    data: Data, classifier: Classifier, made: Explanation, kinds: Sequence[str]
) -> list[Section]:
    probabilities = made.probabilities
    said, sure = probabilities.argmax(1), probabilities.max(1)
    truth = np.array(
        [classifier.classes.index(x) for x in data.store.manifest["label"].iloc[made.rows]]
    )
    by_sure = np.argsort(-sure, kind="stable")
    right, wrong = by_sure[(said == truth)[by_sure]], by_sure[(said != truth)[by_sure]]
    _, first = np.unique(truth[by_sure], return_index=True)
    chapters = (
        ("right", "Right and sure", right[:_SHOWN]),
        ("wrong", "Wrong and sure", wrong[:_SHOWN]),
        ("unsure", "Least sure", by_sure[::-1][:_SHOWN]),
        ("classes", "One of each class", by_sure[np.sort(first)]),
    )
    outline = " The white line is the outline of the lesion." if _outlined(made) else ""
    titles = join([MAP_TITLES.get(kind, kind) for kind in kinds])
    how = _HOW.format(titles=titles, outline=outline, among=len(made.training))
    how += classless(kinds)
    sections: list[Section] = []
    for name, title, places in chapters:
        if not len(places):
            continue
        blocks: list[Block] = [] if sections else [Prose((how,)), Strips("", (scale_strip(),))]
        pictures = _pictures(data, classifier, made, kinds, places)
        blocks.append(Strips("", pictures, wide=True))
        sections.append(Section(name, title, tuple(blocks)))
    return sections


def _outlined(made: Explanation) -> bool:
    return any(lesion is not None and lesion.any() for lesion in made.cases.lesions)


def _pictures(
    data: Data,
    classifier: Classifier,
    made: Explanation,
    kinds: Sequence[str],
    places: Int64[np.ndarray, " chosen"],
) -> tuple[Picture, ...]:
    probabilities = made.probabilities
    labels = data.store.manifest["label"]
    found = []
    for i in map(int, places):
        image, lesion = made.cases.images[i], made.cases.lesions[i]
        nearest = [made.training[p] for p in made.alike.places[i] if p >= 0]
        tiles = [
            shallow(image),
            *(overlay(image, made.found.maps[kind][i], lesion) for kind in kinds),
            *(shallow(data.store.images[row]) for row in nearest),
        ]
        best = int(probabilities[i].argmax())
        peaks = [
            f"{MAP_TITLES.get(kind, kind)} {scale_text(float(made.found.peaks[kind][i]))}"
            for kind in kinds
        ]
        alike = [
            f"{labels.iloc[row]} ({distance:.2g})"
            for row, distance in zip(nearest, made.alike.distances[i], strict=False)
        ]
        caption = (
            f"{labels.iloc[made.rows[i]]}; named {classifier.classes[best]}, "
            f"{percent(float(probabilities[i, best]))} %. {', '.join(peaks)}. "
            f"Most alike in training, with cosine distance: {', '.join(alike) or 'none'}."
        )
        alt = f"Slice {made.cases.image_ids[i]}, its maps, and {len(nearest)} similar slices"
        found.append(map_strip(tiles, len(kinds) + 1, alt, caption))
    return tuple(found)

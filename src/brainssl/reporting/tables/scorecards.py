"""What measured saliency maps are worth: tables, and what they mean in words."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from brainssl.reporting.rows import interval
from brainssl.reporting.tables.table import Cell, Line, Table
from brainssl.reporting.wording import MISSING, Metric, join

MAP_TITLES = {
    "gradcam": "Grad-CAM",
    "gradcampp": "Grad-CAM++",
    "eigencam": "Eigen-CAM",
    "layercam": "Layer-CAM",
    "rollout": "Attention rollout",
    "random": "Random map",
    "centre": "Blob in the centre",
}
BLIND = ("random", "centre")
_CLASSLESS = {
    "eigencam": "Eigen-CAM shows what is strongest in the layer and knows no class.",
    "rollout": "Attention rollout shows which patches are attended to and knows no class.",
}

_WHERE = (
    Metric("pointing", "Pointing game", True, "Share of maps whose maximum lies on the lesion."),
    Metric("energy_inside", "Energy inside", True, "Share of the map that lies on the lesion."),
    Metric("iou_best", "IoU, best", False, "Overlap with the lesion at each map's best threshold."),
    Metric("iou_half", "IoU, half", False, "Overlap with the lesion at half of the map's peak."),
)
_WHETHER = (
    Metric("insertion_blurred", "Insertion", False, "Into the blurred slice: higher is better."),
    Metric("deletion_blurred", "Deletion", False, "By the blurred slice: lower is better."),
    Metric("insertion_mean", "Insertion, mean", False, "Into the mean grey: higher is better."),
    Metric("deletion_mean", "Deletion, mean", False, "By the mean grey: lower is better."),
    Metric("sensitivity", "Sensitivity", False, "How far an unseen change of the slice moves it."),
    Metric("randomised", "Random weights", False, "Likeness to the map of random weights."),
)
MEASURES = (*_WHERE, *_WHETHER)
_COARSE = 4  # rows or columns below which a map can hardly point at anything
ALIKE = 0.5  # rank correlation from which a map is said to stay when nothing is learnt

_FINDS = "the maximum lies on the lesion in {value} of {n} slices with one"
_COUNTS = "put into the blurred slice in its order, pixels bring a mean probability of {value}"

Score = Mapping[str, Any]


def classless(kinds: Collection[str]) -> str:
    """Say which of some kinds of map know no class, each in a sentence after a blank."""
    return "".join(f" {told}" for kind, told in _CLASSLESS.items() if kind in kinds)


def score_table(name: str, caption: str, models: Mapping[str, Sequence[Score]]) -> Table:
    """Return every measure of every kind of map, of one model or of several.

    Args:
        name: anchor of the table.
        caption: what was measured on what.
        models: scores of each model by its title; "" for one that needs none.
    """
    measured = {str(score["measure"]) for scores in models.values() for score in scores}
    shown = [metric for metric in MEASURES if metric.name in measured]
    lines = []
    for title, scores in models.items():
        found = {(str(s["map"]), str(s["measure"])): s for s in scores}
        start = bool(title)
        for kind in dict.fromkeys(str(score["map"]) for score in scores):
            cells = tuple(_cell(found.get((kind, metric.name)), metric) for metric in shown)
            head = MAP_TITLES.get(kind, kind)
            lines.append(Line((title, head) if title else (head,), cells, "", start))
            start = False
    several = any(models)
    return Table(
        name=name,
        caption=caption,
        stub=("Model", "Map") if several else ("Map",),
        columns=tuple(metric.heading for metric in shown),
        lines=tuple(lines),
        layout="wide",
        column_titles={metric.heading: metric.meaning for metric in shown},
    )


def verdict(scores: Sequence[Score]) -> list[str]:
    """Say in words what the scores of one model mean, a sentence a question."""
    found = {(str(s["map"]), str(s["measure"])): s for s in scores}
    kinds = [kind for kind in dict.fromkeys(str(s["map"]) for s in scores) if kind not in BLIND]
    told = []
    if any(measure == "pointing" for _, measure in found):
        told += [
            _judged(kind, found, _WHERE[0], _FINDS) for kind in kinds if (kind, "pointing") in found
        ]
    else:
        told.append(
            "No lesion is known in these slices (--lesions says where they are), so that nothing "
            "says whether the maps lie on it."
        )
    told += [
        _judged(kind, found, _WHETHER[0], _COUNTS)
        for kind in kinds
        if (kind, "insertion_blurred") in found
    ]
    stays = [
        f"{MAP_TITLES.get(kind, kind)} ({MEASURES[-1].number(score['mean'])})"
        for kind in kinds
        if (score := found.get((kind, "randomised"))) and score["mean"] > ALIKE
    ]
    if stays:
        told.append(
            f"With random weights in place of the trained ones the maps stay alike: {join(stays)}, "
            "rank correlation. What they show is the slice more than what was learnt."
        )
    return told


def coarseness(rows: int, columns: int) -> list[str]:
    """Say so where maps have so few places that they can hardly tell where anything is."""
    if min(rows, columns) >= _COARSE:
        return []
    return [
        f"The maps have {rows} × {columns} places only and are enlarged: they cannot tell where in "
        "a slice anything small is. Train on larger images, or look at an earlier layer with "
        "--layer."
    ]


def _judged(kind: str, found: Mapping[tuple[str, str], Score], metric: Metric, told: str) -> str:
    """Say a measure of a map, and how it differs from that of maps that know nothing."""
    score = found[kind, metric.name]
    unit = " %" if metric.percent else ""
    head = told.format(value=f"{metric.number(score['mean'])}{unit}", n=int(score["n"]))
    gains = [_gain(score, other, found, metric) for other in BLIND if other in score["over"]]
    return "; ".join([f"{MAP_TITLES.get(kind, kind)}: {head}", *gains]) + "."


def _gain(score: Score, other: str, found: Mapping[tuple[str, str], Score], metric: Metric) -> str:
    gain = score["over"][other]
    limits = interval(gain["interval"])
    name = f"the {MAP_TITLES[other].lower()}"
    if theirs := found.get((other, metric.name)):
        name += f" ({metric.number(theirs['mean'])})"
    size = f"{metric.number(abs(gain['difference']))}{' points' if metric.percent else ''}"
    size += " more" if gain["difference"] > 0 else " less"
    if limits is None:
        return f"{size} than {name}"
    if limits[0] <= 0 <= limits[1]:
        return f"it cannot be told from {name}: {size}, 95 % interval {metric.range(limits)}"
    return f"{size} than {name}, 95 % interval {metric.range(limits)}"


def _cell(score: Score | None, metric: Metric) -> Cell:
    if score is None:
        return Cell(MISSING)
    limits = interval(score["interval"])
    return Cell(metric.number(score["mean"]), "" if limits is None else metric.range(limits))

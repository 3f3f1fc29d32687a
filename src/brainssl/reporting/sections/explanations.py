"""The section that shows where the models look, and says how far their maps can be trusted."""

from collections.abc import Mapping, Sequence
from typing import Any

from brainssl.explanation.comparison import COMPARED_MAP
from brainssl.explanation.scorecard import LOCALISATION
from brainssl.reporting.blocks import Block, Facts, Fold, Prose
from brainssl.reporting.rows import interval
from brainssl.reporting.sections.comparisons import LEVEL, within
from brainssl.reporting.sections.explained_slices import folder_of, slice_strips
from brainssl.reporting.study import Study
from brainssl.reporting.tables.scorecards import (
    ALIKE,
    BLIND,
    MAP_TITLES,
    MEASURES,
    coarseness,
    score_table,
    verdict,
)
from brainssl.reporting.tables.table import Table
from brainssl.reporting.titles import title_of
from brainssl.reporting.wording import Metric, counted, join, labels_title, percent

_METRIC = {metric.name: metric for metric in MEASURES}
_MOST_SENTENCES = 4
# What each measure that decides is about, in words that end a sentence.
_DECIDING = {
    "energy_inside": "have more of their Grad-CAM on the lesion than",
    "insertion_blurred": "gain more probability by the pixels that Grad-CAM names than by those of",
}

_HOW = (
    "A saliency map of any network looks convincing. Here each model is explained on the same test "
    "slices, and its maps are measured: whether they lie on lesions, whether the pixels that they "
    "name count for the model, and whether they change with random weights. Beside them stand two "
    "maps that know nothing: a smooth random one, and a blob in the centre, where heads are."
)


def content(study: Study) -> tuple[Block, ...]:
    """Say whose maps are worth something, in words, as tables, and on two slices."""
    found = study.analysis.get("explanations") or {}
    models = found.get("models") or ()
    if not models and not found.get("left_out"):
        return ()
    blocks: list[Block] = [Prose(tuple(_findings(found)))]
    if models:
        blocks += [_table(found), _complete(found), _in_words(models)]
        if strips := slice_strips(study, models):
            blocks.append(Fold("Two slices with the maps of every model", tuple(strips)))
        blocks.append(
            Fold("What is measured, and where the maps are", (Prose((_HOW, _where(models))),))
        )
    return tuple(blocks)


def _findings(found: Mapping[str, Any]) -> list[str]:
    models = found["models"]
    told = [f"{_title(entry)} is not explained: {entry['reason']}." for entry in found["left_out"]]
    if not models:
        return told
    deciding = next(
        name for name in _DECIDING if any(_score(model, COMPARED_MAP, name) for model in models)
    )
    told.append(_against_blind(models, deciding))
    pairs = [pair for pair in found["comparisons"] if pair["metric"] == deciding]
    told += _between(pairs, _METRIC[deciding])
    told += _unmoved(models)
    empty = [float(model["empty"].get(COMPARED_MAP, 0.0)) for model in models]
    if max(empty) > 0:
        told.append(
            f"Grad-CAM is empty, without positive evidence, in {percent(min(empty))} to "
            f"{percent(max(empty))} % of a model’s slices; an empty map lies on no lesion."
        )
    return told + coarseness(*models[0]["grid"])


def _against_blind(models: Sequence[Mapping[str, Any]], measure: str) -> str:
    """Say whose map beats both of those that know nothing."""
    better = [_title(model) for model in models if _beats_blind(model, measure)]
    names = join([f"the {MAP_TITLES[kind].lower()}" for kind in BLIND])
    start = "" if measure in LOCALISATION else "No lesion is known in these slices. "
    told = (
        f"{start}Of {counted(len(models), 'model')}, {len(better) or 'none'} {_DECIDING[measure]} "
        f"both {names}, so that the 95 % intervals of both differences, not corrected for the "
        "number of models, are above 0"
    )
    return f"{told}: {join(better)}." if better else f"{told}."


def _beats_blind(model: Mapping[str, Any], measure: str) -> bool:
    score = _score(model, COMPARED_MAP, measure)
    if score is None:
        return False
    limits = [interval((score["over"].get(kind) or {}).get("interval")) for kind in BLIND]
    return all(limit is not None and limit[0] > 0 for limit in limits)


def _between(pairs: Sequence[Mapping[str, Any]], metric: Metric) -> list[str]:
    """Say which models differ in it after correction."""
    tested = [pair for pair in pairs if pair["p_holm"] is not None]
    if not tested:
        return []
    sure = [pair for pair in tested if pair["p_holm"] < LEVEL]
    over = "" if metric.name in LOCALISATION else " over the random map"
    told = [
        f"Compared in pairs on the same slices, {len(sure) or 'none'} of "
        f"{counted(len(tested), 'pair')} of models {'differs' if len(sure) == 1 else 'differ'} in "
        f"Grad-CAM’s {metric.title[0].lower()}{metric.title[1:]}{over} after correction (Holm, "
        f"p < {LEVEL:g})."
    ]
    for pair in sorted(sure, key=lambda p: -abs(p["difference"]))[:_MOST_SENTENCES]:
        sign = 1 if pair["difference"] > 0 else -1
        ahead, behind = (pair[side] for side in ("first", "second")[::sign])
        limits = interval(pair["interval"])
        span = "" if limits is None else _range(metric, limits, sign)
        unit = " points" if metric.percent else ""
        told.append(
            f"{_title(ahead)}: {metric.number(abs(pair['difference']))}{unit} more than "
            f"{within(behind)}{span}."
        )
    return told


def _range(metric: Metric, limits: tuple[float, float], sign: int) -> str:
    low, high = sorted(sign * limit for limit in limits)
    return f", 95 % interval {metric.range((low, high))}"


def _unmoved(models: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the maps that stay alike, in the mean over models, when all weights are random."""
    told = []
    for kind in _kinds(models):
        scores = [_score(model, kind, "randomised") for model in models]
        values = [score["mean"] for score in scores if score is not None]
        if values and (mean := sum(values) / len(values)) > ALIKE:
            lowest, highest = (_METRIC["randomised"].number(f(values)) for f in (min, max))
            told.append(
                f"{MAP_TITLES.get(kind, kind)} stays alike when all weights are random: rank "
                f"correlation {_METRIC['randomised'].number(mean)} in the mean over the models "
                f"({lowest} to {highest}). It shows the slice more than what was learnt."
            )
    return told


def _table(found: Mapping[str, Any]) -> Table:
    """Return Grad-CAM of each model, and below what maps that know nothing have on lesions."""
    models = found["models"]
    shown = {_title(m): [s for s in m["scores"] if s["map"] == COMPARED_MAP] for m in models}
    blind = [
        score
        for score in models[0]["scores"]
        if score["map"] in BLIND and score["measure"] in LOCALISATION
    ]
    if blind:
        shown["Whatever the model"] = blind
    caption = (
        f"Grad-CAM of the class that each model names, {_on(found)}, with 95 % intervals (cluster "
        "bootstrap). The maps that know nothing are the same for every model where only lesions "
        "count; how they do in insertion and deletion is in the complete table."
    )
    return score_table("explanations-gradcam", caption, shown)


def _complete(found: Mapping[str, Any]) -> Fold:
    models = {_title(model): model["scores"] for model in found["models"]}
    caption = f"Every map of every model, {_on(found)}, with 95 % intervals (cluster bootstrap)."
    return Fold("Every map and measure", (score_table("explanations-all", caption, models),))


def _in_words(models: Sequence[Mapping[str, Any]]) -> Fold:
    pairs = tuple((_title(model), " ".join(verdict(model["scores"]))) for model in models)
    return Fold("Each model in words", (Facts(pairs),))


def _on(found: Mapping[str, Any]) -> str:
    model = found["models"][0]
    return (
        f"{counted(int(model['images']), 'test slice')} of "
        f"{counted(int(model['groups']), 'group')} ({int(model['with_lesion'])} with a known "
        f"lesion), protocol “{found['protocol']}”, {labels_title(found['label_fraction'])}, "
        f"seed {found['seed']}"
    )


def _where(models: Sequence[Mapping[str, Any]]) -> str:
    return (
        "Each model has a gallery beside this page, of slices that it knew, missed or doubted, "
        "with the training slices most like them, and the maps of every slice as files: "
        f"{folder_of(models[0])}/explanations.html and so on."
    )


def _score(model: Mapping[str, Any], kind: str, measure: str) -> Mapping[str, Any] | None:
    return next(
        (s for s in model["scores"] if (s["map"], s["measure"]) == (kind, measure)),
        None,
    )


def _kinds(models: Sequence[Mapping[str, Any]]) -> list[str]:
    kinds = (str(score["map"]) for score in models[0]["scores"])
    return [kind for kind in dict.fromkeys(kinds) if kind not in BLIND]


def _title(model: Mapping[str, Any]) -> str:
    return title_of(model)

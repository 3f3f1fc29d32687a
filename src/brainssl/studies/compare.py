"""Studies side by side: the same models on other data, settings or versions."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

from brainssl.evaluation.comparison import compare_all
from brainssl.evaluation.optimism import optimism
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import for_json
from brainssl.foundation.errors import BadUseError
from brainssl.reporting.rows import Arm, ArmKey
from brainssl.reporting.study import Study, read_studies
from brainssl.reporting.wording import HEADLINE

DRAWS = 2000
_Key = tuple[str, ArmKey]  # protocol, and what an arm is under it


def compare_studies(folders: Sequence[Path]) -> dict[str, Any]:
    """Set the accuracy of every model of several studies side by side.

    A model that is in the first study and in another one is compared: on the same test images, if
    both were measured on them (paired cluster bootstrap), else as two independent samples.

    Args:
        folders: of two studies or more; the others are compared with the first.

    Returns:
        `studies`: for each `folder`, `source`, `command` and the `digest` of each protocol's
        split. `models`: for each `protocol`, `label_fraction`, `method`, `stage`, where a study has
        several `start`, and `title`, and
        under `scores` for each study None, or `accuracy` (mean over seeds), `seeds`, and unless it
        is the first `difference` from it, its `interval` and whether it is `paired`.

    Raises:
        BadUseError: fewer than two studies.
        BrainsslError: a folder holds none.
    """
    if len(folders) < 2:
        raise BadUseError("one study cannot be compared: name two or more")
    studies = read_studies(folders)
    arms = [_arms(study) for study in studies]
    keys = list(dict.fromkeys(key for own in arms for key in own))
    models = []
    for key in keys:
        protocol, (method, start, stage, fraction) = key
        title = next(own[key].title for own in arms if key in own)
        scores = [
            _score(studies, arms, key, place) if key in own else None
            for place, own in enumerate(arms)
        ]
        place = {"protocol": protocol, "label_fraction": fraction}
        named = {"method": method, "stage": stage} | ({"start": start} if start else {})
        models.append({**place, **named, "title": title, "scores": scores})
    return {"studies": [_facts(study) for study in studies], "models": models}


def text_of(compared: dict[str, Any]) -> str:
    """Return a comparison as lines for a terminal."""
    studies = compared["studies"]
    lines = [f"{place}: {study['folder']}" for place, study in enumerate(studies, start=1)]
    heads = [f"study {place}" for place, _ in enumerate(studies, start=1)]
    width = max([len(model["title"]) for model in compared["models"]] + [5])
    lines += ["", f"{'protocol':8}  {'labels':>6}  {'model':{width}}  " + "  ".join(heads)]
    for model in compared["models"]:
        cells = []
        for score in model["scores"]:
            if score is None:
                cells.append(f"{'–':>7}")
            elif score.get("interval"):
                low, high = (100 * end for end in score["interval"])
                cells.append(
                    f"{100 * score['accuracy']:6.1f}% ({100 * score['difference']:+.1f}, "
                    f"{low:+.1f} to {high:+.1f}{'' if score['paired'] else ', unpaired'})"
                )
            else:
                cells.append(f"{100 * score['accuracy']:6.1f}%")
        fraction = model["label_fraction"]
        share = fraction if isinstance(fraction, str) else f"{100 * fraction:g}%"
        lines.append(
            f"{model['protocol']:8}  {share:>6}  {model['title']:{width}}  " + "  ".join(cells)
        )
    return "\n".join(
        [*lines, "", "Test accuracy; in brackets the difference from study 1 in points, 95 %."]
    )


def _arms(study: Study) -> dict[_Key, Arm]:
    return {
        (arm.protocol, arm.key): arm
        for protocol in study.protocols
        for arm in study.arms(protocol)
        if arm.mean(HEADLINE.name) is not None
    }


def _score(
    studies: Sequence[Study], arms: Sequence[dict[_Key, Arm]], key: _Key, place: int
) -> dict[str, Any]:
    arm = arms[place][key]
    score: dict[str, Any] = {"accuracy": arm.mean(HEADLINE.name), "seeds": len(arm.rows)}
    if place and key in arms[0]:
        score |= _difference(
            _predictions(studies[place], arm), _predictions(studies[0], arms[0][key])
        )
    return score


def _predictions(study: Study, arm: Arm) -> list[Predictions]:
    found = (study.predictions(row) for row in arm.rows)
    return [predictions for predictions in found if predictions is not None]


def _difference(ours: list[Predictions], theirs: list[Predictions]) -> dict[str, Any]:
    """Return ours − theirs; nothing where predictions are missing."""
    if not ours or not theirs:
        return {}
    keys = ["image_id", "group", "label"]
    paired = all(a.frame[keys].equals(b.frame[keys]) for a, b in product(ours, theirs))
    if paired:
        (pair,) = compare_all({"a": ours, "b": theirs}, metrics=[HEADLINE.name], draws=DRAWS)
        told = pair.to_dict()
        return {"difference": told["difference"], "interval": told["interval"], "paired": True}
    gap = optimism(ours, theirs, draws=DRAWS)
    limits = for_json(list(gap.interval))
    return {"difference": gap.difference, "interval": limits, "paired": False}


def _facts(study: Study) -> dict[str, Any]:
    facts = study.facts
    return {
        "folder": str(study.folder),
        "source": facts.get("source"),
        "command": facts.get("command"),
        "digest": {protocol: study.split(protocol).get("digest") for protocol in study.protocols},
    }

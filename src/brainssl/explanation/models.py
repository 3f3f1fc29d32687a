"""What the explanations of a study's models say together: no network is run."""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.errors import BrainsslError
from brainssl.evaluation.rows import for_json
from brainssl.explanation.comparison import compare_maps
from brainssl.explanation.scorecard import scorecard
from brainssl.sections import EvaluationSettings
from brainssl.storage import read_json

FOLDER = "explanations"
INDEX = "index.json"
EXPLANATIONS = "explanations.json"
PAIRED = ("energy_inside", "insertion_blurred")  # by which models are compared

_OWN_FACTS = ("images", "groups", "with_lesion", "layer", "grid", "empty", "cascade")


def read_explanations(out: Path, settings: EvaluationSettings) -> dict[str, Any]:
    """Return what the explanations of a study say together; empty where there are none.

    Args:
        out: folder of the study.
        settings: of the bootstrap.

    Returns:
        `protocol`, `label_fraction`, `seed` and `left_out` of the index; `models`, each with
        `method`, `stage`, `step`, `scores` (see `brainssl.explanation.scorecard.Score`) and the
        facts of its own `explanations.json`; `comparisons` of Grad-CAM, see `PAIRED`.
    """
    try:
        index = read_json(out / FOLDER / INDEX, "what was explained")
        told = {step: _read(out / FOLDER / step) for step in index["steps"]}
    except (BrainsslError, OSError, ValueError, KeyError, TypeError):
        return {}
    models, frames = [], {}
    for step, (facts, frame) in told.items():
        named = {name: facts["classifier"][name] for name in ("method", "stage")}
        scores = [for_json(score.to_dict()) for score in scorecard(frame, draws=settings.draws)]
        own = {name: facts[name] for name in _OWN_FACTS}
        models.append({**named, "step": f"steps/{step}", **own, "scores": scores})
        frames[step] = frame
    return {
        **{name: index[name] for name in ("protocol", "label_fraction", "seed", "left_out")},
        "models": models,
        "comparisons": _compared(models, list(frames.values()), settings),
    }


def _read(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    facts = read_json(folder / EXPLANATIONS, "explanations")
    return facts, pd.read_parquet(folder / "measures.parquet")


def _compared(
    models: Sequence[dict[str, Any]], frames: Sequence[pd.DataFrame], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    """Compare the same method before and after fine-tuning, and what was tuned among each other."""
    named = {f"{model['method']}/{model['stage']}": model for model in models}
    pairs = [
        (one, other)
        for one, other in combinations(named, 2)
        if "linear" not in (named[one]["stage"], named[other]["stage"])
        or named[one]["method"] == named[other]["method"]
    ]
    by_name = dict(zip(named, frames, strict=True))
    found = []
    for measure in PAIRED:
        if not all(measure in frame for frame in frames):
            continue
        for pair in compare_maps(by_name, pairs, measure, draws=settings.draws):
            told = pair.to_dict()
            sides = {
                side: {name: named[told[side]][name] for name in ("method", "stage")}
                for side in ("first", "second")
            }
            found.append(told | sides)
    return found

"""What the explanations of a study's models say together: no network is run."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from brainssl.evaluation.rows import for_json
from brainssl.explanation.comparison import compare_maps
from brainssl.explanation.scorecard import scorecard
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json
from brainssl.settings.sections import EvaluationSettings

FOLDER = "explanations"
INDEX = "index.json"
EXPLANATIONS = "explanations.json"
MAPS_FILE = "maps.npz"
PAIRED = ("energy_inside", "insertion_blurred")  # by which models are compared

_NAMES = ("method", "stage", "start")  # the last where there are several
_OWN_FACTS = ("images", "groups", "with_lesion", "layer", "grid", "empty", "cascade")


def read_explanations(out: Path, settings: EvaluationSettings) -> dict[str, Any]:
    """Return what the explanations of a study say together; empty where there are none.

    Args:
        out: folder of the study.
        settings: of the bootstrap.

    Returns:
        `protocol`, `label_fraction`, `seed` and `left_out` of the index; `models`, each with
        `method`, `stage`, where there are several `start`, `step`, `scores` (see
        `brainssl.explanation.scorecard.Score`) and the facts of its own `explanations.json`;
        `comparisons` of Grad-CAM for every pair of models, see `PAIRED`. A model whose files are
        missing, damaged or of other slices is left out.
    """
    try:
        index = read_json(out / FOLDER / INDEX, "what was explained")
        left_out = list(index["left_out"])
        told = {name: index[name] for name in ("protocol", "label_fraction", "seed")}
        steps, slices = list(index["steps"]), index["slices"]
    except (BrainsslError, KeyError, TypeError):
        return {}
    models, frames = [], {}
    for entry in steps:
        try:
            model, frame = _read(out / FOLDER / entry["step"], slices)
        except (BrainsslError, OSError, ValueError, KeyError, TypeError):
            left_out.append(entry | {"reason": _STALE})
            continue
        scores = [for_json(score.to_dict()) for score in scorecard(frame, draws=settings.draws)]
        models.append({**entry, "step": f"steps/{entry['step']}", **model, "scores": scores})
        frames["/".join(entry[name] for name in _NAMES if name in entry)] = frame
    return told | {
        "left_out": left_out,
        "models": models,
        "comparisons": _compared(frames, settings),
    }


_STALE = "its files are missing, damaged or of other slices: run the study again"


def _read(folder: Path, slices: str) -> tuple[dict[str, Any], pd.DataFrame]:
    facts = read_json(folder / EXPLANATIONS, "explanations")
    if facts["made_from"]["slices"] != slices:
        raise BrainsslError(f"{folder} shows other slices")
    return {name: facts[name] for name in _OWN_FACTS}, read_frame(folder / "measures.parquet")


def _compared(
    frames: dict[str, pd.DataFrame], settings: EvaluationSettings
) -> list[dict[str, Any]]:
    found = []
    for measure in PAIRED:
        pairs = list(combinations(frames, 2))
        for pair in compare_maps(frames, pairs, measure, draws=settings.draws):
            told = pair.to_dict()
            for side in ("first", "second"):
                told[side] = dict(zip(_NAMES, told[side].split("/", 2), strict=False))
            found.append(told)
    return found

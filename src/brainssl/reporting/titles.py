"""What methods, stages and models are called: one name for each, wherever it stands."""

from collections.abc import Mapping
from typing import Any

from brainssl.settings import LABELLED_METHODS, SEMI_SUPERVISED
from brainssl.settings.starts import RANDOM, start_title

BASELINE = "supervised"
RANDOM_LABELS = "random_labels"
CONTROLS = frozenset({"untrained"})
ENSEMBLE = "ensemble"
CLASSICAL = {
    "decision_tree": "Decision tree",
    "lda": "LDA",
    "svm": "SVM",
    "knn": "Nearest neighbours",
}
"""Titles of the classifiers on hand-made features, which are no networks."""

METHOD_TITLES = {
    "simclr": "SimCLR",
    "byol": "BYOL",
    "dino": "DINO",
    "mocov3": "MoCo v3",
    "barlowtwins": "Barlow Twins",
    "nnclr": "NNCLR",
    "supcon": "SupCon",
    "fixmatch": "FixMatch",
}
_STAGE_TITLES = {"linear": "linear probe", "finetune": "fine-tuned"}

Learner = tuple[str, str]
"""Method and start; the start is empty where a study has one."""


def arm_title(method: str, stage: str, start: str = "") -> str:
    """Return method and stage in words: "SimCLR, fine-tuned", "FixMatch", "Supervised baseline".

    With a start: "SimCLR from ImageNet, fine-tuned", "Supervised from ImageNet", "ImageNet weights
    as they are".
    """
    if stage == ENSEMBLE:
        return "Ensemble"
    alone = method in (BASELINE, *SEMI_SUPERVISED, *CLASSICAL)
    alone |= method in CONTROLS and _has_learnt(start)
    title = method_title(method, start)
    return title if alone else f"{title}, {_STAGE_TITLES.get(stage, stage)}"


def learner_and_stage(model: Mapping[str, Any]) -> tuple[Learner, str]:
    """Return whom the analysis names by `method`, `stage` and, where it is told, `start`."""
    return (str(model["method"]), str(model.get("start") or "")), str(model["stage"])


def title_of(model: Mapping[str, Any]) -> str:
    """Return the title of a model that the analysis names."""
    (method, start), stage = learner_and_stage(model)
    return arm_title(method, stage, start)


def method_title(method: str, start: str = "") -> str:
    """Return a method's name as its authors write it, and the start where there is one to tell."""
    if method in CONTROLS:
        if _has_learnt(start):
            return f"{start_title(start)} weights as they are"
        return "Untrained encoder"
    if method == BASELINE:
        return f"Supervised from {start_title(start)}" if start else "Supervised baseline"
    title = (CLASSICAL | METHOD_TITLES).get(method, method)
    return f"{title} from {start_title(start)}" if start else title


def _has_learnt(start: str) -> bool:
    """Tell whether a start is told, and holds weights that something was learnt with."""
    return start not in ("", RANDOM)


def is_pretrained(method: str) -> bool:
    """Tell whether a method's encoder is pretrained, with labels or without."""
    return method not in (BASELINE, *SEMI_SUPERVISED, *CONTROLS, *CLASSICAL)


def is_self_supervised(method: str) -> bool:
    """Tell whether a method's encoder learns without labels first."""
    return is_pretrained(method) and method not in LABELLED_METHODS


def column_title(name: str) -> str:
    """Return a column of the manifest as a table shows it, with its unit."""
    plain = name.replace("_", " ").strip()
    return _COLUMNS.get(name, plain[:1].upper() + plain[1:])


_COLUMNS = {
    "age": "Age (years)",
    "field_strength": "Field strength (T)",
    "slice_thickness": "Slice thickness (mm)",
}

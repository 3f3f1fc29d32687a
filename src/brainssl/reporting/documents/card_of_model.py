"""The card that goes with a model when it is taken elsewhere."""

from pathlib import Path
from typing import Any

from brainssl.data.field_of_view import told_field
from brainssl.inference.timm_network import one_view
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder
from brainssl.reporting.documents.front_matter import as_yaml
from brainssl.reporting.documents.model_card import RESEARCH, card
from brainssl.reporting.findings.about import About, read_about
from brainssl.reporting.study import read_study
from brainssl.reporting.titles import METHOD_TITLES

_TOLD = {
    "method": "Method",
    "stage": "Stage",
    "protocol": "Protocol of the split",
    "split_digest": "Digest of the split",
    "label_fraction": "Label fraction",
    "seed": "Seed",
    "chosen": "What was kept",
}


def about_of(where: Path | None) -> About:
    """Return what the authors of a study say of the model that is one of its steps.

    Raises:
        BrainsslError: `study.toml` is not as it should be.
    """
    study = _study_of(where)
    return read_about(study) if study else About()


def card_of(model: Encoder | Classifier, where: Path | None) -> str:
    """Return the card of the network alone: the study's where it recommends it, else a short one.

    Where the network does not give the scores of its classifier, both say so.

    Args:
        model: as loaded.
        where: its file or the folder of its step; None if that is not known.

    Raises:
        BrainsslError: `results.json` or `study.toml` of its study is not as it should be.
    """
    folder = _study_of(where)
    if folder is not None and where is not None:
        study = read_study(folder)
        best = str((study.facts.get("best") or {}).get("step") or "")
        if best and _step(where) in (folder.resolve(), (folder / best).resolve()):
            return card(study, read_about(folder), differs=one_view(model))
    return _short(model)


def _step(where: Path) -> Path:
    return (where if where.is_dir() else where.parent).resolve()


def _study_of(where: Path | None) -> Path | None:
    if where is None:
        return None
    # The recommended classifier also lies beside the report.
    inside = _step(where).parent.name == "steps"
    study = _step(where).parent.parent if inside else _step(where)
    return study if (study / "results.json").is_file() else None


def _short(model: Encoder | Classifier) -> str:
    """Say what the model's own file knows of it."""
    is_classifier = isinstance(model, Classifier)
    encoder = model.encoder if isinstance(model, Classifier) else model
    kind = "image-classification" if is_classifier else "image-feature-extraction"
    front = {
        "library_name": "brainssl",
        "pipeline_tag": kind,
        "tags": ["brain-mri", "medical-imaging", "research-only"],
    }
    lines: dict[str, Any] = {
        "Architecture": f"timm's `{encoder.name}`, one channel",
        "Image size": f"{model.image_size} × {model.image_size} pixels",
        "Normalisation": f"mean {encoder.mean:g}, deviation {encoder.std:g}, of values in [0, 1]",
    }
    if model.field_of_view is not None:
        lines["Slices"] = f"of volumes, {told_field(model.field_of_view)}"
    if isinstance(model, Classifier):
        lines["Classes"] = ", ".join(model.classes)
    facts = {**model.facts}
    facts["method"] = METHOD_TITLES.get(str(facts.get("method")), facts.get("method"))
    lines |= {title: facts[key] for key, title in _TOLD.items() if facts.get(key) is not None}
    title = "Classifier" if is_classifier else "Encoder"
    return "\n".join(
        [
            "---",
            *as_yaml(front),
            "---",
            "",
            f"# {title} of brain MRI slices",
            "",
            RESEARCH,
            "",
            *([told, ""] if (told := one_view(model)) else []),
            *(f"- **{name}**: {value}" for name, value in lines.items()),
            "",
            "How well it does is not known here: no scores travel with it.",
            "",
        ]
    )

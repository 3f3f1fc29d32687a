"""Self-supervised learning for brain MRI classification, with results that can be believed."""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# For what is imported later, PyTorch above all; what a user has set stays.
# Threads that wait for others sleep instead of spinning: on a busy machine those that spin keep
# the others from working (docs/why/speed.md).
_waiting_is_ours = "OMP_WAIT_POLICY" not in os.environ
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# What Apple's GPUs lack runs on the processor.
os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

# Where each public name lives. They are imported when first asked for: the command line answers
# --help without PyTorch.
_COMMANDS = (
    "phantom",
    "scan",
    "audit",
    "prepare",
    "pretrain",
    "probe",
    "finetune",
    "tune",
    "evaluate",
    "study",
    "report",
    "compare",
    "review",
    "external",
    "explain",
    "predict",
    "embed",
    "export",
    "serve",
)
_PLACES = {
    **dict.fromkeys(_COMMANDS, "brainssl.api"),
    "BrainsslError": "brainssl.foundation.errors",
    "BadUseError": "brainssl.foundation.errors",
    "ImageStore": "brainssl.data.store",
    "Split": "brainssl.data.split",
    "make_split": "brainssl.data.split",
    "label_subset": "brainssl.data.label_fractions",
    "ViewRecipe": "brainssl.views.recipes",
    "TABLE2": "brainssl.views.recipes",
    "Encoder": "brainssl.models.encoder",
    "load_encoder": "brainssl.models.encoder",
    "Classifier": "brainssl.models.classifier",
    "load_model": "brainssl.models.classifier",
    "saliency_map": "brainssl.inference.saliency",
    "SaliencyMap": "brainssl.inference.saliency",
    "export_onnx": "brainssl.inference.export",
    "Predictions": "brainssl.evaluation.predictions",
    "Settings": "brainssl.settings",
    "load_settings": "brainssl.settings",
}

__all__ = ["__version__", *_PLACES]


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module brainssl has no attribute {name}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

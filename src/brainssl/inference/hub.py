"""A model in the layout of timm's hub: a folder that any timm opens, normalisation included."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from brainssl.foundation.storage import refuse_existing, whole_folder, write_json, write_text
from brainssl.inference.timm_network import encoder_of, one_view, timm_arguments, timm_network
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder
from brainssl.models.lineage import BEFORE, training_of
from brainssl.models.tensor_files import LEARNT, TAKEN_ALONG, marks_as_text


def export_hub(model: Encoder | Classifier, out: Path, *, card: str) -> dict[str, Any]:
    """Write a folder that `timm.create_model("local-dir:FOLDER", pretrained=True)` opens.

    Uploaded to a hub as it is, it is opened by `hf-hub:OWNER/NAME` in the same way.

    Args:
        model: what to write; it stays as it is.
        out: folder to make: `config.json` with one input channel, mean, deviation, image size and
            label names; `model.safetensors`; and `README.md`.
        card: the model card, in Markdown.

    Returns:
        The content of `config.json`.

    Raises:
        BrainsslError: `out` exists, or timm cannot build encoder and head as one network.
    """
    refuse_existing(out)
    network = timm_network(model)
    config = _config(model, network)
    with whole_folder(out) as folder:
        tensors = {name: value.contiguous() for name, value in network.state_dict().items()}
        header = {"format": "pt", TAKEN_ALONG: json.dumps(_taken_along(model))}
        save_file(tensors, folder / "model.safetensors", metadata=header)
        write_json(folder / "config.json", config)
        write_text(folder / "README.md", card)
    return config


def _taken_along(model: Encoder | Classifier) -> dict[str, Any]:
    """Return by what `encoder.weights` refuses it where a test set holds what it has learnt."""
    told: dict[str, Any] = {BEFORE: training_of(model.facts)}
    if model.learnt is not None:
        told[LEARNT] = marks_as_text(model.learnt)
    return told


def _config(model: Encoder | Classifier, network: Any) -> dict[str, Any]:
    encoder = encoder_of(model)
    own = network.pretrained_cfg
    size = encoder.image_size
    arguments = timm_arguments(model)
    names = list(model.classes) if isinstance(model, Classifier) else []
    return {
        "architecture": encoder.name.split(".")[0],
        "num_classes": arguments["num_classes"],
        "num_features": encoder.dim,
        **({"label_names": names} if names else {}),
        **({"description": told} if (told := one_view(model)) else {}),
        "model_args": {name: own for name, own in arguments.items() if name != "num_classes"},
        "pretrained_cfg": {
            "input_size": [1, size, size],
            "fixed_input_size": bool(own.get("fixed_input_size", False)),
            # The whole slice: scaled until its longer side fits, the rest filled.
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "crop_mode": "border",
            "mean": [encoder.mean],
            "std": [encoder.std],
            "num_classes": arguments["num_classes"],
            "first_conv": own.get("first_conv"),
            "classifier": own.get("classifier"),
        },
    }

"""A classifier as a MONAI bundle: weights, how to read an image, and what it is, for MONAI."""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from brainssl import __version__
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import refuse_existing, whole_folder, write_json, write_text
from brainssl.inference.timm_network import one_view, timm_arguments, timm_network
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import Encoder

SCHEMA = "https://project-monai.github.io/schema/meta_schema_20240725.json"
MONAI = "1.6.1"
"""The version by which bundles are tested; where MONAI is installed, its own is written."""


def export_monai(
    model: Encoder | Classifier, out: Path, *, card: str, about: dict[str, str]
) -> dict[str, Any]:
    """Write a MONAI bundle of a classifier.

    Its `configs/inference.json` reads images as training did, by brainssl, and hands them to timm's
    network: `monai.bundle run` writes probabilities of a folder of images as CSV.

    Args:
        model: what to write; it stays as it is.
        out: folder to make.
        card: the model card, in Markdown.
        about: what its authors say, by the keys of `study.toml`; what is missing is said to be.

    Returns:
        The content of `configs/metadata.json`.

    Raises:
        BrainsslError: `out` exists, the model is no classifier, it has learnt fields of view of
            volumes, or timm cannot build encoder and head as one network.
    """
    refuse_existing(out)
    if not isinstance(model, Classifier):
        raise BrainsslError("a MONAI bundle answers with classes: give a classifier, no encoder")
    model.refuse_pictures()  # which are what a bundle reads
    network = timm_network(model)
    metadata = _metadata(model, about)
    with whole_folder(out) as folder:
        for name in ("configs", "docs", "models"):
            (folder / name).mkdir()
        torch.save(network.state_dict(), folder / "models" / "model.pt")  # what MONAI loads
        write_json(folder / "configs" / "metadata.json", metadata)
        write_json(folder / "configs" / "inference.json", _inference(model))
        write_text(folder / "docs" / "README.md", card)
        write_text(folder / "LICENSE", _licence("weights", about.get("model_licence", "")))
        write_text(
            folder / "docs" / "data_license.txt", _licence("images", about.get("data_licence", ""))
        )
    return metadata


def _licence(what: str, told: str) -> str:
    if not told:
        return f"No licence of the {what} has been stated: ask its authors before you use them.\n"
    return f"Licence of the {what}: {told}\n"


def _metadata(model: Classifier, about: dict[str, str]) -> dict[str, Any]:
    size, mean, deviation = model.image_size, model.encoder.mean, model.encoder.std
    authors = about.get("authors") or "not stated"
    classes = {str(number): name for number, name in enumerate(model.classes)}
    image = {"format": "magnitude", "spatial_shape": [size, size], "dtype": "float32"}
    return {
        "schema": SCHEMA,
        "version": "0.1.0",
        "changelog": {"0.1.0": f"exported by brainssl {__version__}"},
        "monai_version": _version("monai", MONAI),
        "pytorch_version": torch.__version__.split("+")[0],
        "numpy_version": _version("numpy"),
        "required_packages_version": {
            "brainssl": __version__,
            "timm": _version("timm"),
            "pytorch-ignite": _version("pytorch-ignite", "0.5.0"),
        },
        "name": "Brain MRI classification",
        "task": "Classification of brain MRI slices by tumour family and sequence",
        "description": (
            f"{model.encoder.name} for slices of {size} × {size} pixels. For research: not a "
            f"medical device. {one_view(model)}"
        ).rstrip(),
        "authors": authors,
        "copyright": f"Copyright (c) {authors}",
        "data_source": about.get("source") or "not stated",
        "data_type": "image files",
        "image_classes": "one slice of a brain MRI, normalised",
        "pred_classes": ", ".join(model.classes),
        "intended_use": about.get("intended_use") or "not stated",
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "num_channels": 1,
                    "value_range": [(0 - mean) / deviation, (1 - mean) / deviation],
                    "is_patch_data": False,
                    "channel_def": {"0": "image"},
                    **image,
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": len(model.classes),
                    "spatial_shape": [],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": classes,
                }
            },
        },
    }


def _inference(model: Classifier) -> dict[str, Any]:
    mean, deviation = model.encoder.mean, model.encoder.std
    most = 2**model.bits - 1
    # Of 16 bits as float32: what MONAI does with it takes no uint16.
    deep, wide = ("", "") if model.bits == 8 else (f", {model.bits}", ".astype('float32')")
    # In MONAI's files @ names an entry, and what begins with $ is computed.
    read = (
        f"$lambda path: torch.from_numpy(letterbox(read_slice(Path(path), reader={model.reader})"
        f".pixels, {model.image_size}{deep})[None]{wide})"
    )
    return {
        "imports": [
            "$import torch",
            "$from pathlib import Path",
            "$from brainssl.data.read import read_slice",
            "$from brainssl.data.store import letterbox",
        ],
        "bundle_root": ".",
        "output_dir": "$@bundle_root + '/eval'",
        "dataset_dir": "$@bundle_root + '/images'",
        "datalist": "$sorted(str(f) for f in Path(@dataset_dir).rglob('*') if f.is_file())",
        "device": "$torch.device('cuda' if torch.cuda.is_available() else 'cpu')",
        "ckpt_path": "$@bundle_root + '/models/model.pt'",
        "network_def": {
            "_target_": "timm.create_model",
            "model_name": model.encoder.name,
            **timm_arguments(model),
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Lambdad", "keys": "image", "func": read},
                {
                    "_target_": "NormalizeIntensityd",
                    "keys": "image",
                    "subtrahend": most * mean,
                    "divisor": most * deviation,
                },
                {"_target_": "EnsureTyped", "keys": "image", "dtype": "$torch.float32"},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": (
                "$[{'image': path, 'image_meta_dict': {'filename_or_obj': path}} for path in "
                "@datalist]"
            ),
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 32},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {
                    "_target_": "SaveClassificationd",
                    "keys": "pred",
                    "meta_keys": "image_meta_dict",
                    "output_dir": "@output_dir",
                    "filename": "predictions.csv",
                },
            ],
        },
        "handlers": [
            {
                "_target_": "CheckpointLoader",
                "load_path": "@ckpt_path",
                "load_dict": {"model": "@network"},
                "map_location": "@device",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "run": ["$@evaluator.run()"],
    }


def _version(package: str, otherwise: str = "unknown") -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return otherwise

"""Where weights come from: timm, its part of the Hugging Face hub, a folder or a file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
from jaxtyping import UInt8
from timm.models import load_model_config_from_hf, load_state_dict_from_hf

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json
from brainssl.models.checkpoints import Table, read_checkpoint, tables_of
from brainssl.models.hub_access import hub_within_reach
from brainssl.models.lineage import BEFORE, training_of
from brainssl.models.misplaced import bundle_of
from brainssl.models.stem import PLAIN, Normalisation
from brainssl.models.tensor_files import (
    LEARNT,
    TAKEN_ALONG,
    VERSIONS,
    described,
    marks_of_text,
    read_safetensors,
)
from brainssl.settings.starts import FILES, HUB, IMAGENET

OF_TORCH = FILES[1:]
_CONFIG = "config.json"
_OURS = ("classifier.safetensors", "encoder.safetensors")
_IN_FOLDER = ("model.safetensors", "pytorch_model.bin")
# What a configuration may say that changes nothing of a network without its head.
_HARMLESS = {
    *("in_chans", "num_classes", "drop_rate", "drop_path_rate", "pretrained_cfg"),
    *("global_pool", "img_size", "dynamic_img_size"),  # positions are resampled
}


@dataclass(frozen=True)
class Source:
    """Tensors, and what is said of them.

    Attributes:
        title: what they are called in words, such as moco.pth.
        tables: the tensors.
        normalisation: that they were trained with; None if nothing says it.
        trained_on: of a model of ours its training, see `brainssl.models.lineage`.
        learnt: of a model of ours marks of the images that shaped it; None if not known.
    """

    title: str
    tables: Sequence[Table]
    normalisation: Normalisation | None = None
    trained_on: Mapping[str, Any] | None = None
    learnt: UInt8[np.ndarray, "n 32"] | None = None


_moved: dict[str, Path] = {}
"""Where files lie on this machine that another one has named."""


def lies_at(weights: str, place: Path) -> None:
    """Let `find_source` open a file or folder where it was sent to, under the name of before."""
    _moved[weights] = place


def find_source(weights: str, name: str) -> Source:
    """Return the tensors that `encoder.weights` names, from wherever they are.

    Args:
        weights: `imagenet`, `hub:OWNER/NAME`, or the path of a file, of a folder of ours with an
            encoder or a classifier, or of one that holds `config.json` and `model.safetensors`, as
            on timm's hub.
        name: of the architecture in timm.

    Raises:
        BrainsslError: they cannot be had or read, or are told to be of another architecture.
    """
    if weights == IMAGENET:
        return _imagenet(name)
    if weights.startswith(HUB):
        return _hub(weights.removeprefix(HUB), name)
    path = _moved.get(weights) or Path(weights).expanduser()
    if path.is_dir():
        return _folder(path, name)
    if not path.is_file():
        raise BrainsslError(
            f"encoder.weights: there is no file {path}: give random, imagenet, hub:OWNER/NAME, a "
            "file, or a folder with config.json and model.safetensors"
        )
    return _file(path, name)


def fetched(weights: str, name: str) -> str | None:
    """Return what is fetched from the internet for weights, in words; None where nothing is.

    Nothing is fetched to know it.

    Args:
        weights: as for `find_source`, or `random`.
        name: of the architecture in timm.

    Raises:
        BrainsslError: `imagenet` is asked for, and timm has no such weights.
    """
    if weights.startswith(HUB):
        return weights
    if weights != IMAGENET:
        return None
    if not timm.is_model_pretrained(name):
        raise _untrained(name, "timm lists none")
    return f"the {IMAGENET} weights of {name}"


def _untrained(name: str, reason: str) -> BrainsslError:
    return BrainsslError(
        f"timm has no pretrained weights of {name} ({reason}): choose another encoder.name, or "
        "give encoder.weights a file"
    )


def _imagenet(name: str) -> Source:
    try:
        with hub_within_reach():
            network = timm.create_model(name, pretrained=True, num_classes=0)
    except RuntimeError as error:
        raise _untrained(name, " ".join(str(error).split())) from None
    except (OSError, ValueError) as error:
        raise _not_to_be_had(f"the {IMAGENET} weights of {name}", error) from None
    said: Any = network.pretrained_cfg
    tag = f".{said['tag']}" if said.get("tag") else ""
    tables = tables_of(network.state_dict())
    return Source(f"timm's {said.get('architecture', name)}{tag}", tables, _told_by(said))


def _hub(model: str, name: str) -> Source:
    try:
        with hub_within_reach():
            said, architecture, arguments = load_model_config_from_hf(model)
            _refuse_other(f"hub:{model}", name, architecture, arguments)
            tables = tables_of(load_state_dict_from_hf(model))
    except (OSError, ValueError) as error:
        raise _not_to_be_had(f"hub:{model}", error) from None
    except (KeyError, RuntimeError) as error:
        raise BrainsslError(
            f"hub:{model} holds no model of timm that can be read ({type(error).__name__}): choose "
            "one whose library is timm"
        ) from None
    return Source(model, tables, _told_by(said))


def _not_to_be_had(what: str, error: Exception) -> BrainsslError:
    return BrainsslError(
        f"{what} cannot be had ({type(error).__name__}): connect to the internet, or set "
        "encoder.weights to random or to a file that was downloaded elsewhere"
    )


def _folder(path: Path, name: str) -> Source:
    own = next((path / held for held in _OURS if (path / held).is_file()), None)
    if own is not None:
        return _file(own, name)
    _refuse_exports(path)
    if not (path / _CONFIG).is_file():
        raise BrainsslError(
            f"encoder.weights: {path} holds neither {' nor '.join(_OURS)} of ours nor {_CONFIG} of "
            "timm's: give such a folder, or the file itself"
        )
    said = read_json(path / _CONFIG, "timm's configuration of the weights")
    file = next((path / own for own in _IN_FOLDER if (path / own).is_file()), None)
    if not isinstance(said, dict) or "architecture" not in said or file is None:
        raise BrainsslError(
            f"{path} is no folder of timm's: it needs config.json with an architecture, and "
            f"{' or '.join(_IN_FOLDER)}; or give the file itself"
        )
    _refuse_other(str(path), name, said["architecture"], said.get("model_args") or {})
    tables, header = _tables_of_file(file)
    told = _told_by(said.get("pretrained_cfg") or said)
    return Source(path.name, tables, told, *_taken_along(header))


def _refuse_exports(path: Path) -> None:
    """Refuse what was exported for others, from which no training begins."""
    if path.suffix == ".onnx" or bundle_of(path):
        what = "a model for ONNX Runtime" if path.suffix == ".onnx" else "a bundle for MONAI"
        raise BrainsslError(
            f"encoder.weights: {path} is {what}: give {' or '.join(_OURS)} that it was made from, "
            "or a folder of `brainssl export --hub`"
        )


def _file(path: Path, name: str) -> Source:
    tables, header = _tables_of_file(path)
    if header.get("format") in VERSIONS:
        return _own(path, name, tables, header)
    if "architecture" in header:
        _refuse_other(str(path), name, header["architecture"], {})
    told = _in_header(path, header) or _beside(path, name)
    return Source(path.name, tables, told, *_taken_along(header))


def _taken_along(
    header: dict[str, str],
) -> tuple[dict[str, Any] | None, UInt8[np.ndarray, "n 32"] | None]:
    """Return the trainings and the marks that a model of ours took along into timm's layout."""
    told: dict[str, Any] = json.loads(header.get(TAKEN_ALONG, "{}"))
    marks = told.get(LEARNT)
    return told.get(BEFORE) or None, None if marks is None else marks_of_text(marks)


def _tables_of_file(path: Path) -> tuple[list[Table], dict[str, str]]:
    if path.suffix == ".safetensors":
        tensors, header = read_safetensors(path)
        return tables_of(tensors), header
    if path.suffix not in OF_TORCH:
        _refuse_exports(path)
        raise BrainsslError(
            f"encoder.weights: {path} has no known suffix: .safetensors, {', '.join(OF_TORCH)}"
        )
    return read_checkpoint(path), {}


def _own(path: Path, name: str, tables: list[Table], header: dict[str, str]) -> Source:
    """Read what the header of an encoder or a classifier of ours says."""
    told = described(path, header)
    _refuse_other(str(path), name, told["name" if "name" in told else "encoder"], {})
    grey = (told["mean"], told["std"]) if "mean" in told else (PLAIN.mean[0], PLAIN.std[0])
    said = Normalisation((grey[0],), (grey[1],))
    marks = tables[0].tensors.get(LEARNT)
    learnt = None if marks is None else marks.numpy()
    if LEARNT in told:
        learnt = marks_of_text(told[LEARNT])
    plain = {name: tensor for name, tensor in tables[0].tensors.items() if name != LEARNT}
    return Source(path.name, tables_of(plain), said, training_of(told["facts"]) or None, learnt)


def _in_header(path: Path, header: dict[str, str]) -> Normalisation | None:
    """Read `mean` and `std` of a safetensors header: JSON, a number or one for each channel."""
    if "mean" not in header or "std" not in header:
        return None
    try:
        return _normalisation(json.loads(header["mean"]), json.loads(header["std"]))
    except (TypeError, ValueError):
        raise BrainsslError(
            f"{path}: mean and std of its header are no numbers in JSON, such as [0.5, 0.5, 0.5]"
        ) from None


def _beside(path: Path, name: str) -> Normalisation | None:
    """Look into timm's configuration beside a file, if it is of the same architecture."""
    try:
        said = json.loads((path.parent / _CONFIG).read_text("utf-8"))
        return _told_by(said.get("pretrained_cfg") or said) if _is(said, name) else None
    except (OSError, ValueError, AttributeError):
        return None  # of something else, or of nothing


def _is(said: Mapping[str, Any], name: str) -> bool:
    return str(said.get("architecture")).split(".")[0] == name.split(".")[0]


def _told_by(said: Mapping[str, Any]) -> Normalisation | None:
    try:
        return _normalisation(said["mean"], said["std"])
    except (KeyError, TypeError, ValueError):
        return None


def _normalisation(mean: Any, std: Any) -> Normalisation:
    means, stds = (
        tuple(float(one) for one in (value if isinstance(value, list | tuple) else [value]))
        for value in (mean, std)
    )
    if len(means) not in (1, 3) or len(stds) not in (1, 3) or min(stds) <= 0:
        raise ValueError("one number, or one for each of three channels; deviations above 0")
    return Normalisation(means, stds)


def _refuse_other(where: str, name: str, architecture: str, arguments: Mapping[str, Any]) -> None:
    if architecture.split(".")[0] != name.split(".")[0]:
        raise BrainsslError(
            f"encoder.weights: {where} is of {architecture}, and not of {name}: set encoder.name "
            f"to {architecture.split('.')[0]}"
        )
    other = {key: value for key, value in arguments.items() if key not in _HARMLESS}
    if other:
        told = ", ".join(f"{key}={value}" for key, value in other.items())
        raise BrainsslError(
            f"encoder.weights: {where} is of a {architecture} built otherwise ({told}), which "
            "encoder.name cannot say: choose other weights"
        )

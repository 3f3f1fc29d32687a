"""Our own safetensors files: tensors with a JSON header that names their format and version."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from brainssl.data.marks import BITS
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import plainly
from brainssl.foundation.storage import write_atomically
from brainssl.models.misplaced import CLASSIFIER, ENCODER, told_apart

VERSIONS = {ENCODER: 3, CLASSIFIER: 7}
"""Formats, and up to which version each is read."""

LEARNT = "learnt"
TAKEN_ALONG = "brainssl"
"""Under which key the header of a model in timm's layout holds its trainings and marks, as JSON."""
"""Under which name marks of training images lie: a tensor of a classifier, a text of an encoder."""


def write_tensors(
    path: Path, tensors: dict[str, Tensor], form: str, version: int, described: dict[str, Any]
) -> None:
    """Write tensors with a JSON header that names the format and its version."""
    header = {"format": form, "version": str(version), "json": json.dumps(described)}
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, lambda beside: save_file(plain, beside, metadata=header))


def marks_as_text(marks: UInt8[np.ndarray, "n 32"]) -> str:
    """Return marks as a header holds them: base64 of their bytes, one after the other."""
    return base64.b64encode(marks.tobytes()).decode("ascii")


def marks_of_text(text: str) -> UInt8[np.ndarray, "n 32"]:
    """Return the marks that `marks_as_text` wrote."""
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, BITS // 8)


def read_tensors(path: Path, form: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `write_tensors` wrote.

    Raises:
        BrainsslError: missing, damaged, another format or a newer version.
    """
    kind = form.removeprefix("brainssl-")
    try:
        tensors, header = read_safetensors(path)
    except FileNotFoundError:
        # Who gives a folder is told of the folder.
        given = path.parent if path.name == f"{kind}.safetensors" else path
        if told := told_apart(given, kind):
            raise BrainsslError(told) from None
        made_by = "a pretraining" if kind == "encoder" else "a probe or a fine-tuning"
        raise BrainsslError(
            f"{path} is missing: give {kind} weights, or the folder of {made_by} (in a study: one "
            "under steps/)"
        ) from None
    except BrainsslError:
        if told := told_apart(path, kind):
            raise BrainsslError(told) from None
        raise
    if header.get("format") != form:
        raise BrainsslError(told_apart(path, kind, header) or f"{path} holds no brainssl {kind}")
    return tensors, described(path, header)


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors of any safetensors file, and the texts of its header.

    Raises:
        FileNotFoundError: it is missing.
        BrainsslError: it is damaged, or of another kind.
    """
    try:
        with plainly(path) as plain, safe_open(plain, framework="pt") as file:
            header: dict[str, str] = file.metadata() or {}
            return {name: file.get_tensor(name) for name in file.keys()}, header  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError) as error:
        raise BrainsslError(f"{path} is damaged or no safetensors file ({error})") from None


def described(path: Path, header: dict[str, str]) -> dict[str, Any]:
    """Return what the header of a file of ours says.

    Raises:
        BrainsslError: a newer version wrote it.
    """
    form = header["format"]
    if int(header["version"]) > VERSIONS[form]:
        raise BrainsslError(
            f"{path} is a {form.removeprefix('brainssl-')} of version {header['version']}; this "
            f"brainssl reads up to {VERSIONS[form]}: upgrade brainssl"
        )
    told: dict[str, Any] = json.loads(header["json"])
    return told


def copy_with_facts(path: Path, out: Path, facts: dict[str, Any]) -> None:
    """Write a file of ours anew, with more facts; its tensors and its version stay the same.

    Raises:
        BrainsslError: it is damaged, or a newer version wrote it.
    """
    tensors, header = read_safetensors(path)
    told = described(path, header)
    told["facts"] = {**told["facts"], **facts}
    write_tensors(out, tensors, header["format"], int(header["version"]), told)

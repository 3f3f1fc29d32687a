"""Files of ours: what was written comes back, and what no version of ours wrote is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from brainssl.foundation.errors import BrainsslError
from brainssl.models.tensor_files import (
    VERSIONS,
    described,
    read_safetensors,
    read_tensors,
    write_tensors,
)

FORM = "brainssl-encoder"


def test_tensors_and_their_description_come_back(tmp_path: Path) -> None:
    file = tmp_path / "Läsion.safetensors"
    tensors = {"a": torch.arange(6.0).reshape(2, 3).T, "b": torch.tensor(3)}
    write_tensors(file, tensors, FORM, 1, {"name": "größer", "facts": [1, None]})
    again, told = read_tensors(file, FORM)
    assert told == {"name": "größer", "facts": [1, None]}
    assert again.keys() == tensors.keys() == load_file(file).keys()
    assert all(torch.equal(again[name], value) for name, value in tensors.items())
    assert read_safetensors(file)[1]["format"] == FORM


@pytest.mark.parametrize("form", VERSIONS)
def test_newer_versions_are_refused(form: str) -> None:
    header = {"format": form, "version": str(VERSIONS[form]), "json": json.dumps({"x": 1})}
    assert described(Path("a"), header) == {"x": 1}
    newer = header | {"version": str(VERSIONS[form] + 1)}
    with pytest.raises(BrainsslError, match="upgrade brainssl"):
        described(Path("a"), newer)


def test_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    write_tensors(file, {"a": torch.ones(1)}, FORM, 1, {})
    with pytest.raises(BrainsslError, match="is an encoder, which knows no classes: give the fol"):
        read_tensors(file, "brainssl-classifier")
    with pytest.raises(BrainsslError, match="is missing: give encoder weights"):
        read_tensors(tmp_path / "b", FORM)

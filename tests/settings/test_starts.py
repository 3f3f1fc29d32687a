"""Starts: short names that a reader knows, and names of steps that tell them apart."""

import re
from pathlib import Path

import pytest

from brainssl.settings.starts import NamedStart, mark_in, mark_of, start_title

NAMED = {
    "random": "random",
    "imagenet": "imagenet",
    "hub:owner/name": "hub:owner/name",
    "weights/rad net-50.safetensors": "rad net-50",
    "weights/v1.2.pth": "v1.2",
    "models/vit.v2": "vit.v2",
    "models/vit.v2/": "vit.v2",
    "models/vit.v2/../vit.v3": "vit.v3",
    "runs/simclr/encoder.safetensors": "simclr",
    "runs/mean/pytorch_model.bin": "mean",
    "runs/./fine/../probe/classifier.safetensors": "probe",
    "/encoder.safetensors": "encoder",
}


@pytest.mark.parametrize(("weights", "name"), NAMED.items())
def test_a_start_has_a_short_name(weights: str, name: str) -> None:
    assert NamedStart(weights).name == name
    assert (NamedStart(weights).path is None) == (weights == name)


@pytest.mark.parametrize(("weights", "name"), [("./", "inner"), ("../", "outer")])
def test_a_place_without_a_name_has_that_of_its_folder(
    weights: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "outer" / "inner"
    here.mkdir(parents=True)
    monkeypatch.chdir(here)
    assert NamedStart(weights).name == name
    assert NamedStart(f"{weights}encoder.safetensors").name == name


@pytest.mark.parametrize("weights", NAMED)
def test_the_mark_is_plain_and_found_again(weights: str) -> None:
    mark = NamedStart(weights).mark
    # A hyphen parts what names of steps are made of.
    assert re.fullmatch(r"-from-[A-Za-z0-9._]+", mark)
    for step in (
        f"pretrain-simclr{mark}-grouped-s0",
        f"tuned4-supervised{mark}-image-k1of5-f8-shot-s12",
        f"steps/linear-byol{mark}-paper-f0.1-s0-t3",
    ):
        assert mark_in(step) == mark
        assert mark_in(step.replace(mark, "")) == ""


def test_no_start_has_no_mark() -> None:
    assert mark_of("") == ""
    assert start_title("imagenet") == "ImageNet"
    assert start_title("radnet") == "radnet"

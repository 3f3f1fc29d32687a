"""Checkpoints of others: read as their authors evaluate them, to the same numbers."""

import argparse
import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead, DINOProjectionHead
from oracles.layouts import LAYOUTS, State
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.checkpoints import read_checkpoint, read_network, tables_of
from brainssl.models.stem import Normalisation, collapse

HALF = Normalisation((0.5,), (0.5,))


@pytest.fixture(scope="module")
def networks() -> tuple[nn.Module, nn.Module]:
    """torchvision's network and another of its kind, both with statistics of images."""
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = torchvision.models.resnet18(num_classes=4)
        with torch.no_grad():
            network.train()(torch.rand(8, 3, 32, 32))
        made.append(network.eval())
    return made[0], made[1]


@pytest.fixture(scope="module")
def ours() -> nn.Module:
    return timm.create_model("resnet18", in_chans=1, num_classes=0).eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))


def features(network: nn.Module, images: Tensor) -> Tensor:
    """Return what torchvision's network has before its classifier, of grey images in [0, 1]."""
    bare = copy.copy(network)
    bare._modules = {**network._modules, "fc": nn.Identity()}
    with torch.no_grad():
        return bare((images.expand(-1, 3, -1, -1) - 0.5) / 0.5)


def read(content: Any, ours: nn.Module, images: Tensor) -> tuple[Tensor, str, dict[str, int]]:
    """Return the features of what is read from a checkpoint, its place, and what is left out."""
    reading = read_network(tables_of(content), ours)
    assert reading is not None
    assert reading.fits, (reading.missing, reading.unlike, reading.strange)
    tensors = reading.taken()
    collapse(ours, tensors, HALF, 32)
    ours.load_state_dict({**ours.state_dict(), **tensors})
    with torch.no_grad():
        return ours.eval()((images - 0.5) / 0.5), reading.place, reading.left_out()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_features_of_its_library(
    layout: str, networks: tuple[nn.Module, nn.Module], ours: nn.Module, images: Tensor
) -> None:
    state, other = (dict(network.state_dict()) for network in networks)
    expected, wrong = (features(network, images) for network in networks)
    found = read(LAYOUTS[layout](state, other), ours, images)[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - wrong).abs().max() > 0.01


class LightlyBYOL(nn.Module):
    """The parts of lightly's example `examples/pytorch/byol.py`, under its names."""

    def __init__(self, online: nn.Module, follower: nn.Module) -> None:
        super().__init__()
        self.backbone_momentum = nn.Sequential(*list(follower.children())[:-1])
        self.backbone = nn.Sequential(*list(online.children())[:-1])
        self.projection_head = BYOLProjectionHead(512, 16, 8)
        self.prediction_head = BYOLPredictionHead(8, 16, 8)


class LightlyDINO(nn.Module):
    """The parts of lightly's example `examples/pytorch/dino.py`, under its names."""

    def __init__(self, teacher: nn.Module, student: nn.Module) -> None:
        super().__init__()
        self.student_backbone = nn.Sequential(*list(student.children())[:-1])
        self.student_head = DINOProjectionHead(512, 16, 8, 16)
        self.teacher_backbone = nn.Sequential(*list(teacher.children())[:-1])
        self.teacher_head = DINOProjectionHead(512, 16, 8, 16)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")  # of lightly
@pytest.mark.parametrize(
    ("module", "place"), [(LightlyBYOL, "backbone."), (LightlyDINO, "teacher_backbone.")]
)
def test_models_of_lightly_give_the_features_of_their_backbone(
    module: Any,
    place: str,
    networks: tuple[nn.Module, nn.Module],
    ours: nn.Module,
    images: Tensor,
) -> None:
    written = module(*networks).state_dict()
    found, told, left = read({"state_dict": written}, ours, images)
    torch.testing.assert_close(found, features(networks[0], images), atol=1e-5, rtol=0)
    assert told == f"state_dict, {place}"
    assert sum(left.values()) == sum(not name.startswith(place) for name in written)


def test_what_is_left_out_is_told_by_its_part(
    networks: tuple[nn.Module, nn.Module], ours: nn.Module, images: Tensor
) -> None:
    state, other = (dict(network.state_dict()) for network in networks)
    _, place, left = read(LAYOUTS["moco v2"](state, other), ours, images)
    assert place == "state_dict, module.encoder_q."
    assert left == {"module.encoder_q.fc": 1, "module.encoder_k": 121, "module.queue": 1}
    _, place, left = read(state, ours, images)
    assert place == ""
    assert left == {"fc": 2}


def test_other_names_are_translated_by_timm() -> None:
    """Facebook's names of ConvNeXt, which timm's own translator knows."""
    wanted = timm.create_model("test_convnext", in_chans=1, num_classes=0)
    torch.manual_seed(1)
    source = timm.create_model("test_convnext", num_classes=0)
    state = {theirs(name): value for name, value in source.state_dict().items()}
    assert not set(state) & set(wanted.state_dict()) - {"head.norm.weight", "head.norm.bias"}
    reading = read_network(tables_of({"model": state}), wanted)
    assert reading is not None
    assert reading.fits
    for name, value in reading.taken().items():
        assert torch.equal(value, source.state_dict()[name]), name


def theirs(name: str) -> str:
    """Return the name that facebookresearch/ConvNeXt `models/convnext.py` has for one of timm."""
    if name.startswith("stem."):
        return f"downsample_layers.0.{name.removeprefix('stem.')}"
    if name.startswith("head.norm."):
        return name.removeprefix("head.")
    _, stage, part, *rest = name.split(".")
    if part == "downsample":
        return f"downsample_layers.{stage}.{'.'.join(rest)}"
    number, *inner = rest
    known = {"conv_dw": "dwconv", "mlp.fc1": "pwconv1", "mlp.fc2": "pwconv2"}
    layer = ".".join(inner)
    for ours, other in known.items():
        layer = layer.replace(ours, other)
    return f"stages.{stage}.{number}.{layer}"


def fits(state: State, ours: nn.Module) -> bool:
    reading = read_network(tables_of(state), ours)
    return reading is not None and reading.fits


def test_what_is_not_the_whole_network_and_nothing_else_does_not_fit(
    networks: tuple[nn.Module, nn.Module], ours: nn.Module
) -> None:
    state = dict(networks[0].state_dict())
    assert fits(state, ours)
    assert not fits({k: v for k, v in state.items() if k != "layer3.0.bn1.bias"}, ours)
    assert not fits(state | {"conv1.weight": torch.zeros(64, 4, 7, 7)}, ours)
    assert not fits(state | {"layer2.0.conv1.weight": torch.zeros(128, 64, 1, 1)}, ours)
    # All of ResNet-18 is in ResNet-34, in the same shapes.
    assert not fits(state | {"layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}, ours)
    assert not fits({"a.weight": torch.zeros(3)}, ours)
    assert read_network(tables_of({"epoch": 3}), ours) is None


def test_of_two_architectures_the_one_that_fits_is_taken(
    networks: tuple[nn.Module, nn.Module], ours: nn.Module, images: Tensor
) -> None:
    """A larger teacher has all of the names, but not in these shapes."""
    state, other = (dict(network.state_dict()) for network in networks)
    larger = {
        name: value.repeat(2, *[1] * (value.ndim - 1))
        for name, value in other.items()
        if value.ndim
    }
    found = read({"teacher": larger, "student": state}, ours, images)
    torch.testing.assert_close(found[0], features(networks[0], images), atol=1e-5, rtol=0)
    assert found[1] == "student"


class Runs:
    """What no file of weights needs: it would be made by running code."""


def test_files_of_pytorch_are_read_without_running_anything(tmp_path: Path) -> None:
    file = tmp_path / "a.pth"
    torch.save({"model": {"a": torch.ones(2)}, "args": argparse.Namespace(x=1)}, file)
    [table] = read_checkpoint(file)
    assert table.where == "model"
    assert torch.equal(table.tensors["a"], torch.ones(2))
    torch.save({"model": {"a": torch.ones(2)}}, file, _use_new_zipfile_serialization=False)
    assert read_checkpoint(file)[0].where == "model"
    torch.save({"model": {"a": torch.ones(2)}, "made_by": Runs()}, file)
    with pytest.raises(BrainsslError, match=r"more than tensors \(.*Runs\).*convert it") as caught:
        read_checkpoint(file)
    assert "\n" not in str(caught.value)
    file.write_bytes(pickle.dumps(Runs()))
    with pytest.raises(BrainsslError, match=r"damaged or no file of PyTorch|more than tensors"):
        read_checkpoint(file)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 cut off"])
def test_damaged_files_are_one_clear_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "a.ckpt"
    file.write_bytes(content)
    with pytest.raises(BrainsslError, match=r"a\.ckpt is damaged or no file of PyTorch") as caught:
        read_checkpoint(file)
    assert "\n" not in str(caught.value)
    with pytest.raises(BrainsslError, match="missing"):
        read_checkpoint(tmp_path / "b.ckpt")

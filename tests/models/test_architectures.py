"""Whoever names the wrong architecture is told the right one."""

import pytest
import timm
import torch

from brainssl.models import architectures
from brainssl.models.architectures import laid_out, likely_architectures
from brainssl.models.checkpoints import tables_of


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are laid out fast."""
    usual = (("resnet18", "resnet34"), ("test_resnet", "test_convnext"))
    monkeypatch.setattr(architectures, "_USUAL", usual)


def state(name: str) -> dict[str, torch.Tensor]:
    return {f"module.{k}": v for k, v in timm.create_model(name).state_dict().items()}


def test_tensors_that_fit_name_their_architecture() -> None:
    for name in ("resnet34", "test_convnext", "resnet18"):
        assert likely_architectures(tables_of(state(name)), "resnet50") == (True, [name])


def test_relatives_of_what_was_named_are_tried_too() -> None:
    found = likely_architectures(tables_of(state("test_efficientnet")), "test_vit")
    assert found == (True, ["test_efficientnet"])


def test_what_fits_but_for_a_layer_is_near() -> None:
    tensors = state("resnet34")
    tensors["module.conv1.weight"] = torch.zeros(64, 3, 3, 3)
    assert likely_architectures(tables_of(tensors), "vgg11") == (False, ["resnet34"])


def test_tensors_of_nothing_known_are_near_nothing() -> None:
    assert likely_architectures(tables_of({"a": torch.zeros(2)}), "vgg11") == (False, [])


def test_what_timm_cannot_lay_out_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    create, tensors = timm.create_model, state("test_resnet")

    def failing(name: str, **options: object) -> torch.nn.Module:
        if name == "test_convnext":
            raise NotImplementedError("no numbers on this device")
        return create(name, **options)

    monkeypatch.setattr(architectures.timm, "create_model", failing)
    assert likely_architectures(tables_of(tensors), "resnet18") == (True, ["test_resnet"])


def test_the_usual_ones_are_of_timm() -> None:
    usual = [name for family in architectures._USUAL for name in family]
    assert set(usual) <= set(timm.list_models())


def test_an_architecture_is_laid_out_without_memory_and_nothing_is_fetched() -> None:
    network = laid_out("vit_huge_patch14_224")  # 2.5 GB
    assert network is not None
    assert all(parameter.is_meta for parameter in network.parameters())
    for name in ("no_such_network", "hf_hub:timm/resnet10t", "weights/resnet18.pth"):
        assert laid_out(name) is None

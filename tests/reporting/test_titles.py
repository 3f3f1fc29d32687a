"""What methods and models are called, and what kind each is."""

import pytest

from brainssl.methods import METHODS
from brainssl.reporting.titles import (
    CLASSICAL,
    arm_title,
    is_self_supervised,
    method_title,
    title_of,
)
from brainssl.settings import LABELLED_METHODS, SEMI_SUPERVISED


def test_unknown_methods_keep_their_name() -> None:
    assert arm_title("vicreg", "finetune") == "vicreg, fine-tuned"
    assert arm_title("mocov3", "linear") == "MoCo v3, linear probe"


@pytest.mark.parametrize(
    ("arm", "title"),
    [
        (("simclr", "finetune", "imagenet"), "SimCLR from ImageNet, fine-tuned"),
        (("simclr", "linear", "random"), "SimCLR from random weights, linear probe"),
        (("supervised", "supervised", "imagenet"), "Supervised from ImageNet"),
        (("supervised", "supervised", ""), "Supervised baseline"),
        (("untrained", "linear", "imagenet"), "ImageNet weights as they are"),
        (("untrained", "linear", "radnet"), "radnet weights as they are"),
        (("untrained", "linear", "random"), "Untrained encoder, linear probe"),
        (("untrained", "linear", ""), "Untrained encoder, linear probe"),
        (("svm", "supervised", ""), "SVM"),
        (("fixmatch", "supervised", ""), "FixMatch"),
        (("fixmatch", "supervised", "imagenet"), "FixMatch from ImageNet"),
        (("ensemble", "ensemble", ""), "Ensemble"),
    ],
)
def test_a_start_is_told_in_the_title(arm: tuple[str, str, str], title: str) -> None:
    assert arm_title(*arm) == title
    names = ("method", "stage", "start")
    assert title_of({name: said for name, said in zip(names, arm, strict=True) if said}) == title


def test_every_method_has_its_name() -> None:
    names = {"SimCLR", "BYOL", "DINO", "MoCo v3", "Barlow Twins", "NNCLR", "SupCon", "FixMatch"}
    assert {method_title(method) for method in (*METHODS, *SEMI_SUPERVISED)} == names


def test_what_is_not_pretrained_is_not_self_supervised() -> None:
    assert all(map(is_self_supervised, set(METHODS) - set(LABELLED_METHODS)))
    others = ("supervised", "untrained", *LABELLED_METHODS, *SEMI_SUPERVISED, *CLASSICAL)
    assert not any(map(is_self_supervised, others))

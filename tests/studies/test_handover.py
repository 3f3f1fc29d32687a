"""The recommended classifier beside the report: the same weights, and what the test set said."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.studies.handover import hand_over, measured

STEP = "steps/supervised-grouped-k1of2-f1-s0"


def row(**changed: Any) -> dict[str, Any]:
    own = {"step": STEP, "split": "test", "unit": "slice", "n": 40, "fold": 1, "seed": 0}
    own |= {"method": "supervised", "stage": "supervised", "protocol": "grouped"}
    metrics = {"accuracy": 0.75, "balanced_accuracy": 0.7, "f1_macro": 0.65, "mcc": 0.5}
    return {**own, "metrics": metrics, "intervals": {"accuracy": [0.6, 0.85]}, **changed}


def test_it_says_how_often_it_was_right_on_the_test_set_and_its_step_stays(tmp_path: Path) -> None:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    model = Classifier(encoder, nn.Linear(encoder.dim, 2), ("a", "b"), {"seed": 0})
    model.limits = {"temperature": 1.5}
    file = tmp_path / STEP / "classifier.safetensors"
    model.save(file)
    before = file.read_bytes()
    rows = [row(split="val"), row(unit="patient", n=9), row(), row(fold="all", step=None, n=80)]
    out = hand_over(tmp_path, {"best": {"step": STEP}}, rows)
    assert out == tmp_path / "classifier.safetensors"
    assert file.read_bytes() == before
    again = Classifier.load(tmp_path)
    told = again.facts.pop("measured")
    assert again.facts == model.facts
    assert again.limits == model.limits
    assert all(
        torch.equal(one, other)
        for one, other in zip(
            again.state_dict().values(), Classifier.load(file).state_dict().values(), strict=True
        )
    )
    assert (told["step"], told["fold"], told["n"], told["accuracy"]) == (STEP, 1, 40, 0.75)
    assert told["interval"] == [0.6, 0.85]
    assert told["folds"]["n"] == 80
    assert hand_over(tmp_path, {"best": {}}, rows) is None
    assert not out.exists()


def test_what_was_not_tested_is_not_told() -> None:
    assert measured(STEP, [row(split="val")]) is None
    assert "folds" not in (measured(STEP, [row()]) or {})

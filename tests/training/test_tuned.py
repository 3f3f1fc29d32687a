"""The choice among trials: an independent score, ties, failures."""

from pathlib import Path

import numpy as np
import pytest
from scipy.special import log_softmax

from brainssl.evaluation.predictions import Predictions
from brainssl.training.tuned import Tried, chosen

TEMPERATURES = np.exp(np.linspace(np.log(0.05), np.log(20), 4001))


def predictions(folder: Path, scale: float, seed: int = 0) -> Path:
    """Write what a model said of validation and training images, as sure as `scale` says."""
    generator = np.random.default_rng(seed)
    labels = np.tile([0, 1, 2], 20)
    logits = generator.normal(size=(60, 3)) + 1.5 * np.eye(3)[labels]
    folder.mkdir()
    Predictions.build(
        [str(n) for n in range(60)],
        np.arange(60),
        ["val"] * 30 + ["train"] * 30,
        labels,
        scale * logits,
        ("a", "b", "c"),
    ).save(folder / "predictions.parquet")
    return folder


def test_a_trial_is_judged_by_its_nll_at_the_best_of_all_temperatures(tmp_path: Path) -> None:
    folder = predictions(tmp_path / "one", 2.0)
    told = Tried(2, folder, {"finetune.epochs": 3}).facts()
    val = Predictions.load(folder / "predictions.parquet").of("val")
    logits = val.logits.astype(float)
    said = log_softmax(logits / TEMPERATURES[:, None, None], axis=2)
    losses = -said[:, np.arange(30), val.labels].mean(axis=1)
    assert told["val_nll"] == pytest.approx(min(losses), abs=1e-5)
    assert told["temperature"] == pytest.approx(TEMPERATURES[np.argmin(losses)], rel=0.01)
    assert (told["trial"], told["changed"]) == (2, {"finetune.epochs": 3})


def test_a_model_that_is_only_too_sure_is_judged_alike(tmp_path: Path) -> None:
    sober, sure = (
        Tried(n, predictions(tmp_path / str(n), scale), {}).facts()
        for n, scale in ((1, 1.0), (2, 3.0))
    )
    assert sure["val_nll"] == pytest.approx(sober["val_nll"], abs=1e-5)


def test_the_least_loss_is_chosen_and_of_equals_the_first() -> None:
    def told(*losses: float | None) -> list[dict[str, object]]:
        return [{"trial": n, "val_nll": loss} for n, loss in enumerate(losses, start=1)]

    assert chosen(told(0.5, 0.3, 0.4)) == 2
    assert chosen(told(0.5, 0.3, 0.3)) == 2
    assert chosen(told(None, 0.9, None)) == 2
    assert chosen(told(None, None)) is None


def test_a_failed_trial_is_told_and_not_read(tmp_path: Path) -> None:
    told = Tried(3, tmp_path / "absent", {}, "the loss was never finite").facts()
    assert told == {
        "trial": 3,
        "changed": {},
        "val_nll": None,
        "error": "the loss was never finite",
    }

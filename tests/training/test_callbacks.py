"""What is noted of a training, by one process; `test_trainer.py` has two."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from oracles.brightness import Brightness

from brainssl.sections import RunSettings
from brainssl.training.batches import training_batches
from brainssl.training.trainer import CHECKPOINT, cosine, fit

EPOCHS, STEPS = 3, 2


@pytest.mark.parametrize("seconds", [0, 1e6])
def test_history_and_checkpoint_of_each_epoch(tmp_path: Path, seconds: float) -> None:
    seen: list[tuple[int, int]] = []
    fit(
        Brightness(torch.zeros(10, 16, 16, dtype=torch.uint8)),
        training_batches(np.arange(10, dtype=np.int64), 5, 0),
        epochs=EPOCHS,
        clip_norm=None,
        run=RunSettings(accelerator="cpu", precision="32-true"),
        folder=tmp_path,
        checkpoint_seconds=seconds,
        progress=lambda *steps: seen.append(steps),
    )
    assert seen == [(step, EPOCHS * STEPS) for step in range(1, EPOCHS * STEPS + 1)]
    history = pd.read_csv(tmp_path / "history.csv")
    assert history.columns.tolist() == ["epoch", "train_loss", "val_loss", "lr", "seconds"]
    assert history["epoch"].tolist() == [1, 2, 3]
    assert history["train_loss"].between(0.1, 10).all()
    assert history["val_loss"].isna().all()
    # Brightness warms up for one of the four epochs that it thinks there are.
    warmup = round(EPOCHS * STEPS / 4)
    rates = [0.01 * cosine(STEPS * e, steps=EPOCHS * STEPS, warmup=warmup) for e in (1, 2, 3)]
    assert history["lr"].tolist() == pytest.approx(rates)
    assert (tmp_path / CHECKPOINT).is_file() == (seconds == 0)
    if seconds == 0:
        saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
        rows = next(state["rows"] for state in saved["callbacks"].values() if "rows" in state)
        assert [row["epoch"] for row in rows] == [1, 2, 3]
        assert saved["global_step"] == EPOCHS * STEPS

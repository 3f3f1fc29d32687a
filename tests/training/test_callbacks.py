"""What is noted of a training, by one process; `test_trainer.py` has two."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from oracles.brightness import Brightness

from brainssl.settings.sections import RunSettings
from brainssl.training.batches import training_batches
from brainssl.training.callbacks import Checkpoint
from brainssl.training.trainer import CHECKPOINT, cosine, fit

EPOCHS, STEPS = 3, 2


def test_history_and_checkpoint(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    fit(
        Brightness(torch.zeros(10, 16, 16, dtype=torch.uint8)),
        training_batches(np.arange(10, dtype=np.int64), 5, 0),
        epochs=EPOCHS,
        clip_norm=None,
        run=RunSettings(accelerator="cpu", precision="32-true"),
        folder=tmp_path,
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
    saved = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    rows = next(state["rows"] for state in saved["callbacks"].values() if "rows" in state)
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert saved["global_step"] == len(rows) * STEPS > 0


@pytest.mark.parametrize(
    ("cost", "saved"),
    [
        (0.04, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]),  # less than a twentieth of an epoch's second
        (0.11, [1, 4, 7, 10]),  # needs 2.2 seconds since the last
        (0.38, [1, 9]),  # needs 7.6 seconds
        (9.0, [1, 10]),  # needs three minutes, but a checkpoint is to be no older than 9 seconds
    ],
)
def test_saving_takes_no_more_than_its_share_of_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cost: float, saved: list[int]
) -> None:
    """Epochs take a second by a clock of our own, and saving `cost`."""
    now, epochs = [100.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("brainssl.training.callbacks.time", clock)

    def save(path: Path) -> None:
        now[0] += cost
        path.touch()
        epochs.append(trainer.current_epoch)

    trainer: Any = SimpleNamespace(
        strategy=SimpleNamespace(broadcast=lambda due: due),
        is_global_zero=True,
        save_checkpoint=save,
    )
    checkpoint = Checkpoint(tmp_path / CHECKPOINT, share=0.05, longest=9.0)
    for trainer.current_epoch in range(1, 11):
        now[0] += 1.0
        checkpoint.on_train_epoch_end(trainer, cast("Any", None))
    assert epochs == saved


@pytest.mark.parametrize("first_is_due", [True, False])
def test_all_ranks_save_when_the_first_does(tmp_path: Path, first_is_due: bool) -> None:
    """Whatever a rank thinks itself; only the first writes the file, the others take part."""
    asked = []
    trainer: Any = SimpleNamespace(
        strategy=SimpleNamespace(broadcast=lambda due: first_is_due),
        is_global_zero=False,
        save_checkpoint=asked.append,
    )
    path = tmp_path / CHECKPOINT
    checkpoint = Checkpoint(path)
    for _ in range(2):  # the second epoch follows at once
        checkpoint.on_train_epoch_end(trainer, cast("Any", None))
    assert asked == [path] * 2 * first_is_due

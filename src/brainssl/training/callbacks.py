"""What is noted of a training after each step and epoch: history, checkpoint, progress."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from brainssl.foundation.spreadsheet import csv_of
from brainssl.foundation.storage import write_atomically, write_text

Progress = Callable[[int, int], None]


class History(Callback):
    """Writes one row an epoch to `history.csv`: losses, rate, seconds, what else was noted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, float]] = []
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's row."""
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        rate = max(group["lr"] for group in trainer.optimizers[0].param_groups)
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "train_loss": logged["train_loss"],
                "val_loss": logged.get("val_loss", float("nan")),
                "lr": rate,
                "seconds": round(time.perf_counter() - self._started, 3),
                **pl_module.noted(),  # type: ignore[operator]
            }
        )
        if not trainer.is_global_zero:
            return
        write_text(self.path, csv_of(pd.DataFrame(self.rows)))

    def state_dict(self) -> dict[str, Any]:
        """Return the rows so far, for the checkpoint."""
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on after the rows of a checkpoint."""
        self.rows = state_dict["rows"]


class Checkpoint(Callback):
    """Saves everything that going on exactly needs, at the end of an epoch.

    An epoch is saved if the last saving took at most `share` of the time since it ended, or if
    that time is `longest` or more; the first epoch of a process always is.

    Args:
        path: of the checkpoint; replaced atomically.
        share: of the time that saving may take.
        longest: seconds that a kill may cost, beside the running epoch.
    """

    def __init__(self, path: Path, *, share: float = 0.05, longest: float = 600.0) -> None:
        self.path, self.share, self.longest = path, share, longest
        self._saved = self._took = 0.0

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save, if it is time."""
        started = time.monotonic()
        since = started - self._saved
        due = self._took <= self.share * since or since >= self.longest
        if not trainer.strategy.broadcast(due):  # all ranks save together: the first decides
            return
        if trainer.is_global_zero:
            write_atomically(self.path, trainer.save_checkpoint)
        else:
            trainer.save_checkpoint(self.path)  # writes nothing, but takes part
        self._saved = time.monotonic()
        self._took = self._saved - started


class Report(Callback):
    """Tells how many optimiser steps are done, of how many."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        """Tell."""
        if trainer.is_global_zero:
            self.progress(trainer.global_step, int(trainer.estimated_stepping_batches))

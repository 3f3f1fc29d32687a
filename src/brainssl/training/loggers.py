"""Loggers beside history.csv: TensorBoard, MLflow, Weights & Biases. None speaks to the network.

Unless the user has said so by the logger's own variable: MLFLOW_TRACKING_URI or WANDB_MODE.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import distributed

from brainssl.foundation.extras import require

# Not the loggers themselves: they do not survive the way into another process.
MakeLoggers = Callable[[], list[Logger]]
LOGGERS = ("tensorboard", "mlflow", "wandb")
PROJECT = "brainssl"
_MLFLOW_SERVER = "MLFLOW_TRACKING_URI"


class LearningRate(Callback):
    """Hands the learning rate at the end of each epoch to the loggers, as `lr` like history.csv."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log it."""
        pl_module.log("lr", max(group["lr"] for group in trainer.optimizers[0].param_groups))


def build_loggers(names: Sequence[str], folder: Path, run_name: str) -> list[Logger]:
    """Make loggers that write below the folder of a run; in the first of several processes only.

    Args:
        names: of `LOGGERS`.
        folder: of the run; each logger writes into the folder of its name there.
        run_name: under which MLflow and Weights & Biases list the run.

    Raises:
        BrainsslError: a package is not installed.
    """
    for name in names:
        require(name)
    if distributed.is_initialized() and distributed.get_rank():
        return []
    makers = {"tensorboard": _tensorboard, "mlflow": _MLflow, "wandb": _Wandb}
    return [makers[name](folder.resolve() / name, run_name) for name in names]


def _tensorboard(folder: Path, run_name: str) -> Logger:
    del run_name  # TensorBoard names a run by its folder
    return TensorBoardLogger(folder.parent, name=folder.name, version="")


class _MLflow(MLFlowLogger):
    """Writes an SQLite file, and leaves MLflow's own settings as they were."""

    def __init__(self, folder: Path, run_name: str) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        # The folder is renamed when the run is finished: no connection may stay open.
        os.environ.setdefault("MLFLOW_SQLALCHEMYSTORE_POOLCLASS", "NullPool")
        self._asked = os.environ.get(_MLFLOW_SERVER)
        if not self._asked:
            folder.mkdir(exist_ok=True)
        super().__init__(
            experiment_name=PROJECT,
            run_name=run_name,
            tracking_uri=self._asked or f"sqlite:///{folder / 'mlflow.db'}",
        )

    def finalize(self, status: str = "success") -> None:
        """Close the run."""
        import mlflow

        super().finalize(status)
        # Lightning has set it for the whole process: the next run would write into this one's.
        mlflow.set_tracking_uri(self._asked)


class _Wandb(WandbLogger):
    """Ends its run with the training, or the next training would go on with it."""

    def __init__(self, folder: Path, run_name: str) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb

        super().__init__(
            name=run_name,
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            save_dir=folder.parent,
            mode=os.environ.get("WANDB_MODE", "offline"),
            # Not the terminal, the code or the state of git: they may tell more than is meant.
            settings=wandb.Settings(silent=True, console="off", save_code=False, disable_git=True),
        )

    def finalize(self, status: str) -> None:
        """Close the run."""
        super().finalize(status)
        if self._experiment is not None:
            self._experiment.finish(exit_code=0 if status == "success" else 1)
            self._experiment = None

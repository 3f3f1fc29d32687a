"""Loggers: what is logged is there after the run, below its folder, and nothing leaves it."""

import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from torch import distributed

from brainssl.data.dataset import Data
from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.extras import EXTRAS
from brainssl.models.encoder import build_encoder
from brainssl.settings import load_settings
from brainssl.training.loggers import LOGGERS, build_loggers
from brainssl.training.stages import finetune_stage


def tune(store: ImageStore, out: Path, *loggers: str) -> pd.DataFrame:
    """Fine-tune for two epochs and return the history."""
    overrides = {
        "encoder.name": "test_resnet",
        "encoder.image_size": 32,
        "finetune.epochs": 2,
        "finetune.min_epoch_steps": 0,
        "evaluation.draws": 20,
        "run.accelerator": "cpu",
    }
    settings, _ = load_settings("quick", [f"{key}={value}" for key, value in overrides.items()])
    split = make_split(
        store.manifest, protocol="grouped", seed=0, val_fraction=0.2, test_fraction=0.2
    )
    finetune_stage(
        Data(store, split),
        build_encoder("test_resnet", image_size=32, seed=0),
        out,
        facts={"method": "supervised", "stage": "supervised"},
        settings=settings,
        loggers=loggers,
    )
    return pd.read_csv(out / "history.csv")


def test_tensorboard_holds_what_the_history_holds(shared_store: ImageStore, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    history = tune(shared_store, tmp_path / "run", "tensorboard")
    folder = tmp_path / "run" / "tensorboard"
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    events = EventAccumulator(str(folder)).Reload()
    for name in ("train_loss", "val_loss", "lr"):
        values = [event.value for event in events.Scalars(name)]
        assert values == pytest.approx(history[name].tolist(), rel=1e-6), name
    steps = [event.step for event in events.Scalars("train_loss")]
    assert len(set(steps)) == len(history) == 2
    # All of the run is in its folder, and nothing of the training is in a logger's.
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert not list(folder.rglob("*.ckpt"))


def test_without_a_logger_there_is_the_history_alone(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(tune(shared_store, tmp_path / "run")) == 2
    assert not [path for path in (tmp_path / "run").iterdir() if path.is_dir()]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("name", LOGGERS)
def test_a_missing_package_is_one_line_with_the_mend(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in EXTRAS[name]:
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BrainsslError, match=rf"pip install 'brainssl\[{name}\]'"):
        build_loggers([name], tmp_path, "run")


def test_of_several_processes_the_first_alone_logs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    for rank, loggers in ((0, 1), (1, 0)):
        monkeypatch.setattr(distributed, "get_rank", lambda rank=rank: rank)
        assert len(build_loggers(["tensorboard"], tmp_path, "run")) == loggers


@pytest.fixture
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of a logger is set, now and after the test, and nothing lies in the folder."""
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "MLFLOW_LOGGING_LEVEL", "WANDB_ERROR_REPORTING"):
        monkeypatch.setenv(name, "")  # so that it is put back afterwards
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("plain_environment")
def test_mlflow_holds_each_run_in_its_own_folder(shared_store: ImageStore, tmp_path: Path) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    for run in ("one", "two"):
        history = tune(shared_store, tmp_path / run, "mlflow")
        with sqlite3.connect(tmp_path / run / "mlflow" / "mlflow.db") as database:
            (told,) = database.execute("select name, status from runs").fetchall()
            rows = database.execute("select key, value from metrics order by step").fetchall()
        assert told == (run, "FINISHED")
        for name in ("train_loss", "val_loss", "lr"):
            values = [value for key, value in rows if key == name]
            assert values == pytest.approx(history[name].tolist(), rel=1e-6), name
    assert "MLFLOW_TRACKING_URI" not in os.environ
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]


@pytest.mark.usefixtures("plain_environment")
def test_weights_and_biases_stays_offline(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb: Any = pytest.importorskip("wandb", reason="the extra wandb is not installed")
    modes = []
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **given: modes.append(given["mode"]) or init(**given))
    for run in ("one", "two"):
        tune(shared_store, tmp_path / run, "wandb")
        (log,) = (tmp_path / run / "wandb").glob("offline-run-*/run-*.wandb")
        content = log.read_bytes()
        assert all(name in content for name in (b"train_loss", b"val_loss", b"lr", run.encode()))
        assert wandb.run is None
    assert modes == ["offline", "offline"]
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
    monkeypatch.setenv("WANDB_MODE", "disabled")
    tune(shared_store, tmp_path / "asked", "wandb")
    assert modes[-1] == "disabled"

"""Pretraining: only its rows are seen, resuming is exact, the encoder is timm's."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import load_file

from brainssl.data.split import Split, make_split
from brainssl.data.store import ImageStore
from brainssl.errors import BrainsslError
from brainssl.settings import Settings, load_settings
from brainssl.storage import working_folder
from brainssl.training.pretrain import pretrain

EPOCHS = 6


def small_settings(store: ImageStore, *overrides: str) -> Settings:
    fixed = [
        "encoder.name=test_resnet",
        f"encoder.image_size={store.size}",
        f"pretrain.epochs={EPOCHS}",
        "pretrain.batch_size=8",
        "run.accelerator=cpu",
    ]
    return load_settings("quick", [*fixed, *overrides])[0]


def all_of(store: ImageStore) -> Split:
    """A split with everything in training: what is tested here is not the split."""
    return Split("image", 0, train=tuple(store.manifest["image_id"]), val=(), test=())


@pytest.fixture(scope="module")
def uninterrupted(shared_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    pretrain(
        shared_store,
        all_of(shared_store),
        out,
        method="simclr",
        settings=small_settings(shared_store),
        seed=3,
    )
    return out


# Runs in a process of its own, to be killed there.
SCRIPT = """
import sys
from pathlib import Path
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.settings import Settings
from brainssl.training.pretrain import pretrain
store = ImageStore.open(Path(sys.argv[1]))
settings = Settings.model_validate_json(sys.argv[3])
split = Split("image", 0, train=tuple(store.manifest["image_id"]), val=(), test=())
pretrain(store, split, Path(sys.argv[2]), method="simclr", settings=settings, seed=3)
"""


def test_resuming_after_a_kill_gives_the_same_bits(
    shared_store: ImageStore, uninterrupted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    settings = small_settings(shared_store)
    arguments = [str(shared_store.path), str(out), settings.model_dump_json()]
    history = working_folder(out) / "history.csv"
    deadline = time.monotonic() + 600
    with subprocess.Popen([sys.executable, "-c", SCRIPT, *arguments]) as process:
        try:
            # Killed somewhere after its second epoch, wherever it then is.
            while not history.is_file() or len(history.read_text().splitlines()) < 3:
                assert process.poll() is None, "the run ended before it could be killed"
                assert time.monotonic() < deadline
                time.sleep(0.002)
        finally:
            process.send_signal(signal.SIGKILL)
    assert not out.exists()

    steps: list[int] = []
    pretrain(
        shared_store,
        all_of(shared_store),
        out,
        method="simclr",
        settings=settings,
        seed=3,
        resume=True,
        progress=lambda done, _total: steps.append(done),
    )
    per_epoch = len(shared_store.images) // 8
    assert steps[0] > per_epoch, "the resumed run began anew"
    whole, resumed = (load_file(run / "encoder.safetensors") for run in (uninterrupted, out))
    assert whole.keys() == resumed.keys()
    for name in whole:
        assert torch.equal(whole[name], resumed[name]), name
    curves = [
        np.loadtxt(run / "history.csv", delimiter=",", skiprows=1, usecols=(0, 1, 3))
        for run in (uninterrupted, out)
    ]
    np.testing.assert_array_equal(*curves)


def test_without_resume_a_killed_run_is_forgotten(shared_store: ImageStore, tmp_path: Path) -> None:
    out = tmp_path / "run"
    partial = working_folder(out)
    partial.mkdir()
    (partial / "last.ckpt").write_bytes(b"not a checkpoint")
    settings = small_settings(shared_store, "pretrain.epochs=1")
    pretrain(shared_store, all_of(shared_store), out, method="simclr", settings=settings)
    assert (out / "encoder.safetensors").is_file()


def test_another_run_is_not_resumed(shared_store: ImageStore, tmp_path: Path) -> None:
    """Going on with other settings would give neither the one run nor the other."""
    out = tmp_path / "run"

    def killed(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    settings = small_settings(shared_store, "pretrain.epochs=1")
    split = all_of(shared_store)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        pretrain(shared_store, split, out, method="simclr", settings=settings, progress=killed)
    assert working_folder(out).is_dir()
    fewer = replace(split, train=split.train[1:])
    with pytest.raises(BrainsslError, match="other settings or data"):
        pretrain(shared_store, fewer, out, method="simclr", settings=settings, resume=True)
    pretrain(shared_store, split, out, method="simclr", settings=settings, resume=True)
    assert (out / "encoder.safetensors").is_file()
    assert not (out / "request.json").exists()


def test_validation_and_test_images_are_not_seen(
    shared_store: ImageStore, uninterrupted: Path, tmp_path: Path
) -> None:
    """Their pixels may hold anything: the weights stay the same to the bit."""
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    assert split.unlabelled
    settings = small_settings(shared_store, "pretrain.epochs=2")
    pretrain(shared_store, split, tmp_path / "a", method="simclr", settings=settings)
    images = shared_store.images.copy()
    for part in ("val", "test"):
        rows = split.indices(shared_store.manifest, part)
        images[rows] = 255 - images[rows]
    other = replace(shared_store, images=images)
    pretrain(other, split, tmp_path / "b", method="simclr", settings=settings)
    a, b = (load_file(tmp_path / run / "encoder.safetensors") for run in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_encoder_is_timms(uninterrupted: Path) -> None:
    network = timm.create_model("test_resnet", in_chans=1, num_classes=0)
    network.load_state_dict(load_file(uninterrupted / "encoder.safetensors"))


def test_the_folder_tells_what_was_done(uninterrupted: Path, shared_store: ImageStore) -> None:
    names = {file.name for file in uninterrupted.iterdir()}
    assert names == {"encoder.safetensors", "history.csv", "settings.json", "split.json"}
    saved = json.loads((uninterrupted / "settings.json").read_text())
    assert Settings.model_validate(saved) == small_settings(shared_store)


def test_the_loss_falls(uninterrupted: Path) -> None:
    losses = np.loadtxt(uninterrupted / "history.csv", delimiter=",", skiprows=1, usecols=1)
    assert len(losses) == EPOCHS
    assert losses[-1] < losses[0]

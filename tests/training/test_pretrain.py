"""Pretraining: only its rows are seen, resuming is exact, the encoder is timm's."""

import json
import math
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from oracles.fork_server import fork_server, pretrain_and_tell, start_forked
from oracles.gratings import all_of, small_settings
from oracles.some_often import some_often
from oracles.two_processes import Killed, Lopsided
from safetensors.torch import load_file
from torch.multiprocessing.spawn import ProcessException

from brainssl.data.split import make_split
from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import working_folder
from brainssl.hardware.device import precision_of
from brainssl.methods import METHODS
from brainssl.methods.dino import DINO
from brainssl.methods.method import Moment
from brainssl.methods.momentum import MomentumMethod
from brainssl.methods.simclr import SimCLR
from brainssl.models.encoder import build_encoder, load_encoder
from brainssl.settings import Settings
from brainssl.training import sentinel
from brainssl.training.pretrain import Pretraining, pretrain

EPOCHS, STEPS = 3, 3  # of 20 images each
SETTINGS = small_settings(
    f"pretrain.epochs={EPOCHS}", "pretrain.batch_size=20", "pretrain.warmup_epochs=1"
)

every_method = pytest.mark.parametrize("method", METHODS)


def train(store: ImageStore, out: Path, method: str = "simclr", **options: Any) -> Path:
    options = {"settings": SETTINGS, "seed": 3} | options
    pretrain(store, all_of(store), out, method=method, **options)
    return out


@pytest.fixture(scope="module")
def whole(
    shared_store: ImageStore, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Path]:
    """Give the folder of an uninterrupted pretraining by a method, made when first asked for."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def of(method: str) -> Path:
        if method not in made:
            made[method] = train(shared_store, folder / method, method)
        return made[method]

    return of


def assert_same_bits(one: Path, two: Path) -> None:
    """Compare encoders, learning curves and what the sentinel saw; not the seconds."""
    a, b = (load_file(run / "encoder.safetensors") for run in (one, two))
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name
    curves = [
        np.loadtxt(run / "history.csv", delimiter=",", skiprows=1, usecols=(0, 1, 3))
        for run in (one, two)
    ]
    np.testing.assert_array_equal(*curves)
    assert len(curves[0]) == EPOCHS
    assert (one / "collapse.json").read_bytes() == (two / "collapse.json").read_bytes()


class Killer:
    """Interrupts a run after a step, and keeps the steps that it saw."""

    def __init__(self, step: int) -> None:
        self.step, self.seen = step, list[int]()

    def __call__(self, done: int, _total: int) -> None:
        self.seen.append(done)
        if done == self.step:
            raise KeyboardInterrupt


@every_method
def test_resuming_gives_the_same_bits(
    method: str, whole: Callable[[str], Path], shared_store: ImageStore, tmp_path: Path
) -> None:
    """Interrupted in its second epoch, and again in its last."""
    out, seen = tmp_path / "run", []
    for step in (STEPS + 2, EPOCHS * STEPS - 1):
        killer = Killer(step)
        with pytest.raises(KeyboardInterrupt):
            train(shared_store, out, method, resume=True, progress=killer)
        seen.append(killer.seen)
        assert not out.exists()
    last = Killer(-1)
    train(shared_store, out, method, resume=True, progress=last)
    assert [steps[0] for steps in seen] == [1, STEPS + 1]
    assert last.seen == [(EPOCHS - 1) * STEPS + 1 + i for i in range(STEPS)]
    assert_same_bits(whole(method), out)


VIT = small_settings(
    f"pretrain.epochs={EPOCHS}",
    "pretrain.batch_size=20",
    "encoder.name=test_vit",
    "dino.local_scale=0.5",
)


@pytest.mark.parametrize("method", ["dino", pytest.param("mocov3", marks=pytest.mark.thorough)])
def test_a_transformer_resumes_with_the_same_bits(
    method: str, shared_store: ImageStore, tmp_path: Path
) -> None:
    """DINO's local crops are of one patch; MoCo v3's patch projection is what it was."""
    whole = train(shared_store, tmp_path / "whole", method, settings=VIT)
    with pytest.raises(KeyboardInterrupt):
        train(shared_store, tmp_path / "run", method, settings=VIT, resume=True, progress=Killer(5))
    train(shared_store, tmp_path / "run", method, settings=VIT, resume=True)
    assert_same_bits(whole, tmp_path / "run")
    trained = load_encoder(whole)
    fresh = build_encoder("test_vit", image_size=32, seed=3)
    same = {
        name: torch.equal(own, fresh.get_parameter(name))
        for name, own in trained.named_parameters()
    }
    assert [n for n, kept in same.items() if kept] == [
        f"network.patch_embed.proj.{part}" for part in ("weight", "bias") if method == "mocov3"
    ]


def test_what_was_frozen_in_a_pretraining_is_not_frozen_after_it(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    settings = small_settings(
        "pretrain.epochs=1", "pretrain.batch_size=60", "encoder.name=test_vit"
    )
    options = {"settings": settings, "method": "mocov3"}
    trained = pretrain(shared_store, all_of(shared_store), tmp_path / "out", **options)  # type: ignore[arg-type]
    assert all(parameter.requires_grad for parameter in trained.parameters())


def test_local_crops_that_a_network_does_not_take_are_refused(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    settings = small_settings("encoder.name=test_vit_relpos", "dino.local_scale=0.5")
    with pytest.raises(BrainsslError, match=r"no local crops of 16 px: set dino\.local_crops=0"):
        train(shared_store, tmp_path / "out", "dino", settings=settings)


@pytest.mark.parametrize("method", some_often(METHODS, ("simclr", "dino")))
def test_resuming_after_a_kill_gives_the_same_bits(
    method: str, whole: Callable[[str], Path], shared_store: ImageStore, tmp_path: Path
) -> None:
    """SIGKILL at a random step after the first epoch, wherever the process then is."""
    out = tmp_path / "run"
    step = random.randint(STEPS + 1, EPOCHS * STEPS - 1)
    context = fork_server()
    here, there = context.Pipe(duplex=False)
    work = (shared_store.path, all_of(shared_store), out, method, SETTINGS, there)
    process = context.Process(target=pretrain_and_tell, args=work)
    process.start()
    there.close()
    while here.recv() != step:
        pass
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not out.exists()

    after = Killer(-1)
    train(shared_store, out, method, resume=True, progress=after)
    assert after.seen[0] > STEPS, f"killed at step {step}, the resumed run began anew"
    assert_same_bits(whole(method), out)


@every_method
def test_the_sentinel_does_not_disturb(
    method: str,
    whole: Callable[[str], Path],
    shared_store: ImageStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Weights are those of a training that nobody watches."""
    watched = whole(method)  # before there is nobody
    monkeypatch.setattr(sentinel.Sentinel, "_look", lambda *_args, **_kwargs: None)
    train(shared_store, tmp_path / "run", method)
    assert not (tmp_path / "run" / "collapse.json").exists()
    a, b = (load_file(run / "encoder.safetensors") for run in (watched, tmp_path / "run"))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("batch_size", [10, 20, 60])
def test_the_learning_rate_is_the_settings_whatever_the_batch_size(
    batch_size: int, shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the optimiser has at each step: one epoch of linear rise, then half a cosine."""
    seen: list[list[float]] = []
    monkeypatch.setattr(
        Pretraining,
        "on_before_optimizer_step",
        lambda _self, optimizer: seen.append([group["lr"] for group in optimizer.param_groups]),
    )
    options = ["pretrain.warmup_epochs=1", "pretrain.learning_rate=0.003", "pretrain.epochs=3"]
    settings = small_settings(f"pretrain.batch_size={batch_size}", *options)
    train(shared_store, tmp_path / "run", settings=settings)
    rising = 60 // batch_size
    rise = [(step + 1) / rising for step in range(rising)]
    fall = [math.cos(math.pi / 4 * step / rising) ** 2 for step in range(2 * rising)]
    expected = [[0.003 * factor] * 2 for factor in rise + fall]
    np.testing.assert_allclose(seen, expected, rtol=1e-9)


def test_the_teacher_follows_once_a_step(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[Moment] = []
    follow = MomentumMethod.after_step
    monkeypatch.setattr(
        MomentumMethod, "after_step", lambda self: (moments.append(self.moment), follow(self))
    )
    train(shared_store, tmp_path / "run", "byol")
    expected = [Moment(step, EPOCHS * STEPS, STEPS) for step in range(EPOCHS * STEPS)]
    assert moments == expected


def test_a_teacher_that_does_not_follow_is_what_dino_began_with(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    """So it is the teacher's encoder that is saved, and no gradient has touched it."""
    settings = small_settings("pretrain.epochs=1", "pretrain.batch_size=20", "dino.momentum=1.0")
    train(shared_store, tmp_path / "run", "dino", settings=settings)
    saved = load_file(tmp_path / "run" / "encoder.safetensors")
    fresh = build_encoder("test_resnet", image_size=32, seed=3).network
    for name, parameter in fresh.named_parameters():
        assert torch.equal(parameter, saved[name]), name
    assert not torch.equal(fresh.bn1.running_mean, saved["bn1.running_mean"])


def test_without_resume_a_killed_run_is_forgotten(shared_store: ImageStore, tmp_path: Path) -> None:
    out = tmp_path / "run"
    partial = working_folder(out)
    partial.mkdir()
    (partial / "last.ckpt").write_bytes(b"not a checkpoint")
    train(shared_store, out, settings=small_settings("pretrain.epochs=1"))
    assert (out / "encoder.safetensors").is_file()


@pytest.mark.parametrize(("asked", "goes_on"), [(0.02, True), (0.05, False)])
def test_a_run_goes_on_after_an_upgrade_that_adds_a_setting(
    asked: float, goes_on: bool, shared_store: ImageStore, tmp_path: Path
) -> None:
    """What an older version did not know was as it is by default: views.noise is 0.02."""
    out = tmp_path / "run"
    chosen = ("pretrain.epochs=2", "pretrain.batch_size=20", f"views.noise={asked}")
    settings, after = small_settings(*chosen), Killer(-1)
    with pytest.raises(KeyboardInterrupt):
        train(shared_store, out, settings=settings, progress=Killer(STEPS + 1))
    file = working_folder(out) / "request.json"
    request = json.loads(file.read_text())
    del request["settings"]["views"]["noise"], request["settings"]["simclr"]["projector_norm"]
    del request["reader"]
    file.write_text(json.dumps(request))
    if goes_on:
        train(shared_store, out, settings=settings, resume=True, progress=after)
        assert after.seen[0] > STEPS, "it began anew"
    else:
        with pytest.raises(BrainsslError, match="other settings or data"):
            train(shared_store, out, settings=settings, resume=True)


def test_a_run_goes_on_from_the_same_starting_weights_alone(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    out, file = tmp_path / "run", tmp_path / "start.pth"
    settings = small_settings("pretrain.epochs=2", "pretrain.batch_size=20")
    begun = settings.encoder.model_copy(update={"weights": str(file)})
    settings = settings.model_copy(update={"encoder": begun})
    states = [timm.create_model("test_resnet").state_dict() for _ in range(2)]
    torch.save(states[0], file)
    said: list[str] = []
    whole = train(shared_store, tmp_path / "whole", settings=settings, say=said.append)
    assert any(line.startswith("starting weights:") and "start.pth" in line for line in said)
    with pytest.raises(KeyboardInterrupt):
        train(shared_store, out, settings=settings, progress=Killer(STEPS + 1))
    torch.save(states[1], file)
    with pytest.raises(BrainsslError, match="other starting weights"):
        train(shared_store, out, settings=settings, resume=True)
    torch.save(states[0], file)
    after = Killer(-1)
    train(shared_store, out, settings=settings, resume=True, progress=after)
    assert after.seen[0] > STEPS, "it began anew"
    a, b = (load_file(run / "encoder.safetensors") for run in (whole, out))
    assert all(torch.equal(a[name], b[name]) for name in a)
    told = load_encoder(out).facts["starting_weights"]
    assert told["name"] == "start"
    assert told["left_out"] == {"fc": 2}


def test_another_run_is_not_resumed(shared_store: ImageStore, tmp_path: Path) -> None:
    """Going on with other settings would give neither the one run nor the other."""
    out, settings = tmp_path / "run", small_settings("pretrain.epochs=1")
    split = all_of(shared_store)
    options: dict[str, Any] = {"method": "simclr", "settings": settings}
    with pytest.raises(KeyboardInterrupt):
        pretrain(shared_store, split, out, progress=Killer(1), **options)
    assert working_folder(out).is_dir()
    fewer = replace(split, train=split.train[1:])
    with pytest.raises(BrainsslError, match="other settings or data"):
        pretrain(shared_store, fewer, out, resume=True, **options)
    with pytest.raises(BrainsslError, match="other settings or data"):
        pretrain(shared_store, split, out, resume=True, **(options | {"method": "byol"}))
    pretrain(shared_store, split, out, resume=True, **options)
    assert (out / "encoder.safetensors").is_file()
    assert not (out / "request.json").exists()


def test_validation_and_test_images_are_not_seen(shared_store: ImageStore, tmp_path: Path) -> None:
    """Their pixels may hold anything: the weights stay the same to the bit.

    The sentinel does look at validation images, and at no test image.
    """
    split = make_split(shared_store.manifest, val_fraction=0.2, test_fraction=0.2)
    assert split.unlabelled
    settings = small_settings("pretrain.epochs=2")

    def without(*parts: str) -> Path:
        images = shared_store.images.copy()
        for part in parts:
            rows = split.indices(shared_store.manifest, part)
            images[rows] = 255 - images[rows]
        other, out = replace(shared_store, images=images), tmp_path / f"without {' '.join(parts)}"
        pretrain(other, split, out, method="simclr", settings=settings)
        return out

    runs = [without(), without("test"), without("val", "test")]
    a, b, c = (load_file(run / "encoder.safetensors") for run in runs)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert all(torch.equal(a[name], c[name]) for name in a)
    one, two, three = (json.loads((run / "collapse.json").read_text()) for run in runs)
    assert one == two
    assert one["epochs"][0]["knn_accuracy"] is not None
    unlike = [row["knn_accuracy"] for row in one["epochs"]]
    assert unlike != [row["knn_accuracy"] for row in three["epochs"]]


def test_weights_that_are_not_finite_are_refused(
    shared_store: ImageStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = SimCLR.loss
    monkeypatch.setattr(SimCLR, "loss", lambda self, views: loss(self, views) * math.nan)
    said: list[str] = []
    with pytest.raises(BrainsslError, match=r"diverged: lower pretrain\.learning_rate"):
        train(shared_store, tmp_path / "run", say=said.append)
    assert not (tmp_path / "run").exists()
    assert said[0].startswith("warning: simclr: since epoch 1, embeddings are not finite")
    seen = json.loads((working_folder(tmp_path / "run") / "collapse.json").read_text())
    assert seen["epochs"][-1]["spread"] is None


def test_the_encoder_is_timms(whole: Callable[[str], Path]) -> None:
    network = timm.create_model("test_resnet", in_chans=1, num_classes=0)
    network.load_state_dict(load_file(whole("simclr") / "encoder.safetensors"))


def test_the_folder_tells_what_was_done(whole: Callable[[str], Path]) -> None:
    names = {file.name for file in whole("byol").iterdir()}
    assert names == {
        "collapse.json",
        "digests.json",
        "encoder.safetensors",
        "history.csv",
        "settings.json",
        "split.json",
    }
    saved = json.loads((whole("byol") / "settings.json").read_text())
    resolved = saved.pop("resolved")
    assert saved == SETTINGS.of("byol").written(["byol"])
    assert Settings.model_validate(saved).pretrain == SETTINGS.pretrain
    precision = precision_of(SETTINGS.run)
    assert resolved == {
        "momentum": {
            "value": pytest.approx(0.5 ** (1 / 50)),
            "reason": f"a half-life of 1 × the {STEPS} steps of an epoch, but 50 steps at least",
        },
        "run.precision": {"value": precision.name, "reason": precision.reason},
    }


def test_values_that_depend_on_the_data_are_told(shared_store: ImageStore, tmp_path: Path) -> None:
    said: list[str] = []
    settings = small_settings("pretrain.epochs=1", "pretrain.batch_size=20")
    train(shared_store, tmp_path / "run", "mocov3", settings=settings, say=said.append)
    why = "a half-life of 1 × the 3 steps of an epoch, but 50 steps at least"
    assert said == [f"mocov3.momentum = 0.98623: {why}"]


def train_in_two(store: ImageStore, out: Path, learner: type[DINO], **options: Any) -> Path:
    """Pretrain in two processes, by a kind of DINO that each of them finds by its name."""
    settings = small_settings(
        f"pretrain.epochs={EPOCHS}", "pretrain.batch_size=20", "run.devices=2"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "dino", learner)
        patch.setattr("brainssl.training.processes.start_processes", start_forked)
        return train(store, out, "dino", settings=settings, **options)


@pytest.fixture(scope="module")
def whole_in_two(shared_store: ImageStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of an uninterrupted pretraining in two processes."""
    return train_in_two(shared_store, tmp_path_factory.mktemp("two") / "run", Lopsided)


def test_the_loss_that_is_told_is_that_of_all_processes(whole_in_two: Path) -> None:
    """The second has 100 more, so their mean has 50 more than DINO can have."""
    losses = np.loadtxt(whole_in_two / "history.csv", delimiter=",", skiprows=1, usecols=1)
    assert len(losses) == EPOCHS
    assert (abs(losses - 50 - math.log(128)) < 5).all()


def test_two_processes_resume_with_the_same_bits(
    whole_in_two: Path, shared_store: ImageStore, tmp_path: Path
) -> None:
    """The first is killed in the second epoch, so that nobody can tidy up."""
    out, after = tmp_path / "run", Killer(-1)
    with pytest.raises(ProcessException):
        train_in_two(shared_store, out, Killed)
    assert not out.exists()
    train_in_two(shared_store, out, Lopsided, resume=True, progress=after)
    assert after.seen == list(range(STEPS + 1, EPOCHS * STEPS + 1))
    assert_same_bits(whole_in_two, out)


@every_method
def test_the_loss_falls(method: str, shared_store: ImageStore, tmp_path: Path) -> None:
    """In the mean of epochs: one is three batches, whose views make it easy or hard."""
    settings = small_settings(
        "pretrain.epochs=6", "pretrain.batch_size=20", "pretrain.warmup_epochs=1"
    )
    out = train(shared_store, tmp_path / "run", method, settings=settings)
    losses = np.loadtxt(out / "history.csv", delimiter=",", skiprows=1, usecols=1)
    assert len(losses) == 6
    assert losses[3:].mean() < losses[0]

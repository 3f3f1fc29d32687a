"""Schedule and parameter groups against closed forms; two processes against one."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.brightness import Brightness, Diary
from oracles.fork_server import start_forked
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.encoder import Encoder
from brainssl.settings.sections import RunSettings
from brainssl.training.batches import training_batches
from brainssl.training.callbacks import Checkpoint
from brainssl.training.trainer import CHECKPOINT, Training, cosine, fit, without_decay


def test_schedule_rises_linearly_and_falls_as_a_cosine() -> None:
    factors = [cosine(step, steps=110, warmup=10) for step in range(111)]
    assert factors[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[35] == pytest.approx(0.5 * (1 + math.cos(math.pi / 4)))
    assert factors[110] == pytest.approx(0)


def test_schedule_agrees_with_torch() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=20)
    for step in range(20):
        assert cosine(step, steps=20, warmup=0) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_warmup_may_fill_the_whole_training() -> None:
    assert cosine(0, steps=1, warmup=1) == 1


def test_biases_and_normalisation_take_no_weight_decay() -> None:
    encoder = Encoder("test_resnet", image_size=32)
    decayed, spared = without_decay(encoder, weight_decay=0.1, lr=0.5)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert decayed["lr"] == spared["lr"] == 0.5
    spared_ids = {id(p) for p in spared["params"]}
    for name, module in encoder.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            assert {id(module.weight), id(module.bias)} <= spared_ids, name
        if isinstance(module, nn.Conv2d):
            assert id(module.weight) not in spared_ids, name
    count = len(decayed["params"]) + len(spared["params"])
    assert count == len(list(encoder.parameters()))


class Downhill(Training):
    """Three layers whose gradients are given numbers, of norm 13, at a rate of 1."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(1, 1, 1, dtype=torch.uint8), seed=0)
        self.slopes = [torch.tensor([3.0, 0.0]), torch.tensor([[4.0]]), torch.tensor([-12.0])]
        self.weights = nn.ParameterList(torch.zeros_like(slope) for slope in self.slopes)

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        pairs = zip(self.weights, self.slopes, strict=True)
        loss = torch.stack([(weight * slope).sum() for weight, slope in pairs]).sum()
        self.log("train_loss", loss, on_epoch=True, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1.0)


@pytest.mark.parametrize("limit", [0.5, 6.5, 13.5, None])
def test_the_whole_gradient_is_clipped_to_its_limit(limit: float | None, tmp_path: Path) -> None:
    """By its norm over all layers, and not layer by layer; what is below the limit stays."""
    training = Downhill()
    fit(
        training,
        training_batches(np.zeros(1, dtype=np.int64), 1, 0),
        epochs=1,
        clip_norm=limit,
        run=RunSettings(accelerator="cpu", precision="32-true"),
        folder=tmp_path,
    )
    steps = [-weight.detach() for weight in training.weights]
    norm = math.hypot(*torch.cat([step.flatten() for step in steps]).tolist())
    if limit is None or limit > 13:
        assert all(map(torch.equal, steps, training.slopes))
        assert norm == 13
    else:
        assert norm == pytest.approx(limit, rel=1e-5)
        for step, slope in zip(steps, training.slopes, strict=True):
            torch.testing.assert_close(step, slope * limit / 13)


IMAGES, BATCH, EPOCHS = 40, 8, 4


def train(folder: Path, *, enough: int = EPOCHS, **options: Any) -> tuple[Brightness, Diary]:
    generator = np.random.default_rng(0)
    pixels = torch.from_numpy(generator.integers(0, 255, (IMAGES, 16, 16), dtype=np.uint8))
    training, diary = Brightness(pixels), Diary(enough)
    fit(
        training,
        training_batches(np.arange(IMAGES, dtype=np.int64), BATCH, 0),
        epochs=EPOCHS,
        clip_norm=0.3,
        run=RunSettings(accelerator="cpu", precision="32-true"),
        folder=folder,
        callbacks=[diary],
        **options,
    )
    return training, diary


@pytest.mark.thorough
def test_two_processes_learn_what_one_learns(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, statistics, slow copy and centre; through an error in between that ends both."""
    each_epoch = partial(Checkpoint, share=math.inf)
    monkeypatch.setattr("brainssl.training.trainer.Checkpoint", each_epoch)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    alone, _ = train(one)

    said: list[str] = []
    with pytest.raises(BrainsslError, match=r"^enough for today$"):
        train(two, enough=2, devices=2, say=said.append)
    assert said == ["epoch 1", "epoch 2"]
    assert capfd.readouterr() == ("", "")

    monkeypatch.setattr("brainssl.training.processes.start_processes", start_forked)
    seen: list[tuple[int, int]] = []
    told = {"say": said.append, "progress": lambda *steps: seen.append(steps)}
    together, diary = train(two, devices=2, **told)
    steps = EPOCHS * IMAGES // BATCH
    assert seen == [(step, steps) for step in range(steps // 2 + 1, steps + 1)]
    assert said == ["epoch 1", "epoch 2", "epoch 3", "epoch 4"]
    assert diary.epochs == EPOCHS
    assert {file.name for file in two.iterdir()} == {CHECKPOINT, "history.csv"}

    expected = alone.state_dict()
    moved = (expected["online.0.weight"] - Brightness(alone.pixels).online[0].weight).abs()
    assert moved.max() > 1e-2
    torch.testing.assert_close(together.state_dict(), expected, atol=1e-10, rtol=0)
    curves = [
        np.loadtxt(folder / "history.csv", delimiter=",", skiprows=1, usecols=(0, 1, 3))
        for folder in (one, two)
    ]
    np.testing.assert_allclose(*curves, rtol=1e-6)  # what is logged is float32


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"run\.devices is 3, and a batch of 8 .* evenly"):
        train(tmp_path, devices=3)
    assert not list(tmp_path.iterdir())


class Seen(Downhill):
    """Keeps the kind of number that a convolution gives in training, of so many groups."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.layer, self.gave = nn.Conv2d(4, 4, 3, groups=groups), torch.float64

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        given: Tensor = self.layer(torch.ones(2, 4, 5, 5))
        self.gave = given.dtype
        return super().training_step(batch, batch_idx)


@pytest.mark.parametrize(("groups", "dtype"), [(2, torch.bfloat16), (4, torch.float32)])
def test_auto_trains_in_the_precision_of_the_network(
    groups: int, dtype: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a processor that is said to have units for bfloat16: of 4 channels in 4 groups."""
    monkeypatch.setattr("brainssl.hardware.device.multiplies_bfloat16", lambda: True)
    training = Seen(groups)
    fit(
        training,
        training_batches(np.zeros(1, dtype=np.int64), 1, 0),
        epochs=1,
        clip_norm=None,
        run=RunSettings(accelerator="cpu"),
        folder=tmp_path,
    )
    assert training.gave is dtype

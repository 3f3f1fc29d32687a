"""float16 and its scaled losses, on a processor: nothing follows a step that was skipped."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision
from oracles.gratings import gratings, small_settings
from oracles.small_methods import SIZE, small
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from brainssl.methods import METHODS
from brainssl.methods.method import Moment
from brainssl.training.batches import training_batches
from brainssl.training.pretrain import Pretraining
from brainssl.training.trainer import cosine, fit

EPOCHS, STEPS, BATCH, SCALE = 2, 4, 6, 2.0**4
RATE = 0.003
every_method = pytest.mark.parametrize("method", METHODS)


class Overflowing(torch.amp.GradScaler):
    """Meets gradients that are not finite in the steps that it is given, and nowhere else."""

    def __init__(self, steps: Sequence[int]) -> None:
        super().__init__("cpu", init_scale=SCALE)
        self.steps, self.step_number = steps, 0

    def unscale_(self, optimizer: torch.optim.Optimizer) -> None:
        if self.step_number in self.steps:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            next(p for p in parameters if p.grad is not None).grad.view(-1)[0] = torch.inf
        super().unscale_(optimizer)

    def update(self, new_scale: float | Tensor | None = None) -> None:
        super().update(new_scale)
        self.step_number += 1


class Diary(Callback):
    """Keeps the state before each step and after the last one, and what happened in between."""

    def __init__(self) -> None:
        self.states: list[dict[str, Any]] = []
        self.moments: list[Moment] = []
        self.norms: list[float] = []  # of gradients, before they are clipped

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        self.states.append(state_of(trainer, pl_module))

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: Any, optimizer: Any) -> None:
        self.moments.append(pl_module.method.moment)
        self.norms.append(norm(p.grad for p in pl_module.parameters() if p.grad is not None))

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.states.append(state_of(trainer, pl_module))


def norm(tensors: Any) -> float:
    return float(torch.cat([tensor.flatten() for tensor in tensors]).norm())


def state_of(trainer: Trainer, training: Pretraining) -> dict[str, Any]:
    """Copy whatever a step may change; BatchNorm's statistics are those of the forward pass."""
    statistics = {
        f"{name}.{buffer}"
        for name, module in training.method.named_modules()
        if isinstance(module, _BatchNorm)
        for buffer, _ in module.named_buffers(recurse=False)
    }
    names = {parameter: name for name, parameter in training.method.named_parameters()}
    optimizer = trainer.optimizers[0]
    return {
        "parameters": copied(dict(training.method.named_parameters())),
        "buffers": copied(
            {k: v for k, v in training.method.named_buffers() if k not in statistics}
        ),
        "moments": copied({names[p]: s["exp_avg"] for p, s in optimizer.state.items()}),
        "rates": [group["lr"] for group in optimizer.param_groups],
    }


def copied(tensors: dict[Any, Tensor]) -> dict[Any, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


class Exact(Pretraining):
    """A pretraining whose losses must be float32."""

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        assert torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cpu") == torch.float16
        loss = super().training_step(batch, batch_idx)
        assert loss.dtype == torch.float32
        return loss


@pytest.fixture
def train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[Pretraining, Diary]]:
    """Give a way to pretrain by a method with float16 whose gradients overflow at chosen steps."""

    def of(
        method: str,
        overflows: Sequence[int] | None = (),
        *,
        folder: str = "run",
        clip_norm: float = 1.0,
        progress: Any = None,
    ) -> tuple[Pretraining, Diary]:
        (tmp_path / folder).mkdir(exist_ok=True)
        plugin = MixedPrecision("16-mixed", "cpu", scaler=Overflowing(overflows or ()))

        def scaling(*, precision: str, **options: Any) -> Trainer:
            assert precision == "32-true"
            return Trainer(plugins=[plugin], **options)

        monkeypatch.setattr(
            "brainssl.training.trainer.Trainer", Trainer if overflows is None else scaling
        )
        settings = small_settings(
            f"pretrain.epochs={EPOCHS}",
            f"pretrain.learning_rate={RATE}",
            "pretrain.warmup_epochs=0.5",
            "run.precision=32-true",  # which the plugin takes the place of
        )
        learner = small(method, seed=3)
        kind = Pretraining if overflows is None else Exact
        chosen = getattr(learner, "chosen", type(learner).settings_type())
        pixels = torch.from_numpy(gratings(STEPS * BATCH, SIZE))
        training, diary = kind(learner, learner.crops(chosen), pixels, settings, seed=0), Diary()
        fit(
            training,
            training_batches(np.arange(STEPS * BATCH, dtype=np.int64), BATCH, 0),
            epochs=EPOCHS,
            clip_norm=clip_norm,
            run=settings.run,
            folder=tmp_path / folder,
            callbacks=[diary],
            progress=progress,
        )
        return training, diary

    return of


def assert_same(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Compare two states bit for bit."""
    assert one["rates"] == two["rates"]
    for kind in ("parameters", "buffers", "moments"):
        assert one[kind].keys() == two[kind].keys()
        for name, tensor in one[kind].items():
            assert torch.equal(tensor, two[kind][name]), name


def moved(one: dict[str, Tensor], two: dict[str, Tensor], part: str = "") -> bool:
    return any(not torch.equal(one[name], two[name]) for name in one if name.startswith(part))


@every_method
def test_nothing_follows_a_step_that_was_skipped(method: str, train: Any) -> None:
    """Neither parameters nor teacher, rate, centre or support set; a taken step moves them all."""
    overflows = (0, 3, 4)
    training, diary = train(method, overflows)
    assert training.skipped_steps == len(overflows)
    assert len(diary.states) == EPOCHS * STEPS + 1
    taken = 0
    for step, (before, after) in enumerate(zip(diary.states, diary.states[1:], strict=False)):
        expected = RATE * cosine(taken, steps=EPOCHS * STEPS, warmup=STEPS // 2)
        assert before["rates"] == pytest.approx([expected] * 2, rel=1e-9)
        assert diary.moments[step] == Moment(taken, EPOCHS * STEPS, STEPS)
        if step in overflows:
            assert_same(before, after)
            continue
        taken += 1
        assert moved(before["parameters"], after["parameters"], "encoder.")
        if hasattr(training.method, "teacher"):
            assert moved(before["parameters"], after["parameters"], "teacher.")
        assert moved(before["buffers"], after["buffers"]) == (method in ("dino", "nnclr"))
    assert taken == EPOCHS * STEPS - len(overflows)


def test_a_resumed_run_goes_on_with_its_count(train: Any) -> None:
    """Interrupted in its second epoch, after skipped steps; the scale goes on as well."""
    whole, expected = train("dino", (1, 4, 6), folder="whole")

    def interrupt(done: int, _total: int) -> None:
        if done == STEPS + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train("dino", (1, 4), progress=interrupt)
    resumed, diary = train("dino", (4 - STEPS, 6 - STEPS))
    assert resumed.skipped_steps == whole.skipped_steps == 3
    assert diary.moments == expected.moments[STEPS:]
    assert [moment.step for moment in diary.moments] == [3, 3, 4, 4]
    assert len(diary.states) == STEPS + 1
    for one, two in zip(diary.states, expected.states[STEPS:], strict=True):
        assert_same(one, two)


@pytest.mark.parametrize("limit", [0.05, 1e3])
def test_gradients_are_clipped_after_they_were_unscaled(limit: float, train: Any) -> None:
    """What AdamW has taken is read from its first moment: m ← 0.9 m + 0.1 g."""
    _, diary = train("simclr", clip_norm=limit)
    _, exact = train("simclr", None, folder="exact", clip_norm=limit)
    # float16 has three digits; the scale is 16.
    assert diary.norms[0] == pytest.approx(exact.norms[0], rel=0.05)
    kept: dict[str, Tensor] = {}
    for step, state in enumerate(diary.states[1:]):
        gradients = [10 * (m - 0.9 * kept.get(name, 0 * m)) for name, m in state["moments"].items()]
        kept = state["moments"]
        assert norm(gradients) == pytest.approx(min(limit, diary.norms[step]), rel=1e-3)
    assert min(diary.norms) > 0.05, "nothing would be clipped"

"""The one place that calls Lightning: precision, processes, checkpoints, progress."""

import logging
import math
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import LRSchedulerTypeUnion, OptimizerLRScheduler
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader

from brainssl.foundation.errors import BrainsslError
from brainssl.hardware.device import device_of, precision_of
from brainssl.hardware.memory import keep_freed_memory
from brainssl.settings.sections import RunSettings
from brainssl.training.batches import Batches
from brainssl.training.batchnorm import synchronise
from brainssl.training.callbacks import Checkpoint, History, Progress, Report
from brainssl.training.loggers import LearningRate, MakeLoggers
from brainssl.training.processes import Tell, run_on_ranks

CHECKPOINT = "last.ckpt"
_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}
_TRAINED = "trained.ckpt"  # from the ranks to the process that has started them


class Training(LightningModule):
    """What pretraining and fine-tuning share: resident pixels and seeded randomness.

    Attributes:
        pixels: every image of the store (n, size, size), see `brainssl.views.recipes.as_tensor`;
            batches are rows of it.
        skipped: whether the optimiser did not take the last step, because float16 gradients had
            overflown; then nothing that follows a step may happen.
        skipped_steps: how many it did not take so far.
        say: tells the user a line, from whichever process; `fit` sets it.
    """

    def __init__(self, pixels: Tensor, *, seed: int) -> None:
        super().__init__()
        # In a tuple, so that the images are no part of the module or of a checkpoint.
        self._resident = (pixels,)
        self.seed = seed
        self.skipped = False
        self.skipped_steps = 0
        self.say: Callable[[str], None] = _ignore

    @property
    def pixels(self) -> Tensor:
        """The images, on the device where the training runs."""
        return self._resident[0]

    def on_fit_start(self) -> None:
        """Move the images to the device once: the loader then moves only row numbers."""
        self._resident = (self.pixels.to(self.device),)

    def on_train_epoch_start(self) -> None:
        """Seed dropout and the like from the epoch, so that resuming repeats it."""
        # Each rank has its own: 0 is what a single process has.
        torch.manual_seed((self.seed + 1_000_000 * self.global_rank) * 100_003 + self.current_epoch)

    def noted(self) -> dict[str, float]:
        """Return what `history.csv` tells of the epoch that ends, beside losses; nothing here."""
        return {}

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: torch.optim.Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """Take a step, and see whether the scaler of float16 losses let it happen."""
        scaler = _scaler(self.trainer)
        before = scaler.get_scale() if scaler else 0.0
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        # A scale is lowered after gradients that were not finite, and only then.
        self.skipped = scaler is not None and scaler.get_scale() < before
        self.skipped_steps += self.skipped

    def lr_scheduler_step(self, scheduler: LRSchedulerTypeUnion, metric: Any | None) -> None:
        """Let the schedule follow a step that was taken."""
        if not self.skipped:
            super().lr_scheduler_step(scheduler, metric)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep what going on needs."""
        checkpoint["skipped_steps"] = self.skipped_steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.skipped_steps = checkpoint.get("skipped_steps", 0)  # older ones know of none

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Clip the norm of the whole gradient.

        Lightning refuses to clip for fused optimisers, because of scaled float16 gradients. Here
        those have an optimiser that is not fused, and are not scaled any more.
        """
        if gradient_clip_val is not None:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)


def fit(
    training: Training,
    batches: DataLoader[Tensor],
    *,
    val_batches: DataLoader[Tensor] | None = None,
    epochs: int,
    clip_norm: float | None,
    run: RunSettings,
    folder: Path,
    callbacks: Sequence[Callback] = (),
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
    devices: int = 1,
    loggers: MakeLoggers = list,
) -> None:
    """Train, or go on from `folder/last.ckpt` where there is one.

    Writes `history.csv` and, when `Checkpoint` finds it time, `last.ckpt` into `folder`. Going on
    gives the weights, bit for bit, that an uninterrupted run on the same processor gives.

    Args:
        training: changed in place.
        batches: of `training_batches`.
        val_batches: judged after each epoch.
        epochs: in all.
        clip_norm: of the whole gradient; None: no clipping.
        run: where to compute, and in which precision.
        folder: to write to.
        callbacks: whose `state_dict` is saved in checkpoints.
        progress: called with (optimiser steps done, steps in all).
        say: told what `training.say` is told.
        devices: how many processes share each batch, on a GPU each or on the CPU; then
            everything that is given must be picklable, but for `progress` and `say`. Callbacks
            run in every process, and come back in the state of the first.
        loggers: called once where the training runs: makes what takes all that is logged.

    Raises:
        BrainsslError: the batches cannot be shared evenly, or there are fewer GPUs than `devices`.
    """
    device = device_of(run)
    if device.type == "cpu":
        keep_freed_memory()
    options = {
        "accelerator": _ACCELERATORS[device.type],
        "devices": devices,
        "precision": precision_of(run, training).name,
        "max_epochs": epochs,
        "gradient_clip_val": clip_norm,
        "default_root_dir": folder,
    }
    callbacks = [
        *callbacks,
        LearningRate(),
        History(folder / "history.csv"),
        # Last, so that it saves what the others have noted of the epoch.
        Checkpoint(folder / CHECKPOINT),
    ]
    progress, say = progress or _ignore, say or _ignore
    training.to(memory_format=torch.channels_last)
    if devices == 1:
        training.say = say
        _train(training, batches, val_batches, [Report(progress), *callbacks], loggers, options)
        return
    _require_shares(batches, devices, device)
    work = (training, batches, val_batches, callbacks, loggers, options)
    run_on_ranks(devices, device, _train_on_rank, work, {"progress": progress, "say": say})
    trained = torch.load(folder / _TRAINED, weights_only=True)
    training.load_state_dict(trained["training"])
    for callback, state in zip(callbacks, trained["callbacks"], strict=True):
        callback.load_state_dict(state)
    (folder / _TRAINED).unlink()


def _require_shares(batches: DataLoader[Tensor], devices: int, device: torch.device) -> None:
    sampler = batches.sampler
    assert isinstance(sampler, Batches), "batches come from training_batches"
    if sampler.size % devices:
        raise BrainsslError(
            f"run.devices is {devices}, and a batch of {sampler.size} images cannot be shared "
            "evenly: set run.devices to a divisor, or pretrain.batch_size to a multiple of it"
        )
    if device.type == "mps":
        raise BrainsslError("run.devices is more than 1, and Apple's GPU is one: set it to 1")
    if device.type == "cuda" and devices > torch.cuda.device_count():
        raise BrainsslError(
            f"run.devices is {devices}, and PyTorch sees {torch.cuda.device_count()} GPU here: "
            "set it to that, or run.accelerator to cpu"
        )


def _train(
    training: Training,
    batches: DataLoader[Tensor],
    val_batches: DataLoader[Tensor] | None,
    callbacks: list[Callback],
    loggers: MakeLoggers,
    options: dict[str, Any],
) -> None:
    with _quiet():
        trainer = Trainer(
            callbacks=callbacks,
            logger=loggers() or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            **options,
        )
        checkpoint = Path(options["default_root_dir"]) / CHECKPOINT
        resume = checkpoint if checkpoint.is_file() else None
        with _interruptible(trainer):
            trainer.fit(training, batches, val_batches, ckpt_path=resume, weights_only=True)


def _train_on_rank(
    training: Training,
    batches: DataLoader[Tensor],
    val_batches: DataLoader[Tensor] | None,
    callbacks: list[Callback],
    loggers: MakeLoggers,
    options: dict[str, Any],
    tell: Tell,
) -> None:
    # The images stay in memory that all ranks share; weights must be each rank's own.
    for tensor in chain(training.parameters(), training.buffers()):
        tensor.data = tensor.data.clone()
    synchronise(training, cuda=options["accelerator"] == "gpu")
    training.say = partial(tell, "say")
    ddp = {
        "strategy": "ddp",
        "plugins": [LightningEnvironment()],
        "use_distributed_sampler": False,  # batches are shares already
    }
    report = Report(partial(tell, "progress"))
    _train(training, batches, val_batches, [report, *callbacks], loggers, options | ddp)
    if distributed.get_rank() == 0:
        states = [callback.state_dict() for callback in callbacks]
        trained = {"training": training.state_dict(), "callbacks": states}
        torch.save(trained, Path(options["default_root_dir"]) / _TRAINED)


def _ignore(*values: object) -> None:
    del values


def adamw(
    training: Training, groups: list[dict[str, Any]], *, warmup_epochs: float, epochs: int
) -> OptimizerLRScheduler:
    """Return AdamW and its schedule: linear warm-up, cosine to zero, once a step.

    It is fused, but for float16: a fused one unscales gradients itself, after they were clipped.

    Args:
        training: inside of a trainer, which knows the number of steps.
        groups: of parameters, each with its own `lr` and `weight_decay`.
        warmup_epochs: epochs of rising rate.
        epochs: in all.
    """
    fused = training.device.type in ("cpu", "cuda") and _scaler(training.trainer) is None
    optimizer = torch.optim.AdamW(groups, fused=fused)
    steps = int(training.trainer.estimated_stepping_batches)
    warmup = round(steps * min(1.0, warmup_epochs / epochs))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: cosine(step, steps=steps, warmup=warmup)
    )
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def _scaler(trainer: Trainer) -> torch.amp.GradScaler | None:
    """Return what scales losses in float16; None in any other precision."""
    scaler: torch.amp.GradScaler | None = getattr(trainer.precision_plugin, "scaler", None)
    return scaler


def without_decay(module: nn.Module, *, weight_decay: float, lr: float) -> list[dict[str, Any]]:
    """Split parameters in two groups: biases and normalisation take no weight decay."""
    learning = [p for p in module.parameters() if p.requires_grad]
    weights = [p for p in learning if p.ndim > 1]
    others = [p for p in learning if p.ndim <= 1]
    return [
        {"params": weights, "weight_decay": weight_decay, "lr": lr},
        {"params": others, "weight_decay": 0.0, "lr": lr},
    ]


def cosine(step: int, *, steps: int, warmup: int) -> float:
    """Return the factor on the learning rate at `step` (from 0) of `steps`.

    Rises linearly over `warmup` steps, then falls as half a cosine to 0 (Loshchilov & Hutter 2017,
    one cycle without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """Let Ctrl-C be what it was: Lightning makes an exit of it, and leaves the signal ignored."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as end:
        if trainer.interrupted:
            signal.signal(signal.SIGINT, handler)
            what = end.__context__
            raise what if isinstance(what, KeyboardInterrupt) else KeyboardInterrupt from None
        raise


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advice off the terminal; its errors still come through."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*does not have many workers.*")
            yield
    finally:
        logger.setLevel(level)

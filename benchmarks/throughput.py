"""Training views per second of each method, beside the limit and beside lightly, in one run.

The limit is the same model, loss and optimiser stepping on one batch of views that is already
there: what would remain if reading, augmentation, Lightning and checkpoints cost nothing. lightly
is what a user would otherwise pick: its SimCLR transform in a DataLoader with a worker a core, its
loss, Lightning, the same encoder, precision, memory format and batch; for SimCLR alone. Its recipe
is a colour one with more operations, as it comes: this compares what one gets, not two ways to one
thing.
Ours is timed over the end of an epoch, with its checkpoint and history.

    python benchmarks/throughput.py --out results/throughput.json
"""

import argparse
import dataclasses
import json
import os
import platform
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from brainssl.data.prepare import write_store
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.methods import METHODS, build_method
from brainssl.methods.method import Crop
from brainssl.models.encoder import build_encoder
from brainssl.settings import Settings, load_settings
from brainssl.training.pretrain import pretrain
from brainssl.training.trainer import without_decay
from brainssl.views.recipes import to_unit


@dataclass(frozen=True)
class Case:
    """A method, an encoder, an image size (pixels), a batch (images) and the steps of a round."""

    method: str
    encoder: str
    image_size: int
    batch_size: int
    steps: int


WARM = 3
CASES = (
    Case("simclr", "resnet18", 96, 64, 30),
    Case("simclr", "resnet50", 224, 32, 6),
    Case("byol", "resnet18", 96, 64, 15),
    Case("dino", "resnet18", 96, 64, 15),
    Case("mocov3", "resnet18", 96, 64, 15),
)
GPU_CASES = (
    Case("simclr", "resnet50", 224, 32, 60),
    Case("simclr", "resnet50", 224, 256, 20),
    Case("byol", "resnet50", 224, 64, 40),
    Case("mocov3", "resnet50", 224, 64, 40),
    Case("dino", "resnet50", 224, 64, 30),
    Case("simclr", "resnet18", 96, 64, 60),
)


def main() -> None:
    """Measure every case and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--no-lightly", action="store_true")
    parser.add_argument("--steps", type=int, help="optimiser steps a round, instead of the case's")
    arguments = parser.parse_args()
    cases = [
        dataclasses.replace(case, steps=arguments.steps) if arguments.steps else case
        for case in (GPU_CASES if torch.cuda.is_available() else CASES)
    ]
    command = shlex.join(["python", *sys.argv])
    what = {"what": "training views per second", "command": command}
    figures = []
    for case in cases:
        lightly = case.method == "simclr" and not arguments.no_lightly
        figures.append(measure(case, arguments.rounds, lightly=lightly))
        result = {**what, **machine(), "cases": figures}
        if arguments.out:  # after each: a long run that is ended keeps what it has measured
            arguments.out.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def measure(case: Case, rounds: int, *, lightly: bool) -> dict[str, Any]:
    """Return views per second of ours, the limit and lightly, as medians over paired rounds."""
    settings, steps = settings_of(case), case.steps
    images = case.batch_size * steps
    rivals: dict[str, Callable[[ImageStore], float]] = {
        "limit": lambda store: at_the_limit(store, case.method, settings, steps),
        "brainssl": lambda store: with_brainssl(store, case.method, settings, steps),
    }
    if lightly:
        rivals["lightly"] = lambda store: with_lightly(store, settings, steps)
    seen: dict[str, list[float]] = {name: [] for name in rivals}
    with tempfile.TemporaryDirectory() as folder:
        store = made_up_store(Path(folder) / "store", images, case.image_size)
        for _ in range(rounds):
            for name, run in rivals.items():
                seen[name].append(round(run(store), 2))
    median = {name: round(statistics.median(values), 1) for name, values in seen.items()}
    ratios = [o / limit for o, limit in zip(seen["brainssl"], seen["limit"], strict=True)]
    return {
        **dataclasses.asdict(case),
        "rounds": seen,
        "views_per_second": median,
        "share_of_the_limit": round(statistics.median(ratios), 3),
        **({"times_lightly": round(median["brainssl"] / median["lightly"], 2)} if lightly else {}),
    }


def settings_of(case: Case) -> Settings:
    """Return the quick preset with the case's encoder and batch, for two epochs."""
    overrides = [
        f"encoder.name={case.encoder}",
        f"encoder.image_size={case.image_size}",
        f"pretrain.batch_size={case.batch_size}",
        "pretrain.epochs=2",
    ]
    return load_settings("quick", overrides)[0]


def made_up_store(path: Path, images: int, size: int) -> ImageStore:
    """Write a store of noise: what the pixels show does not change the speed."""
    manifest = pd.DataFrame(
        {"image_id": [f"{n:06d}" for n in range(images)], "label": "none", "group": range(images)}
    )
    generator = np.random.default_rng(0)

    def pixels() -> Iterator[UInt8[np.ndarray, "size size"]]:
        for _ in range(images):
            yield generator.integers(0, 256, (size, size), dtype=np.uint8)

    return write_store(path, manifest, pixels(), size=size, facts={})


def device() -> torch.device:
    """Return the GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def crops_of(name: str, settings: Settings) -> tuple[Crop, ...]:
    """Return the views that a method takes of an image."""
    crops: tuple[Crop, ...] = METHODS[name].crops(settings.section(name))
    return crops


def at_the_limit(store: ImageStore, name: str, settings: Settings, steps: int) -> float:
    """Step on one resident batch of views."""
    size, count = settings.encoder.image_size, settings.pretrain.batch_size
    encoder = build_encoder(**settings.encoder.model_dump(), seed=0)
    method = build_method(name, encoder, settings.section(name)).to(device())
    method.to(memory_format=torch.channels_last)
    groups = without_decay(method, weight_decay=settings.pretrain.weight_decay, lr=1e-3)
    optimizer = torch.optim.AdamW(groups, fused=True)
    images = to_unit(torch.from_numpy(store.images[:count])).to(device())
    sides = [crop.side(size) for crop in crops_of(name, settings)]
    views = [images[:, :, :side, :side].contiguous() for side in sides]

    def step() -> None:
        with torch.autocast(device().type, torch.bfloat16):
            loss = method.loss(views)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(method.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()

    for _ in range(WARM):
        step()
    synchronise()
    started = time.perf_counter()
    for _ in range(steps):
        step()
    synchronise()
    return len(views) * count * steps / (time.perf_counter() - started)


def with_brainssl(store: ImageStore, name: str, settings: Settings, steps: int) -> float:
    """Pretrain for two epochs, through everything that a user's run goes through."""
    clock = Clock(steps)
    split = Split("image", 0, train=tuple(store.manifest["image_id"]), val=(), test=())
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        pretrain(store, split, out, method=name, settings=settings, progress=clock)
    return len(crops_of(name, settings)) * settings.pretrain.batch_size / clock.seconds_a_step()


def with_lightly(store: ImageStore, settings: Settings, steps: int) -> float:
    """Train as lightly's documentation shows, with the same precision and memory format."""
    from lightly.loss import NTXentLoss
    from lightly.transforms.simclr_transform import SimCLRTransform
    from lightning import LightningModule, Trainer
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    size, count = settings.encoder.image_size, settings.pretrain.batch_size
    transform = SimCLRTransform(input_size=size, normalize=None)

    class Pictures(Dataset[list[Tensor]]):
        def __len__(self) -> int:
            return len(store.images)

        def __getitem__(self, index: int) -> list[Tensor]:
            # One channel is enough for the encoder; its transform wants colour pictures.
            views = transform(Image.fromarray(store.images[index]).convert("RGB"))
            return [view[:1] for view in views if isinstance(view, Tensor)]

    class Model(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            encoder = build_encoder(**settings.encoder.model_dump(), seed=0)
            method = build_method("simclr", encoder, settings.section("simclr"))
            self.network = nn.Sequential(*method.children())
            self.loss = NTXentLoss(temperature=settings.section("simclr").temperature)  # type: ignore[attr-defined]

        def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
            first, second = (self.network(view) for view in batch)
            loss: Tensor = self.loss(first, second)
            return loss

        def on_train_batch_end(self, *_: Any) -> None:
            clock(self.global_step, 2 * steps)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

    clock = Clock(steps)
    model = Model()
    model.to(memory_format=torch.channels_last)
    trainer = Trainer(
        max_epochs=2,
        devices=1,
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    loader = DataLoader(
        Pictures(), batch_size=count, shuffle=True, drop_last=True, num_workers=os.cpu_count() or 1
    )
    trainer.fit(model, loader)
    return 2 * count / clock.seconds_a_step()


class Clock:
    """Times the optimiser steps after the warm ones."""

    def __init__(self, steps: int) -> None:
        self.steps, self.times = steps, dict[int, float]()

    def __call__(self, done: int, total: int) -> None:
        """Note when a step was done; waits for the GPU at the first and the last one that count."""
        if done in (WARM, WARM + self.steps):
            synchronise()
            self.times[done] = time.perf_counter()

    def seconds_a_step(self) -> float:
        """Return the mean over the steps that count."""
        return (self.times[WARM + self.steps] - self.times[WARM]) / self.steps


def synchronise() -> None:
    """Wait until the GPU has done what it was told."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def cpu_model() -> str:
    """Return the processor's name where Linux tells it, else its architecture."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text("utf-8").splitlines() if facts.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def machine() -> dict[str, Any]:
    """Say where the figures come from."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        "device": gpu or cpu_model(),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "precision": "bf16-mixed",
    }


if __name__ == "__main__":
    main()

"""How fast this machine is: a few real steps of the real encoder, within seconds."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from brainssl.data.volumes.slices import Plane
from brainssl.data.volumes.volume import VolumeRef
from brainssl.hardware.device import device_of, precision_of
from brainssl.hardware.memory import keep_freed_memory
from brainssl.models.encoder import build_encoder
from brainssl.settings import Settings

_SECONDS = 0.7  # of measuring each of three things
_CPU_PIXELS = 64 * 64 * 64  # in a batch; larger ones are not faster on a CPU
_FILES = 16
_VOLUMES = 2
_GAIN = 1.15  # from which fewer threads are taken: less is noise
_HALF = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Speed:
    """Seconds that an image takes.

    Attributes:
        pretraining: forward, backward and its share of the optimiser's step, in the precision of
            training, in a batch of pretraining.
        finetuning: the same in a batch of fine-tuning.
        forward: once through the network, in float32.
    """

    pretraining: float
    finetuning: float
    forward: float


def speed_of(settings: Settings, jobs: int = 1) -> Speed:
    """Measure the encoder on random images, in about three seconds.

    Args:
        settings: name the encoder, the size and where to compute.
        jobs: how many processes will share the threads.
    """
    had = torch.get_num_threads()
    torch.set_num_threads(max(1, had // jobs))
    try:
        _, few, train = _training(settings, settings.finetune.batch_size)
        finetuning = _seconds(train) / len(few)
        encoder, images, train = _training(settings, settings.pretrain.batch_size)
        pretraining = _seconds(train) / len(images)
        encoder.eval()

        def look() -> None:
            with torch.inference_mode():
                encoder(images).sum().item()

        return Speed(pretraining, finetuning, _seconds(look) / len(images))
    finally:
        torch.set_num_threads(had)


def settle_threads(settings: Settings, say: Callable[[str], object]) -> None:
    """Let PyTorch use as many threads as are faster now: on a busy machine, one may be.

    Threads of one network wait for each other at every layer. Where another program has a core,
    all wait for it (docs/why/speed.md; `benchmarks/processor.py` measures it). Who sets
    OMP_NUM_THREADS has decided, and a GPU does not mind.

    Args:
        settings: name the encoder, the size and where to compute.
        say: told if not all threads are used.
    """
    had = torch.get_num_threads()
    if had == 1 or "OMP_NUM_THREADS" in os.environ or device_of(settings.run).type != "cpu":
        return
    _, images, train = _training(settings, settings.pretrain.batch_size)
    took = {}
    for threads in dict.fromkeys((had, max(1, had // 2), 1)):
        torch.set_num_threads(threads)
        took[threads] = _seconds(train, _SECONDS / 2) / len(images)
    best = min(took, key=lambda threads: took[threads])
    if took[best] > took[had] / _GAIN:
        best = had
    torch.set_num_threads(best)
    if best < had:
        say(
            f"threads {best} of {had}: the machine is busy, and {took[had] / took[best]:.1f} times "
            "faster so now"
        )


def _training(settings: Settings, batch: int) -> tuple[nn.Module, Tensor, Callable[[], None]]:
    """Return an encoder, a batch of random images, and what takes a step of training on them."""
    device, size = device_of(settings.run), settings.encoder.image_size
    if device.type == "cpu":
        keep_freed_memory()
        batch = max(2, min(batch, _CPU_PIXELS // size**2))
    chosen = settings.encoder
    encoder: nn.Module = build_encoder(chosen.name, image_size=size, pool=chosen.pool, seed=0)
    encoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.rand(batch, 1, size, size, device=device)
    optimizer = torch.optim.AdamW(encoder.parameters())
    half = _HALF.get(precision_of(settings.run, encoder).name)

    def train() -> None:
        with torch.autocast(device.type, dtype=half, enabled=half is not None):
            loss = encoder(images).float().square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()  # a GPU has done it all only now

    return encoder, images, train


def seconds_to_read(files: Sequence[Path]) -> float:
    """Measure what it takes one core to read a file and to take its fingerprint, on a few files."""
    from brainssl.data.duplicates import fingerprint
    from brainssl.data.read import UnreadableImage, file_bytes, read_bytes

    some = files[:: max(1, len(files) // _FILES)][:_FILES]
    started = time.perf_counter()
    for file in some:
        try:
            fingerprint(read_bytes(file_bytes(file), str(file)).pixels)
        except UnreadableImage:
            continue
    return (time.perf_counter() - started) / max(1, len(some))


def seconds_to_open(volumes: Sequence[VolumeRef], plane: Plane = "native") -> float:
    """Measure what it takes one core to read a volume and to look at its slices, on a few."""
    from brainssl.data.normalisation import READER
    from brainssl.data.volumes.choice import ALL
    from brainssl.data.volumes.origin import look_at_volume

    some = volumes[:: max(1, len(volumes) // _VOLUMES)][:_VOLUMES]
    started = time.perf_counter()
    for volume in some:
        look_at_volume((volume, None), choice=ALL, plane=plane, reader=READER)
    return (time.perf_counter() - started) / max(1, len(some))


def _seconds(act: Callable[[], None], measured: float | None = None) -> float:
    """Return how long something takes once it runs smoothly; on a slow machine, its first time."""
    measured = _SECONDS if measured is None else measured
    started = time.perf_counter()
    act()
    first = time.perf_counter() - started
    if first > measured:
        return first
    started, done = time.perf_counter(), 0
    while not done or time.perf_counter() - started < measured:
        act()
        done += 1
    return (time.perf_counter() - started) / done

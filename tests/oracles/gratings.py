"""Pictures that views leave recognisable, and pretrainings of them that take a few seconds."""

from dataclasses import replace

import numpy as np

from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.settings import Settings, load_settings


def gratings(count: int, size: int) -> np.ndarray:
    """Draw stripes of random width, direction and contrast, uint8 (count, size, size)."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] / size
    pictures = []
    for _ in range(count):
        angle, waves = generator.uniform(0, np.pi), generator.uniform(1, 8)
        phase, contrast = generator.uniform(0, 2 * np.pi), generator.uniform(60, 120)
        along = np.cos(angle) * x + np.sin(angle) * y
        noise = generator.normal(0, 4, (size, size))
        pictures.append(127 + contrast * np.sin(2 * np.pi * waves * along + phase) + noise)
    return np.clip(np.stack(pictures), 0, 255).astype(np.uint8)


def with_gratings(store: ImageStore) -> ImageStore:
    """Return the store with gratings in the place of its images, in memory alone."""
    return replace(store, images=gratings(len(store.images), store.size))


def all_of(store: ImageStore) -> Split:
    """A split with everything in training: what is tested with it is not the split."""
    return Split("image", 0, train=tuple(store.manifest["image_id"]), val=(), test=())


def small_settings(*overrides: str) -> Settings:
    """Return `quick` with a tiny encoder and narrow heads, for images of 32 px.

    Local crops are 24 px: the last stage must not see a single pixel. In bfloat16 oneDNN (that of
    PyTorch 2.14) leaves parts of the weights' gradient unset in a 3 × 3 convolution of stride 2 on
    one pixel, and what lay in memory is taken for it.
    """
    narrow = {
        "simclr": "hidden_dim=64",
        "byol": "hidden_dim=128 output_dim=32",
        "dino": "hidden_dim=64 bottleneck_dim=32 output_dim=128 local_crops=2 local_scale=0.75",
        "mocov3": "hidden_dim=128 output_dim=32",
        "barlowtwins": "hidden_dim=128 output_dim=128",
        "nnclr": "hidden_dim=128 output_dim=32 support=32",
        "supcon": "hidden_dim=64",
    }
    heads = [f"{method}.{value}" for method, values in narrow.items() for value in values.split()]
    fixed = ["encoder.name=test_resnet", "encoder.image_size=32", "run.accelerator=cpu", *heads]
    return load_settings("quick", [*fixed, *overrides])[0]

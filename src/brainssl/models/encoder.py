"""Encoders: any timm network with one input channel, and their weights on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from brainssl.data.field_of_view import field_in
from brainssl.foundation.errors import BrainsslError
from brainssl.models.lineage import FACTS, training_of, trainings
from brainssl.models.starts import Start, begin, digest_of
from brainssl.models.stem import MEAN, STD
from brainssl.models.tensor_files import (
    LEARNT,
    VERSIONS,
    marks_as_text,
    marks_of_text,
    read_tensors,
    write_tensors,
)
from brainssl.models.tokens import Pool, build_network, patch_side
from brainssl.settings.starts import RANDOM

FORM = "brainssl-encoder"
VERSION = VERSIONS[FORM]
"""Version 3 holds marks of the training images, in its header: timm's model of the same name takes
the tensors as they are. Version 2 has another normalisation than the constants of version 1, or
another pooling."""


def _refuse_other_names(name: str) -> None:
    """Raise BrainsslError for a file or a hub's name: timm would try to fetch it."""
    if "/" not in name and ":" not in name and not name.endswith((".pth", ".pt", ".safetensors")):
        return
    last = name.rsplit("/", 1)[-1].rsplit(":", 1)[-1].split(".")[0]
    near = f", such as {last}" if last in timm.list_models() else ""
    raise BrainsslError(
        f"encoder.name: {name} is no architecture of timm: give its name alone{near}; weights are "
        "chosen by encoder.weights"
    )


class Encoder(nn.Module):
    """A timm network without its classifier: slices in [0, 1] to one feature vector each.

    Attributes:
        name: timm's name of the architecture.
        image_size: side of the slices that it was (or will be) trained on, in pixels.
        dim: length of the feature vector.
        pooling: what makes a feature vector of tokens or maps; `auto`: as timm has it.
        arguments: that timm needs beside name, channels and classes to build the network.
        mean: subtracted from slices before the network sees them; belongs to the weights.
        std: by which they are then divided.
        facts: how it was pretrained; empty for a fresh one.
        start: the weights that it began with; None for one that was read from a file of ours.
        learnt: marks of the images that shaped it, see `brainssl.data.marks`; None if not known.
    """

    start: Start | None = None
    learnt: UInt8[np.ndarray, "n 32"] | None = None

    def __init__(
        self,
        name: str,
        *,
        image_size: int,
        pool: Pool = "auto",
        mean: float = MEAN,
        std: float = STD,
    ) -> None:
        super().__init__()
        self.name, self.image_size, self.pooling = name, image_size, pool
        self.mean, self.std = mean, std
        self.facts: dict[str, Any] = {}
        _refuse_other_names(name)
        try:
            self.network, self.arguments = build_network(name, image_size=image_size, pool=pool)
        except RuntimeError as error:
            near = ", ".join(timm.list_models(f"*{name.split('.')[0]}*")[:5])
            hint = f"; near: {near}" if near else ""
            raise BrainsslError(f"encoder.name: {error}{hint}") from None
        self.dim = self.width_at(image_size)

    @property
    def patch(self) -> int:
        """Side in pixels of what images are cut into: that of a transformer's patches, else 1."""
        return patch_side(self.network)

    def width_at(self, size: int) -> int:
        """Return the length of the features, which timm's `num_features` does not always say.

        Args:
            size: side of the images in pixels.

        Raises:
            BrainsslError: the network does not take such images, or gives no feature vector.
        """
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                features = self.network(torch.zeros(1, 1, size, size))
        except (AssertionError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())
            raise BrainsslError(
                f"encoder.name: {self.name} does not take one-channel images of {size} px "
                f"({reason}): set encoder.image_size, or choose another architecture"
            ) from None
        self.network.train(training)
        if features.ndim != 2:
            raise BrainsslError(
                f"encoder.name: {self.name} gives no feature vector: choose another architecture"
            )
        return int(features.shape[1])

    @property
    def reader(self) -> int:
        """Version of the normalisation of the images that it was pretrained on."""
        return int(self.facts.get("reader", 1))

    @property
    def bits(self) -> int:
        """Depth of the pixels of the images that it was pretrained on."""
        return int(self.facts.get("bits", 8))

    @property
    def field_of_view(self) -> float | None:
        """Side in mm of what was seen of the slices that it was pretrained on; None: all."""
        return field_in(self.facts)

    @property
    def digest(self) -> str:
        """Digest of its weights and its normalisation."""
        return digest_of(self.network, self.mean, self.std)

    @property
    def starting_weights(self) -> dict[str, Any]:
        """Facts of the weights that it began with, under their name; empty where none are told."""
        told = self.start.facts() if self.start else self.facts.get(FACTS)
        return {FACTS: told} if told else {}

    @property
    def trainings(self) -> Sequence[Mapping[str, Any]]:
        """What is remembered of each training of ours behind its weights, the last first."""
        return trainings(training_of(self.facts | self.starting_weights))

    def forward(self, images: Float[Tensor, "n 1 h w"]) -> Float[Tensor, "n dim"]:
        """Return pooled features of float slices in [0, 1]."""
        features: Tensor = self.network((images - self.mean) / self.std)
        return features

    def last_map(self, images: Float[Tensor, "n 1 h w"]) -> Tensor:
        """Return what the network has before it pools.

        Of a CNN (n, channels, rows, columns), of a transformer (n, tokens, channels).
        """
        network: Any = self.network
        values: Tensor = network.forward_features((images - self.mean) / self.std)
        return values.movedim(-1, 1) if self._channels_last else values

    def pool(self, values: Tensor) -> Float[Tensor, "n dim"]:
        """Return the features of what `last_map` gave: the rest of `forward`."""
        network: Any = self.network
        features: Tensor = network.forward_head(
            values.movedim(1, -1) if self._channels_last else values
        )
        return features

    @property
    def _channels_last(self) -> bool:
        """Whether timm's network hands on (n, rows, columns, channels)."""
        return getattr(self.network, "output_fmt", "NCHW") == "NHWC"


def build_encoder(
    name: str,
    *,
    image_size: int,
    pool: Pool = "auto",
    weights: str = RANDOM,
    mean: float | None = None,
    std: float | None = None,
    seed: int,
) -> Encoder:
    """Make an encoder whose random weights depend on the seed and on nothing else.

    Args:
        name: of the architecture in timm.
        image_size: side of the slices in pixels.
        pool: see `brainssl.models.tokens.build_network`.
        weights: that it begins with; see `brainssl.models.starts.begin`, which also says what
            `mean` and `std` are and what is refused.
        mean: of the normalisation; None: that of the weights.
        std: as `mean`.
        seed: of random weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(name, image_size=image_size, pool=pool)
        encoder.start = begin(encoder.network, name, weights, size=image_size, mean=mean, std=std)
    encoder.mean, encoder.std = encoder.start.mean, encoder.start.std
    encoder.learnt = encoder.start.learnt
    return encoder


def save_encoder(encoder: Encoder, path: Path) -> None:
    """Write an encoder as safetensors whose tensors timm's model of the same name takes as is.

    Args:
        encoder: what to write, with its facts, which must be JSON-serialisable.
        path: file to write, atomically.
    """
    described = {"name": encoder.name, "image_size": encoder.image_size, "facts": encoder.facts}
    described |= {"pool": encoder.pooling, "mean": encoder.mean, "std": encoder.std}
    plain = (encoder.mean, encoder.std, encoder.pooling) == (MEAN, STD, "auto")
    version = 1 if plain else 2
    if encoder.learnt is not None:
        described[LEARNT], version = marks_as_text(encoder.learnt), VERSION
    write_tensors(path, encoder.network.state_dict(), FORM, version, described)


def described_encoder(name: str, described: Mapping[str, Any]) -> Encoder:
    """Make the encoder that the header of a file of ours describes; its tensors are yet to come.

    Args:
        name: of the architecture.
        described: the header, of an encoder or a classifier; version 1 says neither how the
            network pools nor how images are normalised.
    """
    return Encoder(
        name,
        image_size=described["image_size"],
        pool=described.get("pool", "auto"),
        mean=described.get("mean", MEAN),
        std=described.get("std", STD),
    )


def load_encoder(path: Path) -> Encoder:
    """Read an encoder; its `facts` say how it came to be.

    Args:
        path: the file, or the folder of a pretraining that holds `encoder.safetensors`.

    Raises:
        BrainsslError: missing, damaged, foreign or from a newer version.
    """
    if path.is_dir():
        path = path / "encoder.safetensors"
    tensors, described = read_tensors(path, FORM)
    encoder = described_encoder(described["name"], described)
    encoder.network.load_state_dict(tensors)
    encoder.facts = described["facts"]
    encoder.learnt = marks_of_text(described[LEARNT]) if LEARNT in described else None
    return encoder

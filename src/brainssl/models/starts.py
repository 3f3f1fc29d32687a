"""Start: the weights that an encoder begins with, with the normalisation that belongs to them."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor, nn

from brainssl.foundation.errors import BrainsslError
from brainssl.models.architectures import likely_architectures
from brainssl.models.checkpoints import Reading, read_network
from brainssl.models.lineage import BEFORE
from brainssl.models.sources import Source, find_source
from brainssl.models.stem import IMAGENET, PLAIN, Normalisation, collapse
from brainssl.settings.starts import RANDOM, NamedStart

_MOST = 4  # parts and names that are told


@dataclass(frozen=True)
class Start:
    """What an encoder begins with.

    Attributes:
        name: the short one, see `brainssl.settings.starts.NamedStart`.
        mean: of images in [0, 1], subtracted before the network sees them.
        std: by which they are then divided.
        normalised_by: who says so, in words.
        source: what the tensors were taken from; "" for random weights.
        taken: how many tensors the network has, counters aside: all of them were taken.
        left_out: how many others lie beside them, by the part that they belong to.
        stem: what became of a stem for three channels; "" where it was for one.
        digest: of weights and normalisation; "" for random weights.
        content: digest of the tensors as they came, before a stem for three channels was made one:
            on every computer the same; "" for random weights.
        trained_on: of a model of ours its training, see `brainssl.models.lineage`.
        learnt: of a model of ours marks of the images that shaped it; None if not known.
    """

    name: str
    mean: float
    std: float
    normalised_by: str
    source: str = ""
    taken: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)
    stem: str = ""
    digest: str = ""
    content: str = ""
    trained_on: Mapping[str, Any] | None = None
    learnt: UInt8[np.ndarray, "n 32"] | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        """Tell it in one line."""
        parts = [self.name]
        if self.source:
            parts = [f"{self.taken} of {self.taken} tensors from {self.source}"]
        if self.left_out:
            named = list(self.left_out.items())
            more = sum(count for _, count in named[_MOST:])
            told = [f"{count} of {part}" for part, count in named[:_MOST]]
            parts[0] += f", left out: {', '.join(told + [f'{more} more'] * bool(more))}"
        if self.stem:
            parts.append(self.stem)
        parts.append(f"mean {self.mean:g} and deviation {self.std:g}, {self.normalised_by}")
        return f"starting weights: {'; '.join(parts)}"

    def facts(self) -> dict[str, Any]:
        """Return what a model that began with it remembers, JSON-serialisable."""
        told = {"name": self.name, "mean": self.mean, "std": self.std}
        told["normalised_by"] = self.normalised_by
        if self.source:
            told |= {"source": self.source, "digest": self.digest}
            told |= {"taken": self.taken, "left_out": dict(self.left_out), "stem": self.stem}
        return told | ({BEFORE: dict(self.trained_on)} if self.trained_on else {})


def begin(
    network: nn.Module,
    name: str,
    weights: str,
    *,
    size: int,
    mean: float | None = None,
    std: float | None = None,
) -> Start:
    """Give a network the weights that it begins with, in place.

    The normalisation is, in this order, what is given here, what comes with the weights (timm's
    configuration, the header of the file), or ImageNet's. One channel takes the mean over three.

    Args:
        network: fresh, for one channel, without a head.
        name: of its architecture in timm.
        weights: `random` (nothing is changed), or as for `find_source`.
        size: side of the images in pixels.
        mean: of the images that the weights were trained on, in [0, 1].
        std: their deviation.

    Raises:
        BrainsslError: the weights cannot be had or read, or are of another architecture.
    """
    if weights == RANDOM:
        said, whence = _normalisation(None, False, mean, std)
        return Start(RANDOM, *said.grey, whence)
    found = find_source(weights, name)
    reading = read_network(found.tables, network)
    if reading is None or not reading.fits:
        raise BrainsslError(_why_not(found, reading, name))
    tensors = reading.taken()
    came = _digest_of_tensors(tensors)
    colour = any(tensors[key].shape != own.shape for key, own in reading.own.items())
    said, whence = _normalisation(found.normalisation, colour, mean, std)
    stem = collapse(network, tensors, said, size)
    network.load_state_dict({**network.state_dict(), **tensors})
    place = f" ({reading.place})" if reading.place else ""
    start = Start(
        NamedStart(weights).name,
        *said.grey,
        whence,
        f"{found.title}{place}",
        len(reading.own),
        reading.left_out(),
        stem,
        content=came,
        trained_on=found.trained_on,
        learnt=found.learnt,
    )
    return replace(start, digest=digest_of(network, start.mean, start.std))


def digest_of(network: nn.Module, mean: float, std: float) -> str:
    """Return a digest of weights and normalisation: a training goes on from the same alone."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(_bytes(tensor))
    if (mean, std) != PLAIN.grey:  # the digests of before held weights alone
        digest.update(repr((mean, std)).encode())
    return digest.hexdigest()


def _digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> bytes:
    held: bytes = tensor.detach().cpu().contiguous().numpy().tobytes()
    return held


def _normalisation(
    known: Normalisation | None, colour: bool, mean: float | None, std: float | None
) -> tuple[Normalisation, str]:
    """Choose the normalisation, and say who said so."""
    said, whence = known, "as the weights say"
    if said is None:
        said = IMAGENET if colour else PLAIN
        whence = "ImageNet's, as nothing says another"
    if mean is not None or std is not None:
        said = Normalisation(
            said.mean if mean is None else (mean,), said.std if std is None else (std,)
        )
        whence = "as set by encoder.mean and encoder.std"
    return said, whence


def _why_not(found: Source, reading: Reading | None, name: str) -> str:
    """Say why tensors are not those of an architecture, and of which they may be."""
    entire, near = likely_architectures(found.tables, name)
    mend = "give weights of that architecture"
    if near and entire:
        mend = f"these look like {' or '.join(near)}: set encoder.name to that"
    elif near:
        mend = f"the nearest in timm is {' or '.join(near)}: {mend}"
    if reading is None:
        return f"encoder.weights: {found.title} holds nothing like {name}; {mend}"
    own, given = reading.own, reading.tensors
    wrong = [f"{key} is missing" for key in reading.missing]
    wrong += [f"{key} is {_shape(given[key])} and not {_shape(own[key])}" for key in reading.unlike]
    wrong += [f"{key} is of no layer of it" for key in reading.strange]
    more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"encoder.weights: {found.title} is no {name} ({wrong[0]}{more}); {mend}"


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a number"

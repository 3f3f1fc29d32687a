"""Classifier: encoder, head, classes and preprocessing in one safetensors file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from brainssl.data.split import Indices
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import plainly
from brainssl.models.encoder import Encoder, load_encoder, read_tensors, write_tensors
from brainssl.views.recipes import to_unit

VERSION = 3
"""Version 2 holds marks of the training images, 3 has another pooling than the architecture's own;
without both a file is of version 1."""
_BATCH = 128
_LEARNT = "learnt"


class Classifier(nn.Module):
    """What evaluation, explanation and prediction all load.

    Attributes:
        encoder: slices in [0, 1] to features.
        head: one linear layer from features to a logit a class.
        classes: names, in the order of the logits.
        facts: how it came to be: method, stage, protocol, split digest, seed ...
        learnt: marks of the images that shaped it, see `brainssl.data.marks`; None if not known.
    """

    learnt: UInt8[np.ndarray, "n 32"] | None = None

    def __init__(
        self, encoder: Encoder, head: nn.Linear, classes: tuple[str, ...], facts: dict[str, Any]
    ) -> None:
        super().__init__()
        if head.out_features != len(classes):
            raise ValueError(f"a head of {head.out_features} logits for {len(classes)} classes")
        self.encoder, self.head = encoder, head
        self.classes, self.facts = classes, facts

    @property
    def image_size(self) -> int:
        """Side of the slices that it takes, in pixels."""
        return self.encoder.image_size

    @property
    def reader(self) -> int:
        """Version of the normalisation of its training images: files are read by the same."""
        return int(self.facts.get("reader", 1))

    def forward(self, images: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n classes"]:
        """Return logits of slices in [0, 1]."""
        logits: Tensor = self.head(self.encoder(images))
        return logits

    def logits(
        self, images: UInt8[np.ndarray, "n size size"], rows: Indices | None = None
    ) -> Float32[np.ndarray, "m classes"]:
        """Return logits of letterboxed slices, as an ImageStore holds them.

        Args:
            images: grey values 0..255.
            rows: which of them, and in which order; all by default.
        """
        return run_in_batches(self, images, rows)

    def save(self, path: Path) -> None:
        """Write the classifier, atomically."""
        described = {
            "encoder": self.encoder.name,
            "image_size": self.image_size,
            "pool": self.encoder.pooling,
            "classes": list(self.classes),
            "facts": self.facts,
        }
        tensors, version = self.state_dict(), 1
        if self.learnt is not None:
            tensors, version = {**tensors, _LEARNT: torch.from_numpy(self.learnt)}, 2
        if self.encoder.pooling != "auto":
            version = VERSION
        write_tensors(path, tensors, "brainssl-classifier", version, described)

    @classmethod
    def load(cls, path: Path) -> "Classifier":
        """Read a classifier, ready to predict.

        Args:
            path: the file, or the folder of a probe or fine-tuning that holds it.

        Raises:
            BrainsslError: missing, damaged, foreign or from a newer version.
        """
        if path.is_dir():
            path = path / "classifier.safetensors"
        tensors, described = read_tensors(path, "brainssl-classifier", VERSION)
        encoder = Encoder(
            described["encoder"],
            image_size=described["image_size"],
            pool=described.get("pool", "auto"),
        )
        head = nn.Linear(encoder.dim, len(described["classes"]))
        classifier = cls(encoder, head, tuple(described["classes"]), described["facts"])
        learnt = tensors.pop(_LEARNT, None)
        classifier.learnt = None if learnt is None else learnt.numpy()
        classifier.load_state_dict(tensors)
        return classifier.eval()


def load_model(path: Path) -> Encoder | Classifier:
    """Read an encoder or a classifier, whichever it is, in evaluation mode.

    Args:
        path: the file, or the folder of a pretraining, a probe or a fine-tuning that holds it.

    Raises:
        BrainsslError: missing, damaged, foreign or from a newer version.
    """
    if path.is_dir():
        file = path / "classifier.safetensors"
        path = file if file.is_file() else path / "encoder.safetensors"
    try:
        with plainly(path) as plain, safe_open(plain, framework="pt") as opened:
            form = (opened.metadata() or {}).get("format")
    except FileNotFoundError:
        raise BrainsslError(
            f"{path} is missing: give an encoder or a classifier, or the folder of a pretraining, "
            "a probe or a fine-tuning that holds it"
        ) from None
    except (SafetensorError, OSError):
        form = None  # the error is told below
    return Classifier.load(path) if form == "brainssl-classifier" else load_encoder(path).eval()


def run_in_batches(
    network: nn.Module,
    images: UInt8[np.ndarray, "n size size"],
    rows: Indices | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Float32[np.ndarray, "m out"]:
    """Apply a network to stored slices, in float32 and evaluation mode, without gradients."""
    if rows is None:
        rows = np.arange(len(images), dtype=np.int64)
    if len(rows) == 0:
        raise BrainsslError("there is no image to run the network on")
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = torch.from_numpy(images[rows[start : start + _BATCH]])
            out.append(network(to_unit(batch.to(device))).float().cpu().numpy())
            if progress:
                progress(start + len(batch), len(rows))
    network.train(training)
    return np.concatenate(out)

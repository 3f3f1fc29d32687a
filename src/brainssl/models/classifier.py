"""Classifier: encoder, head, classes and preprocessing in one safetensors file."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, UInt, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from brainssl.data.field_of_view import field_in, told_field
from brainssl.data.indices import Indices
from brainssl.data.volumes.slices import PLANES, Plane
from brainssl.foundation.depth import DEPTHS
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import plainly
from brainssl.models.encoder import Encoder, described_encoder, load_encoder
from brainssl.models.misplaced import told_apart
from brainssl.models.reference import Reference
from brainssl.models.stem import MEAN, STD
from brainssl.models.tensor_files import LEARNT, VERSIONS, read_tensors, write_tensors
from brainssl.views.fixed import MOST, fixed_view
from brainssl.views.recipes import as_tensor, to_unit

FORM = "brainssl-classifier"
VERSION = VERSIONS[FORM]
"""Version 7 sees a field of view of volumes; version 6 reads files at 16 bits; version 5 knows its
limits, or has a reference; version 4 has another normalisation than the constants of before, or
another pooling than its architecture; version 3 predicts over several views of an image; version 2
holds marks of the training images; a file without any of these is of version 1."""
_BATCH = 128
_EITHER = "encoder or classifier"


class Classifier(nn.Module):
    """What evaluation, explanation and prediction all load.

    Attributes:
        encoder: slices in [0, 1] to features.
        head: one linear layer from features to a logit a class.
        classes: names, in the order of the logits.
        facts: how it came to be: method, stage, protocol, split digest, seed ...
        learnt: marks of the images that shaped it, see `brainssl.data.marks`; None if not known.
        limits: how sure it may be, as `brainssl.evaluation.limits` reads it; None if not known.
        reference: training images by their features; None in files of before.
    """

    learnt: UInt8[np.ndarray, "n 32"] | None = None
    limits: dict[str, Any] | None = None
    reference: Reference | None = None

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

    @property
    def bits(self) -> int:
        """Depth of the pixels of its training images: files are read at the same."""
        return int(self.facts.get("bits", 8))

    @property
    def field_of_view(self) -> float | None:
        """Side in mm of the square that it sees of each slice of a volume; None: whole slices."""
        return field_in(self.facts)

    def refuse_pictures(self) -> None:
        """Raise BrainsslError if pictures, which say nothing of millimetres, cannot be read."""
        if self.field_of_view is not None:
            raise BrainsslError(
                f"the classifier has learnt slices {told_field(self.field_of_view)}, and a picture "
                "says nothing of millimetres: give DICOM or NIfTI to brainssl predict"
            )

    @property
    def plane(self) -> Plane:
        """Plane of its training images: volumes are cut in the same; native: as acquired."""
        told = self.facts.get("plane")
        return next((plane for plane in PLANES if plane == told), "native")

    @property
    def test_views(self) -> int:
        """Over how many views of an image it predicts, see `brainssl.views.fixed`."""
        return int(self.facts.get("test_views", 1))

    def forward(self, images: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n classes"]:
        """Return logits of slices in [0, 1] as they are, which maps explain."""
        logits: Tensor = self.head(self.encoder(images))
        return logits

    def predict(self, images: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n classes"]:
        """Return logits of slices in [0, 1], of several views each if it has `test_views`.

        Their softmax is the mean of the views' probabilities, and their log Σ exp the mean of the
        views', so that they are as large as logits are. Of a single view they are `forward`'s.
        """
        if self.test_views == 1:
            logits: Tensor = self(images)
            return logits
        views = [self(fixed_view(images, number)) for number in range(self.test_views)]
        seen = torch.stack(views).float()
        sizes = seen.logsumexp(dim=2, keepdim=True)
        return (seen - sizes).logsumexp(dim=0) - math.log(self.test_views) + sizes.mean(dim=0)

    def seen(
        self,
        images: UInt[np.ndarray, "n size size"],
        rows: Indices | None = None,
    ) -> tuple[Float32[np.ndarray, "m classes"], Float32[np.ndarray, "m dim"]]:
        """Return `logits`, and the features of the images as they are, at one go.

        Args:
            images: as they are stored.
            rows: which of them, and in which order; all by default.
        """

        def both(batch: Float[Tensor, "n 1 size size"]) -> Float[Tensor, "n both"]:
            features = self.encoder(batch)
            logits = self.head(features) if self.test_views == 1 else self.predict(batch)
            return torch.cat([logits.float(), features.float()], dim=1)

        found = run_in_batches(self, images, rows, answer=both)
        return np.ascontiguousarray(found[:, : len(self.classes)]), found[:, len(self.classes) :]

    def logits(
        self, images: UInt[np.ndarray, "n size size"], rows: Indices | None = None
    ) -> Float32[np.ndarray, "m classes"]:
        """Return what `predict` says of letterboxed slices, as an ImageStore holds them.

        Args:
            images: as they are stored.
            rows: which of them, and in which order; all by default.
        """
        return run_in_batches(self, images, rows, answer=self.predict)

    def save(self, path: Path) -> None:
        """Write the classifier, atomically."""
        described = {
            "encoder": self.encoder.name,
            "image_size": self.image_size,
            "pool": self.encoder.pooling,
            "classes": list(self.classes),
            "facts": self.facts,
            "mean": self.encoder.mean,
            "std": self.encoder.std,
        }
        tensors, version = self.state_dict(), 1
        if self.learnt is not None:
            tensors, version = {**tensors, LEARNT: torch.from_numpy(self.learnt)}, 2
        if self.test_views > 1:
            version = 3
        encoder = self.encoder
        if (encoder.mean, encoder.std, encoder.pooling) != (MEAN, STD, "auto"):
            version = 4
        if self.limits is not None or self.reference is not None:
            version = 5
            described["limits"] = self.limits
        if self.reference is not None:
            tensors = {**tensors, **self.reference.tensors()}
            described["reference"] = list(self.reference.image_ids)
        if self.bits != DEPTHS[0]:  # an older version would read files at 8 bits
            version = 6
        if self.field_of_view is not None:  # an older version would see whole slices
            version = VERSION
        write_tensors(path, tensors, FORM, version, described)

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
        tensors, described = read_tensors(path, FORM)
        encoder = described_encoder(described["encoder"], described)
        head = nn.Linear(encoder.dim, len(described["classes"]))
        classifier = cls(encoder, head, tuple(described["classes"]), described["facts"])
        if not 1 <= classifier.test_views <= MOST:
            raise BrainsslError(
                f"{path} predicts over {classifier.test_views} views of an image; this brainssl "
                f"knows {MOST}: upgrade brainssl"
            )
        learnt = tensors.pop(LEARNT, None)
        classifier.learnt = None if learnt is None else learnt.numpy()
        classifier.limits = described.get("limits")
        if "reference" in described:
            classifier.reference = Reference.taken(tensors, described["reference"])
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
        names = ("classifier.safetensors", "encoder.safetensors")
        held = next((path / name for name in names if (path / name).is_file()), None)
        if held is None and (told := told_apart(path, _EITHER)):
            raise BrainsslError(told)
        path = held or path / names[-1]
    header: dict[str, str] | None = None
    try:
        with plainly(path) as plain, safe_open(plain, framework="pt") as opened:
            header = opened.metadata() or {}
    except FileNotFoundError:
        raise BrainsslError(
            f"{path} is missing: give an encoder or a classifier, or the folder of a pretraining, "
            "a probe or a fine-tuning that holds it"
        ) from None
    except (SafetensorError, OSError):
        pass  # the error is told below
    form = header.get("format") if header else None
    if form not in VERSIONS and (told := told_apart(path, _EITHER, header)):
        raise BrainsslError(told)
    return Classifier.load(path) if form == FORM else load_encoder(path).eval()


def run_in_batches(
    network: nn.Module,
    images: UInt[np.ndarray, "n size size"],
    rows: Indices | None = None,
    *,
    answer: Callable[[Tensor], Tensor] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Float32[np.ndarray, "m out"]:
    """Apply a network to stored slices, in float32 and evaluation mode, without gradients.

    Args:
        network: its `forward` is asked.
        images: as they are stored.
        rows: which of them, and in which order; all by default.
        answer: a method of the network that is asked instead.
        progress: called with (images seen, images in all).

    Raises:
        BrainsslError: there are no images.
    """
    if rows is None:
        rows = np.arange(len(images), dtype=np.int64)
    if len(rows) == 0:
        raise BrainsslError("there is no image to run the network on")
    device = next(network.parameters()).device
    training = network.training
    network.eval()
    ask = answer or network
    out = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            batch = as_tensor(images[rows[start : start + _BATCH]])
            out.append(ask(to_unit(batch.to(device))).float().cpu().numpy())
            if progress:
                progress(start + len(batch), len(rows))
    network.train(training)
    return np.concatenate(out)

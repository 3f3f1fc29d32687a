"""The seam between the service and the rest: all that it asks of readers and classifiers.

What a file holds is told by `read_upload`, in the processes that decode; what a classifier says of
slices by `Engine`, in the one thread that computes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt8

from brainssl.data.read import read_bytes
from brainssl.data.store import letterbox

if TYPE_CHECKING:
    from brainssl.inference.saliency import SaliencyMap
    from brainssl.models.classifier import Classifier

Images = UInt8[np.ndarray, "n size size"]
Logits = Float32[np.ndarray, "n classes"]

ALIASES = {"gradcam++": "gradcampp"}
"""Other names of maps that are in use."""

_CAVEATS = (
    "Every readable picture gets a class, a photograph too.",
    "Probabilities are a softmax of the logits and not calibrated.",
)


@dataclass(frozen=True, eq=False)
class Seen:
    """A slice of a file as a classifier sees it.

    Attributes:
        image: letterboxed, grey values 0..255.
        number: within a volume, from 1; None of a picture.
        flags: what the reader noticed.
    """

    image: UInt8[np.ndarray, "size size"]
    number: int | None
    flags: tuple[str, ...]


def read_upload(
    data: bytes, suffix: str, *, reader: int, size: int, max_bytes: int, max_pixels: int
) -> list[Seen]:
    """Return the slices of a file, told by its content; the same pixels as `predict` sees.

    Args:
        data: the file.
        suffix: of its name, such as `.png`, or ""; it decides nothing.
        reader: version of the normalisation.
        size: side of the slices.
        max_bytes: more is refused.
        max_pixels: a picture with more is refused before it is decoded.

    Raises:
        UnreadableImage: it cannot be read.
    """
    slice_ = read_bytes(
        data, f"file{suffix}", reader=reader, max_bytes=max_bytes, max_pixels=max_pixels
    )
    return [Seen(letterbox(slice_.pixels, size), None, slice_.flags)]


class Engine:
    """One classifier, ready to be asked; not by two threads at once.

    Attributes:
        classifier: loaded, where it computes.
    """

    def __init__(self, classifier: "Classifier") -> None:
        self.classifier = classifier

    @classmethod
    def load(cls, path: Path) -> "Engine":
        """Read a classifier, onto a GPU if there is one.

        Raises:
            BrainsslError: there is no such classifier.
        """
        from brainssl.hardware.device import device_of
        from brainssl.models.classifier import Classifier
        from brainssl.settings.sections import RunSettings

        return cls(Classifier.load(path).to(device_of(RunSettings())))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.classifier.classes

    @property
    def knows(self) -> dict[str, bool]:
        """Which of its own limits the classifier knows: fields of `serving.answers.Knows`."""
        return dict.fromkeys(("calibration", "conformal", "familiarity", "neighbours"), False)

    @property
    def caveats(self) -> list[str]:
        """What to keep in mind, a sentence each."""
        return list(_CAVEATS)

    @property
    def facts(self) -> dict[str, Any]:
        """How the classifier came to be; of a path that is in it, the last name alone."""
        return {name: _without_folders(value) for name, value in self.classifier.facts.items()}

    @property
    def methods(self) -> list[str]:
        """Maps that this classifier's encoder allows."""
        from brainssl.explanation.cam import MAPS, ROLLOUT
        from brainssl.models.tokens import last_tokens

        transformer = last_tokens(self.classifier.encoder.network) is not None
        without = "gradcampp" if transformer else ROLLOUT
        return [name for name in MAPS if name != without]

    def warm(self) -> None:
        """Ask once, so that the first request does not wait for what is made ready."""
        size = self.classifier.image_size
        self.logits(np.zeros((1, size, size), np.uint8))

    def logits(self, images: Images) -> Logits:
        """Return what the classifier predicts, as `predict` does, of at most 64 slices."""
        return self.classifier.logits(images)

    def shares(self, logits: Float32[np.ndarray, " classes"]) -> dict[str, float]:
        """Return the probability of every class, as `predict` does."""
        from scipy.special import softmax

        found = softmax(logits.astype(np.float64)).tolist()
        return dict(zip(self.classes, found, strict=True))

    def explain(
        self, image: UInt8[np.ndarray, "size size"], kind: str, label: str | None
    ) -> "SaliencyMap":
        """Return the map of a slice.

        Raises:
            BrainsslError: the encoder has not what that kind of map needs.
        """
        from brainssl.inference.saliency import saliency_of

        return saliency_of(self.classifier, image, kind=kind, label=label)

    def similar(self, images: Images, count: int) -> list[Sequence[tuple[str, str, float]]] | None:
        """Return (id, label, cosine) of the nearest known cases of each slice, the nearest first.

        None where the classifier knows no cases, as those of this version.
        """
        return None


def _without_folders(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\\", "/").rpartition("/")[2]
    if isinstance(value, Mapping):
        return {name: _without_folders(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(one) for one in value]
    return value

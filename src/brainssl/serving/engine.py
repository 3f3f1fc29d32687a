"""The seam between the service and the rest: all that it asks of readers and classifiers.

What a file holds is told by `read_upload`, in the processes that decode; what a classifier says of
slices by `Engine`, in the one thread that computes.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32, UInt

from brainssl.data.field_of_view import refusal_of_picture, told_field
from brainssl.data.letterbox import letterbox
from brainssl.data.read import UnreadableImage, read_bytes
from brainssl.data.volumes.slices import Plane
from brainssl.serving.limits import MAX_SLICES, MAX_VOXELS
from brainssl.serving.own_slices import Look, of_picture
from brainssl.serving.volumes import Seen, Stack, is_nifti, read_nifti_upload

if TYPE_CHECKING:
    from brainssl.inference.saliency import SaliencyMap
    from brainssl.models.classifier import Classifier

Images = UInt[np.ndarray, "n size size"]
Logits = Float32[np.ndarray, "n classes"]

ALIASES = {"gradcam++": "gradcampp"}
"""Other names of maps that are in use."""

_CAVEATS = (
    "Every readable picture gets a class, a photograph too.",
    "What header or name say of a series' sequence decides nothing of its class.",
)


def read_upload(
    data: bytes,
    suffix: str,
    *,
    reader: int,
    size: int,
    bits: int = 8,
    field_of_view: float | None = None,
    max_bytes: int,
    max_pixels: int,
    max_voxels: int = MAX_VOXELS,
    max_slices: int = MAX_SLICES,
    plane: Plane = "native",
    look: Look | None = None,
) -> list[Seen]:
    """Return the slices of a picture or a NIfTI file, told by its content, as `predict` sees them.

    Args:
        data: the file.
        suffix: of its name, such as `.png`, or ""; it decides nothing.
        reader: version of the normalisation.
        size: side of the slices.
        bits: of a pixel.
        field_of_view: side in mm of what is seen of each slice of a volume; pictures are refused.
            None: all is.
        max_bytes: more is refused.
        max_pixels: a picture with more is refused before it is decoded.
        max_voxels: likewise of a volume.
        max_slices: likewise.
        plane: of the slices of a volume.
        look: which of them are wanted at their own resolution, too.

    Raises:
        UnreadableImage: it cannot be read.
    """
    if is_nifti(data):
        if len(data) > max_bytes:
            raise UnreadableImage("file", f"is larger than the limit of {max_bytes:,} bytes")
        return read_nifti_upload(
            data,
            reader=reader,
            size=size,
            bits=bits,
            field_of_view=field_of_view,
            max_voxels=max_voxels,
            max_slices=max_slices,
            plane=plane,
            look=look,
        )
    slice_ = read_bytes(
        data, f"file{suffix}", reader=reader, max_bytes=max_bytes, max_pixels=max_pixels
    )
    if field_of_view is not None:
        raise UnreadableImage("file", refusal_of_picture(field_of_view))
    own = of_picture(slice_.pixels, size, look)
    return [Seen(letterbox(slice_.pixels, size, bits), None, slice_.flags, own=own)]


class Engine:
    """One classifier, ready to be asked; not by two threads at once.

    Attributes:
        classifier: loaded, where it computes.
    """

    def __init__(self, classifier: "Classifier") -> None:
        from brainssl.inference.judgement import Judgement

        self.classifier = classifier
        self._judgement = Judgement(classifier)

    @classmethod
    def load(cls, path: Path) -> "Engine":
        """Read a classifier, onto a GPU if there is one.

        One thread reads: with a team of OpenMP's here and another where the network computes,
        there are more threads than cores, and OpenMP lets them sleep between any two layers.

        Raises:
            BrainsslError: there is no such classifier.
        """
        import torch

        from brainssl.hardware.device import device_of
        from brainssl.models.classifier import Classifier
        from brainssl.settings.sections import RunSettings

        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return cls(Classifier.load(path).to(device_of(RunSettings())))
        finally:
            torch.set_num_threads(threads)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names, in the order of the logits."""
        return self.classifier.classes

    @property
    def knows(self) -> dict[str, bool]:
        """Which of its own limits the classifier knows: fields of `serving.answers.Knows`."""
        limits, known = self._judgement.limits, self.classifier.reference
        return {
            "calibration": limits.temperature is not None,
            "conformal": self._judgement.facts()["promise"] is not None,
            "familiarity": limits.familiarity is not None and known is not None,
            "neighbours": known is not None,
        }

    @property
    def caveats(self) -> list[str]:
        """What to keep in mind, a sentence each."""
        promise = self._judgement.facts()["promise"]
        told = [promise] if promise else []
        if (plane := self.classifier.plane) != "native":
            told.append(f"Volumes are resampled to {plane} slices, as in its training.")
        if (field := self.classifier.field_of_view) is not None:
            told.append(
                f"Slices of volumes are {told_field(field)}, as in its training; pictures are "
                "refused."
            )
        return [*_CAVEATS, *told, *self.lacks]

    @property
    def lacks(self) -> list[str]:
        """What it cannot say, a sentence each."""
        return list(self._judgement.limits.lacks)

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
        self.seen(np.zeros((1, size, size), np.uint8))

    def logits(self, images: Images) -> Logits:
        """Return what the classifier predicts, as `predict` does, of at most 64 slices."""
        return self.classifier.logits(images)

    def seen(self, images: Images) -> Float32[np.ndarray, "n both"]:
        """Return the logits of at most 64 slices, and after them their features."""
        return np.concatenate(self.classifier.seen(images), axis=1)

    def answers(self, images: Images, seen: Float32[np.ndarray, "n both"]) -> list[dict[str, Any]]:
        """Return what `predict` tells of each slice, see `brainssl.inference.judgement`."""
        count = len(self.classes)
        return self._judgement.answers(images, seen[:, :count], seen[:, count:])

    def units(self, stacks: Sequence[Stack], logits: Logits) -> dict[str, list[dict[str, Any]]]:
        """Return what `predict` tells of `series` and `patients`, each with its rule.

        Args:
            stacks: the series of each slice; they come in the order of their first slices, and so
                do their patients.
            logits: of the slices.
        """
        from brainssl.inference.answers import unit_answers
        from brainssl.inference.inputs import MANY, Image, Inputs

        inputs = Inputs([Image(Path(str(at)), Path(), Path()) for at in range(len(stacks))])
        for at, stack in enumerate(stacks):
            inputs.volumes[at] = stack.name
            if stack.patient:
                inputs.patients[at] = stack.patient
            if stack.sequence:
                inputs.sequences[at] = stack.sequence
        places = np.arange(len(stacks), dtype=np.int64)
        told = unit_answers(self.classifier, inputs, places, logits, self._judgement.limits)
        return {
            many: sorted(
                (one | told["rules"][kind] for one in told[many]),
                key=lambda one: min(int(file) for file in one["files"]),
            )
            for kind, many in MANY.items()
        }

    def note(self, sequence: str | None, label: str) -> str | None:
        """Say where what a header says of the sequence is not that of the class."""
        from brainssl.data.families import pairs_of
        from brainssl.inference.volumes import sequence_note

        pairs = pairs_of(self.classes, self.classifier.facts.get("families"))
        classes = [(name, *pair) for name, pair in zip(self.classes, pairs, strict=True)]
        return sequence_note(sequence, classes, label)

    def explain(
        self, image: UInt[np.ndarray, "size size"], kind: str, label: str | None
    ) -> "SaliencyMap":
        """Return the map of a slice.

        Raises:
            BrainsslError: the encoder has not what that kind of map needs.
        """
        from brainssl.inference.saliency import saliency_of

        return saliency_of(self.classifier, image, kind=kind, label=label)

    def similar(self, images: Images, count: int) -> list[Sequence[tuple[str, str, float]]] | None:
        """Return (id, label, cosine) of the nearest known cases of each slice, the nearest first.

        None where the classifier knows no cases.
        """
        from brainssl.inference.judgement import Judgement

        if self.classifier.reference is None:
            return None
        logits, features = self.classifier.seen(images)
        told = Judgement(self.classifier, neighbours=count).answers(images, logits, features)
        return [
            [(case["image_id"], case["label"], case["similarity"]) for case in one["neighbours"]]
            for one in told
        ]


def _without_folders(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\\", "/").rpartition("/")[2]
    if isinstance(value, Mapping):
        return {name: _without_folders(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_without_folders(one) for one in value]
    return value

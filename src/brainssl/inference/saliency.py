"""The saliency map of one prediction: a file is classified, and shown with what spoke for it."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt, UInt8
from PIL import Image
from scipy.special import softmax

from brainssl.data.read import read_slice
from brainssl.data.store import letterbox
from brainssl.explanation.activations import Targets, activations
from brainssl.explanation.cam import MAPS, ROLLOUT, at_image_size
from brainssl.explanation.overlay import enlarged, overlay
from brainssl.foundation.depth import shallow
from brainssl.foundation.errors import BadUseError
from brainssl.models.classifier import Classifier
from brainssl.views.recipes import as_tensor, to_unit

_SHOWN = 288  # pixels of one of the two pictures in a notebook
_GAP = 8


@dataclass(frozen=True, eq=False)
class SaliencyMap:
    """One prediction with its map. A notebook shows the slice, and beside it the map laid over it.

    Attributes:
        label: the class whose evidence the map shows; unless another was asked for, the prediction.
        probability: of that class, by softmax and not calibrated, from 0 to 1.
        probabilities: of every class.
        image: the slice as the classifier sees it, grey values 0..255, or to 65535 at 16 bits.
        saliency: from 0 to 1, in units of `peak`; 0 everywhere if nothing speaks for the class.
        peak: the largest value of the raw map, 0 without evidence.
    """

    label: str
    probability: float
    probabilities: dict[str, float]
    image: UInt[np.ndarray, "size size"]
    saliency: Float32[np.ndarray, "size size"]
    peak: float

    def overlay(self) -> UInt8[np.ndarray, "size size 3"]:
        """Lay the map over the slice, as RGB: where the map is 0 the grey values are untouched."""
        return overlay(self.image, self.saliency)

    def _repr_png_(self) -> bytes:
        plain = np.repeat(shallow(self.image)[..., None], 3, axis=2)
        pair = [enlarged(picture, _SHOWN) for picture in (plain, self.overlay())]
        gap = np.full((_SHOWN, _GAP, 3), 255, np.uint8)
        held = io.BytesIO()
        Image.fromarray(np.hstack([pair[0], gap, pair[1]])).save(held, "PNG")
        return held.getvalue()


def saliency_map(
    classifier: Classifier | Path | str,
    file: Path | str,
    *,
    kind: str = "gradcam",
    label: str | None = None,
) -> SaliencyMap:
    """Classify an image file and map what in it speaks for the class.

    The file is read and letterboxed to (size, size) as in training. The map is that of the
    encoder's last feature map, (h, w), enlarged bilinearly to (size, size). It explains the image
    as it is, and so are the probabilities, also where the classifier predicts over several views.

    Args:
        classifier: loaded, or where it is.
        file: an image.
        kind: a name of `brainssl.explanation.cam.MAPS`.
        label: the class that is asked about; by default the one that is predicted.

    Raises:
        BadUseError: no such kind of map, or no such class.
        BrainsslError: there is no such classifier, the file cannot be read, or the encoder has no
            feature map, or not what that kind of map needs.
    """
    if kind not in MAPS:
        raise BadUseError(f"{kind!r} is none of {', '.join(MAPS)}")
    if not isinstance(classifier, Classifier):
        classifier = Classifier.load(Path(classifier))
    if label is not None and label not in classifier.classes:
        raise BadUseError(f"{label!r} is none of {', '.join(classifier.classes)}")
    classifier.refuse_pictures()
    pixels = read_slice(Path(file), reader=classifier.reader).pixels
    image = letterbox(pixels, classifier.image_size, classifier.bits)
    return saliency_of(classifier, image, kind=kind, label=label)


def saliency_of(
    classifier: Classifier,
    image: UInt[np.ndarray, "size size"],
    *,
    kind: str = "gradcam",
    label: str | None = None,
) -> SaliencyMap:
    """Do as `saliency_map` with a slice that is read and letterboxed already.

    Args:
        classifier: loaded.
        image: at the depth of the classifier.
        kind: a name of `brainssl.explanation.cam.MAPS`.
        label: the class that is asked about; by default the one that is predicted.

    Raises:
        BadUseError: no such kind of map, or no such class.
        BrainsslError: the encoder has no feature map, or not what that kind of map needs.
    """
    if kind not in MAPS:
        raise BadUseError(f"{kind!r} is none of {', '.join(MAPS)}")
    if label is not None and label not in classifier.classes:
        raise BadUseError(f"{label!r} is none of {', '.join(classifier.classes)}")
    device = next(classifier.parameters()).device
    batch = to_unit(as_tensor(image[None]).to(device))
    asked = None if label is None else torch.tensor([classifier.classes.index(label)])
    wanted: Targets = "predicted" if asked is None else asked
    found = activations(classifier, batch, wanted, attention=kind == ROLLOUT)
    made = at_image_size(MAPS[kind](found), classifier.image_size)
    shares = softmax(found.logits[0].double().cpu().numpy())
    named = dict(zip(classifier.classes, shares.tolist(), strict=True))
    shown = classifier.classes[int(found.targets[0, 0])]
    saliency = made.maps[0, 0].cpu().numpy()
    return SaliencyMap(shown, named[shown], named, image, saliency, float(made.peaks[0, 0]))

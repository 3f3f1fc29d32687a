"""Saliency maps of predictions, as pictures in a folder."""

from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import UInt

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import write_atomically
from brainssl.models.classifier import Classifier

MapsAs = Literal["png", "dicom"]
MAPS_AS: tuple[MapsAs, ...] = get_args(MapsAs)
"""How saliency maps may be written."""


def draw_map(
    classifier: Classifier, row: dict[str, Any], image: UInt[np.ndarray, "size size"], file: Path
) -> None:
    """Draw what in an image speaks for its label, laid over it, as PNG.

    The row gets the file of its `map`. Where none can be drawn it is None, and `map_error` says
    why.

    Args:
        classifier: that said it.
        row: of `brainssl.inference.predict.predict_files`; changed in place.
        image: as the classifier saw it, at its depth.
        file: to write; its folder is made if it is not there.
    """
    from PIL import Image

    from brainssl.inference.saliency import saliency_of

    try:
        mapped = saliency_of(classifier, image, label=row["label"])
    except BrainsslError as error:
        row |= {"map": None, "map_error": str(error)}
        return
    picture = Image.fromarray(mapped.overlay())
    write_atomically(file, lambda beside: picture.save(beside, "PNG"))
    row["map"] = str(file)


def map_name(number: int, row: dict[str, Any]) -> str:
    """Return the name of a map: the number of its row, from 1, and the name of the image."""
    file = Path(row["file"])
    own = f"{file.parent.name}-{file.name}" if "slice" in row else file.stem
    return f"{number:04}-{own}.png"

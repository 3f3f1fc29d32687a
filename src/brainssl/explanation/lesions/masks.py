"""Lesions from mask images."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Shaped
from PIL import Image, ImageOps

from brainssl.data.grey import HIDING
from brainssl.data.read import FORMATS, UnreadableImage, file_bytes, read_bytes
from brainssl.explanation.lesions.outlines import Mask, Picture
from brainssl.foundation.errors import BrainsslError


def read_mask(file: Path, picture: Picture) -> Mask:
    """Return what is not black; in a format that loses, what is brighter than half."""
    try:
        data = file_bytes(file)
        # By version 1 of the normalisation: percentiles would take away a label of few pixels.
        read = read_bytes(data, str(file), reader=1)
    except UnreadableImage as error:
        raise BrainsslError(f"{error}; save the mask as PNG") from None
    levels: Shaped[np.ndarray, "h w"] = read.pixels
    if HIDING in read.flags:  # in a mask, nothing is marked
        levels = np.zeros_like(levels)
    threshold = 0.0
    with Image.open(io.BytesIO(data), formats=FORMATS) as image:
        image.load()
        if image.mode.startswith(("I", "F")):
            # As grey values of a slice, the lowest of several labels would become black.
            levels = np.nan_to_num(np.asarray(ImageOps.exif_transpose(image)))
        elif image.format in ("JPEG", "WEBP", "AVIF"):
            threshold = levels.max() / 2  # its rounding reaches beyond the edges
    if levels.shape != (picture.height, picture.width):
        h, w = levels.shape
        raise BrainsslError(
            f"{file}: has {w} × {h} px, its image {picture.size}; save the mask in the size of "
            "the upright image"
        )
    return np.asarray(levels > threshold)

"""Strips of a slice with its maps beside it."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from brainssl.explanation.overlay import enlarged, scale_bar
from brainssl.reporting.figures.pictures import Picture

_SIDE = 132
_GAP = 3
_WIDE = 4 * _GAP  # between a slice's own pictures and those of others
_PAPER = (128, 128, 128)


def map_strip(
    tiles: Sequence[UInt8[np.ndarray, "..."]], own: int, alt: str, caption: str
) -> Picture:
    """Return pictures side by side, a wider gap behind the first `own`.

    Args:
        tiles: square pictures, grey or in colour.
        own: how many of them are of the slice itself.
        alt: what is to be seen.
        caption: what stands below.
    """
    width = len(tiles) * (_SIDE + _GAP) - _GAP + (_WIDE if len(tiles) > own else 0)
    sheet = Image.new("RGB", (width, _SIDE), _PAPER)
    for place, tile in enumerate(tiles):
        left = place * (_SIDE + _GAP) + (_WIDE if place >= own else 0)
        sheet.paste(Image.fromarray(enlarged(np.ascontiguousarray(tile), _SIDE)), (left, 0))
    return _picture(sheet, alt, caption)


def scale_strip() -> Picture:
    """Return the colours of a map's scale."""
    bar = Image.fromarray(scale_bar(256, 14))
    return _picture(bar, "The colours of the scale", "0 on the left, the peak on the right")


def _picture(image: Image.Image, alt: str, caption: str) -> Picture:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=88, optimize=True)
    data = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(data, alt, caption, image.width, image.height)

"""An image of any shape becomes a square, and so does the mask of a lesion in it."""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt
from PIL import Image

from brainssl.data.field_of_view import Field
from brainssl.foundation.depth import kind_of, rounded

_HALF = 0.5 - 1e-9  # of a pixel: what is exactly half may come out a rounding error below


class Place(NamedTuple):
    """Where the whole image lies in the square, in pixels of that; of a field it may reach out.

    Attributes:
        left: its left border; 0 is that of the square.
        top: its upper border.
        width: columns of the square that it would fill.
        height: rows.
    """

    left: float
    top: float
    width: float
    height: float


def letterbox(
    pixels: Float32[np.ndarray, "h w"], size: int, bits: int = 8, field: Field | None = None
) -> UInt[np.ndarray, "size size"]:
    """Scale the longer side to `size`, pad the shorter with black, round [0, 1] to whole levels.

    With a field, that becomes the square instead, and what lies beyond the image is black. Of 8
    bits levels are 0..255, of 16 bits 0..65535. Training, prediction and serving all pass through
    here: the same pixels, bit for bit.
    """
    # Pillow widens the filter when it shrinks, so fine detail does not alias.
    if field is not None:
        padded, box = _padded(pixels, field, size)
        seen = Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR, box)
        return rounded(np.asarray(seen), bits)
    height, width = pixels.shape
    rows, columns = letterbox_window(height, width, size)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    resized = np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR))
    square = np.zeros((size, size), kind_of(bits))
    square[rows, columns] = rounded(resized, bits)
    return square


def _padded(
    pixels: Float32[np.ndarray, "h w"], field: Field, size: int
) -> tuple[Float32[np.ndarray, "rows columns"], tuple[float, float, float, float]]:
    """Return all pixels that count in a field, 0 beyond the image, and the field's box in them.

    A pixel of the square counts those within a triangle; so do those at its borders, and where
    the field lies between two pixels makes no jump.
    """
    held, kept, box = [], [], []
    for begin, length, count in zip(
        (field.top, field.left), (field.height, field.width), pixels.shape, strict=True
    ):
        beside = math.ceil(max(1.0, length / size)) + 1
        first, end = math.floor(begin) - beside, math.ceil(begin + length) + beside
        held.append(end - first)
        start = min(max(first, 0), count)
        kept.append((first, start, max(start, min(end, count))))
        box.append((begin - first, begin - first + length))
    padded = np.zeros(held, np.float32)
    (y, top, bottom), (x, left, right) = kept
    padded[top - y : bottom - y, left - x : right - x] = pixels[top:bottom, left:right]
    (above, below), (before, after) = box
    return padded, (before, above, after, below)


def letterbox_window(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square that an image of this shape, in pixels, fills."""
    scale = size / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - h) // 2, (size - w) // 2
    return slice(top, top + h), slice(left, left + w)


def place_in_square(height: int, width: int, size: int, field: Field | None = None) -> Place:
    """Return where `letterbox` puts an image of this shape, in pixels."""
    if field is None:
        rows, columns = letterbox_window(height, width, size)
        return Place(
            columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        )
    down, across = size / field.height, size / field.width
    return Place(-field.left * across, -field.top * down, width * across, height * down)


def out_of_letterbox(
    square: Float32[np.ndarray, "size size"], height: int, width: int, place: Place | None = None
) -> Float32[np.ndarray, "height width"]:
    """Bring what lies over a letterboxed image back over the image, bilinearly.

    The centre of pixel (row, column) of an image lies where `letterbox` put it: at
    top + (row + ½) · h / height − ½ where the image fills h rows from top, and so of columns.
    Beyond the outermost centres of the square its border goes on; pixels of the image whose centre
    the square does not show are 0.

    Args:
        square: values for each pixel of the square.
        height: of the image, in pixels.
        width: likewise.
        place: of the image in the square; by default that of the whole image.
    """
    size = len(square)
    left, top, wide, tall = place or place_in_square(height, width, size)
    places = [
        (np.arange(count) + 0.5) * filled / count - 0.5 + begin
        for begin, filled, count in ((top, tall, height), (left, wide, width))
    ]
    from scipy import ndimage  # who letterboxes pictures alone need not wait for it

    found = ndimage.map_coordinates(
        square, np.meshgrid(*places, indexing="ij"), np.float32, order=1, mode="nearest"
    )
    rows, columns = ((place >= -0.5) & (place <= size - 0.5) for place in places)
    return np.where(rows[:, None] & columns, found, np.float32(0))


def letterbox_mask(
    lesion: Bool[np.ndarray, "h w"], size: int, field: Field | None = None
) -> Bool[np.ndarray, "size size"]:
    """Bring a mask where `letterbox` brings its image, by the share of each pixel it covers.

    Returns:
        True where at least half of a pixel is lesion; a lesion that fills no half pixel keeps the
        one that it fills most. What lies outside of the field is lost.
    """
    height, width = lesion.shape
    left, top, wide, tall = place_in_square(height, width, size, field)
    down = _shares(height, top, tall, size)
    across = _shares(width, left, wide, size)
    cover = np.zeros((size, size))
    parts = []
    from scipy import ndimage

    labels, _ = ndimage.label(lesion, np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        y, x = _covered(rows, height, top, tall, size), _covered(columns, width, left, wide, size)
        own = down[y, rows] @ (labels[rows, columns] == number) @ across[x, columns].T
        cover[y, x] += own
        if own.size and own.max() > 0:
            parts.append(((y, x), own))
    square = cover >= _HALF
    for place, own in parts:
        part = square[place]
        if not part[own > 0].any():
            part[np.unravel_index(own.argmax(), own.shape)] = True
    return square


def _covered(part: slice, count: int, begin: float, filled: float, size: int) -> slice:
    """Return the pixels of the square's line that a part of an image's line touches."""
    first = math.floor(begin + part.start * filled / count)
    end = math.ceil(begin + part.stop * filled / count)
    return slice(min(max(first, 0), size), max(min(end, size), 0))


def _shares(
    count: int, begin: float, filled: float, size: int
) -> Float64[np.ndarray, "size count"]:
    """Return the share of each pixel of the square's line that each of an image's line makes up."""
    edges = (np.arange(size + 1)[:, None] - begin) * count / filled
    pixels = np.arange(count)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return np.asarray(overlap.clip(0) * filled / count)

"""An image of any shape becomes a square, and so does the mask of a lesion in it."""

import numpy as np
from jaxtyping import Bool, Float32, Float64, UInt
from PIL import Image

from brainssl.foundation.depth import kind_of, rounded

_HALF = 0.5 - 1e-9  # of a pixel: what is exactly half may come out a rounding error below


def letterbox(
    pixels: Float32[np.ndarray, "h w"], size: int, bits: int = 8
) -> UInt[np.ndarray, "size size"]:
    """Scale the longer side to `size`, pad the shorter with black, round [0, 1] to whole levels.

    Of 8 bits they are 0..255, of 16 bits 0..65535. Training, prediction and serving all pass
    through here: the same pixels, bit for bit.
    """
    height, width = pixels.shape
    rows, columns = letterbox_window(height, width, size)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    # Pillow widens the filter when it shrinks, so fine detail does not alias.
    resized = np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR))
    square = np.zeros((size, size), kind_of(bits))
    square[rows, columns] = rounded(resized, bits)
    return square


def letterbox_window(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square that an image of this shape, in pixels, fills."""
    scale = size / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - h) // 2, (size - w) // 2
    return slice(top, top + h), slice(left, left + w)


def out_of_letterbox(
    square: Float32[np.ndarray, "size size"], height: int, width: int
) -> Float32[np.ndarray, "height width"]:
    """Bring what lies over a letterboxed image back over the image, bilinearly.

    The centre of pixel (row, column) of an image lies where `letterbox` put it: at
    (row + ½) · h / height − ½ in the window of h rows, and so of columns. Beyond the outermost
    centres of the square its border goes on.

    Args:
        square: values for each pixel of the square.
        height: of the image, in pixels.
        width: likewise.
    """
    window = letterbox_window(height, width, len(square))
    places = [
        (np.arange(count) + 0.5) * (part.stop - part.start) / count - 0.5 + part.start
        for part, count in zip(window, (height, width), strict=True)
    ]
    from scipy import ndimage  # who letterboxes pictures alone need not wait for it

    found = ndimage.map_coordinates(
        square, np.meshgrid(*places, indexing="ij"), np.float32, order=1, mode="nearest"
    )
    return np.asarray(found)


def letterbox_mask(lesion: Bool[np.ndarray, "h w"], size: int) -> Bool[np.ndarray, "size size"]:
    """Bring a mask where `letterbox` brings its image, by the share of each pixel it covers.

    Returns:
        True where at least half of a pixel is lesion; a lesion that fills no half pixel keeps the
        one that it fills most.
    """
    height, width = lesion.shape
    window = letterbox_window(height, width, size)
    square = np.zeros((size, size), bool)
    inner = square[window]
    h, w = inner.shape
    tall, wide = _shares(height, h), _shares(width, w)
    cover = np.zeros((h, w))
    parts = []
    from scipy import ndimage

    labels, _ = ndimage.label(lesion, np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        y = slice(rows.start * h // height, -(-rows.stop * h // height))
        x = slice(columns.start * w // width, -(-columns.stop * w // width))
        own = tall[y, rows] @ (labels[rows, columns] == number) @ wide[x, columns].T
        cover[y, x] += own
        parts.append((inner[y, x], own))
    inner[:] = cover >= _HALF
    for part, own in parts:
        if not part[own > 0].any():
            part[np.unravel_index(own.argmax(), own.shape)] = True
    return square


def _shares(before: int, after: int) -> Float64[np.ndarray, "after before"]:
    """Return the share of each new pixel of a line that each old one makes up."""
    edges = np.arange(after + 1)[:, None] * before / after
    pixels = np.arange(before)
    overlap = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return np.asarray(overlap.clip(0) * after / before)

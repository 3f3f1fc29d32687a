"""Cheap features of a slice by which sequences and planes are told apart."""

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

SIDE = 12  # cells to a side of the thumbnail
LEVELS = 24  # bins of each histogram

_AIR = 0.2  # of the 99th percentile: below is air
_THIN = 0.04  # share of a row or column that the head fills at least
_FEWEST = 6  # rows and columns of a head
_INNER = 0.2  # of the head's box that is cut off at each side: scalp and skull
_TINY = 1e-3

WIDTH = 2 * LEVELS + SIDE * SIDE + SIDE * SIDE // 2 + 24
"""Numbers of one slice."""

GREYS = slice(0, LEVELS + 8)
"""Those of the inner greys: what carries over best from simulated slices to real ones."""


def describe(image: UInt8[np.ndarray, "h w"]) -> Float32[np.ndarray, " width"]:
    """Return the features of one slice, about a millisecond's work.

    All are taken in the box of the head, so that its place and size do not matter:

    - histogram of the inner greys over their median, and of all greys; percentiles of both;
    - a thumbnail of 12 × 12 mean greys over their mean;
    - differences between the thumbnail and its mirror image, and their means for both axes;
    - height over width of the box; size of the grey's gradients.
    """
    head, inside = _head(image)
    greys = head / np.float32(255)
    own = greys[inside] if inside.any() else greys.ravel()
    inner = greys[_middle(greys.shape[0]), _middle(greys.shape[1])]
    middle = max(float(np.median(inner)), _TINY)
    outer_at = np.percentile(own, [5, 25, 50, 75, 95, 99, 99.8])
    inner_at = np.percentile(inner, [2, 10, 25, 50, 75, 90, 98, 99.5])
    small = np.asarray(
        Image.fromarray(greys).resize((SIDE, SIDE), Image.Resampling.BOX), np.float32
    )
    small = small / max(float(small.mean()), _TINY)
    left_right = np.abs(small - small[:, ::-1])[:, : SIDE // 2]
    up_down = np.abs(small - small[::-1])
    slope = np.hypot(np.diff(greys, axis=0)[:, :-1], np.diff(greys, axis=1)[:-1])
    core = slope[_middle(slope.shape[0]), _middle(slope.shape[1])]
    shape = greys.shape[0] / greys.shape[1]
    return np.concatenate(
        [
            _histogram(inner / middle, 3.0),
            inner_at,
            _histogram(greys, 1.0),
            outer_at,
            small.ravel(),
            left_right.ravel(),
            [left_right.mean(), up_down.mean(), shape, np.log(shape)],
            [slope.mean(), core.mean(), core.std()],
            # How far the brightest and the scalp stand out: an agent, and fat.
            np.log((np.array([inner_at[7], outer_at[4]]) + 0.01) / (middle + 0.01)),
        ]
    ).astype(np.float32)


def _head(image: "np.ndarray") -> "tuple[np.ndarray, np.ndarray]":
    """Return the box of the head as float32, and where in it there is no air."""
    held = image > max(_AIR * float(np.percentile(image, 99)), 8.0)
    rows, columns = (np.flatnonzero(held.mean(axis=axis) > _THIN) for axis in (1, 0))
    if len(rows) < _FEWEST or len(columns) < _FEWEST:
        return image.astype(np.float32), held
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return image[box].astype(np.float32), held[box]


def _middle(length: int) -> slice:
    return slice(int(_INNER * length), int((1 - _INNER) * length) + 1)


def _histogram(values: "np.ndarray", top: float) -> "np.ndarray":
    levels = np.minimum((values.ravel() * (LEVELS / top)).astype(np.int64), LEVELS - 1)
    return np.asarray(np.bincount(levels, minlength=LEVELS) / values.size)

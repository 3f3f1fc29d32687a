"""What two pictures of one patient have in common: local contrast, in two frames.

The frames are the square around the head, which survives padding, cropping and rescaling, and the
whole picture, in which slices of one series lie exactly alike. Both are reduced to 32 × 32 pixels
of local contrast, so that brightness, gamma and coil shading do not count and sulci do.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Shaped, UInt16
from PIL import Image
from scipy.ndimage import correlate1d

SIDE = 32
"""Pixels a side of each of a fingerprint's two frames."""

_LEVELS = np.float32(8 / 255)  # the noise of an empty slice, and what JPEG makes of it
_SHOWN = 0.02  # share of the pixels; of slices that show a head the least was 0.2
_LOCAL = 4.0  # pixels of 32: the scale below which contrast is kept
_IN_THIRDS = np.arange(766, dtype=np.float32) / np.float32(3) / np.float32(255)
_BELL = np.exp(-0.5 / _LOCAL**2 * np.arange(-4 * _LOCAL, 4 * _LOCAL + 1) ** 2)
_BELL /= _BELL.sum()


def fingerprint(pixels: Float32[np.ndarray, "h w"]) -> Float16[np.ndarray, "2 side side"]:
    """Return the local contrast of a slice in two frames: around the head, and as it is.

    Args:
        pixels: intensities in [0, 1].

    Returns:
        Two pictures with mean 0 and norm 1, or zeros where the slice is blank or nearly so.
    """
    thirds = _thirds(pixels)
    if _is_blank(pixels, thirds):
        return np.zeros((2, SIDE, SIDE), np.float16)
    frames = (_shrunk(_squared(*_head(pixels, thirds))), _shrunk(pixels))
    return _local_contrast(np.stack(frames))


_Thirds = UInt16[np.ndarray, "h w"] | None


def _thirds(pixels: Float32[np.ndarray, "h w"]) -> _Thirds:
    """Return the pixels in thirds of a level of 255, if that says exactly what they are.

    It does for images of 8 bits: one channel, or the mean of three.
    """
    thirds = np.rint(pixels * np.float32(765)).astype(np.uint16)
    return thirds if (_IN_THIRDS.take(thirds, mode="clip") == pixels).all() else None


def _is_blank(pixels: Float32[np.ndarray, "h w"], thirds: _Thirds) -> bool:
    """Tell whether a slice shows hardly anything, so that those of other people look like it.

    It does where fewer than 2 pixels in 100 differ from the median by more than 8 grey levels of
    255: the black ends of a volume, with noise, a faint rim or a letter in the corner.
    """
    middle = _percentiles(pixels, thirds, (50,), np.float32)[0]
    differs = np.abs(pixels - middle) > _LEVELS
    return bool(np.count_nonzero(differs) < _SHOWN * pixels.size)


def _head(
    pixels: Float32[np.ndarray, "h w"], thirds: _Thirds
) -> tuple[Float32[np.ndarray, "h w"], _Thirds]:
    """Cut away the background: rows and columns where hardly anything is bright."""
    air, bright = _percentiles(pixels, thirds, (20, 99.5), np.float64)
    mask = (pixels > air + 0.15 * (bright - air)).view(np.uint8)
    height, width = mask.shape
    rows = np.flatnonzero(mask.sum(axis=1, dtype=np.uint32) / width > 0.03)
    columns = np.flatnonzero(mask.sum(axis=0, dtype=np.uint32) / height > 0.03)
    if min(len(rows), len(columns)) < 2:
        return pixels, thirds
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return pixels[box], None if thirds is None else thirds[box]


def _squared(pixels: Float32[np.ndarray, "h w"], thirds: _Thirds) -> Float32[np.ndarray, "s s"]:
    """Pad to a square with air: how long a head is belongs to its patient."""
    height, width = pixels.shape
    side = max(height, width)
    air = _percentiles(pixels, thirds, (5,), np.float32)[0]
    square = np.full((side, side), air, np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _percentiles(
    pixels: Float32[np.ndarray, "h w"],
    thirds: _Thirds,
    percents: Sequence[float],
    between: type[np.floating[Any]],
) -> Shaped[np.ndarray, " k"]:
    """Return what `np.percentile` does, from a histogram where there is one: it need not sort.

    Args:
        pixels: the image.
        thirds: the same, of `_thirds`.
        percents: which, in [0, 100].
        between: precision of places between two pixels; NumPy takes float32 for a single one.
    """
    if thirds is None:
        single = len(percents) == 1  # which NumPy computes otherwise than a list of one
        return np.atleast_1d(np.percentile(pixels, percents[0] if single else percents))
    last = pixels.size - 1
    places = np.array(percents) / 100 * last
    before = places.astype(np.int64)
    ranks = np.bincount(thirds.ravel(), minlength=len(_IN_THIRDS)).cumsum()
    low, high = (
        _IN_THIRDS[np.searchsorted(ranks, np.minimum(rank, last), side="right")]
        for rank in (before, before + 1)
    )
    share = places - before
    rising = low + (high - low) * share.astype(between)
    falling = high - (high - low) * (1 - share).astype(between)
    return np.asarray(np.where(share < 0.5, rising, falling))


def _shrunk(pixels: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "side side"]:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)


def _local_contrast(
    frames: Float32[np.ndarray, "2 side side"],
) -> Float16[np.ndarray, "2 side side"]:
    """Subtract the local mean, divide by the local spread, normalise to mean 0 and norm 1."""
    details = frames - _blurred(frames)
    spreads = np.sqrt(np.maximum(_blurred(details**2), 0))
    contrast = np.zeros(frames.shape, np.float16)
    for frame, (detail, spread) in enumerate(zip(details, spreads, strict=True)):
        if np.abs(detail).max() < 1e-4:  # a fraction of one grey level: nothing but rounding
            continue
        even = detail / (spread + 0.3 * spread.mean())
        even -= even.mean()
        contrast[frame] = even / np.linalg.norm(even)
    return contrast


def _blurred(frames: Float32[np.ndarray, "2 side side"]) -> Float32[np.ndarray, "2 side side"]:
    """Return what `scipy.ndimage.gaussian_filter` does to each frame, in half its time."""
    columns = correlate1d(frames, _BELL, axis=1, mode="nearest")
    return np.asarray(correlate1d(columns, _BELL, axis=2, mode="nearest"), np.float32)

"""What two pictures of one patient have in common: local contrast, in two frames.

The frames are the square around the head, which survives padding, cropping and rescaling, and the
whole picture, in which slices of one series lie exactly alike. Both are reduced to 32 × 32 pixels
of local contrast, so that brightness, gamma and coil shading do not count and sulci do.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float16, Float32, Float64
from PIL import Image

SIDE = 32
"""Pixels a side of each of a fingerprint's two frames."""

_LEVELS = np.float32(8 / 255)  # the noise of an empty slice, and what JPEG makes of it
_SHOWN = 0.02  # share of the pixels; of slices that show a head the least was 0.2
_LOCAL = 4.0  # pixels of 32: the scale below which contrast is kept
_BELL = np.exp(-0.5 / _LOCAL**2 * np.arange(-4 * _LOCAL, 4 * _LOCAL + 1) ** 2)
_BELL /= _BELL.sum()


def fingerprint(pixels: Float32[np.ndarray, "h w"]) -> Float16[np.ndarray, "2 side side"]:
    """Return the local contrast of a slice in two frames: around the head, and as it is.

    Args:
        pixels: intensities in [0, 1].

    Returns:
        Two pictures with mean 0 and norm 1, or zeros where the slice is blank or nearly so.
    """
    if _is_blank(pixels):
        return np.zeros((2, SIDE, SIDE), np.float16)
    frames = (_shrunk(_squared(_head(pixels))), _shrunk(pixels))
    return local_contrast(np.stack(frames))


def widened(prints: Float16[np.ndarray, "..."]) -> Float32[np.ndarray, "..."]:
    """Return fingerprints, or parts of them, as float32, in a quarter of NumPy's time."""
    import torch  # heavy, and of no use to who only predicts

    held = np.ascontiguousarray(prints)
    return torch.from_numpy(held if held.flags.writeable else held.copy()).float().numpy()


def _is_blank(pixels: Float32[np.ndarray, "h w"]) -> bool:
    """Tell whether a slice shows hardly anything, so that those of other people look like it.

    It does where fewer than 2 pixels in 100 differ from the median by more than 8 grey levels of
    255: the black ends of a volume, with noise, a faint rim or a letter in the corner.
    """
    middle = np.float32(_percentiles(pixels, (50,))[0])
    differs = np.abs(pixels - middle) > _LEVELS
    return bool(np.count_nonzero(differs) < _SHOWN * pixels.size)


def _head(pixels: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "a b"]:
    """Cut away the background: rows and columns where hardly anything is bright."""
    air, bright = _percentiles(pixels, (20, 99.5))
    mask = (pixels > air + 0.15 * (bright - air)).view(np.uint8)
    height, width = mask.shape
    rows = np.flatnonzero(mask.sum(axis=1, dtype=np.uint32) / width > 0.03)
    columns = np.flatnonzero(mask.sum(axis=0, dtype=np.uint32) / height > 0.03)
    if min(len(rows), len(columns)) < 2:
        return pixels
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _squared(pixels: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "s s"]:
    """Pad to a square with air: how long a head is belongs to its patient."""
    height, width = pixels.shape
    side = max(height, width)
    square = np.full((side, side), _percentiles(pixels, (5,))[0], np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = pixels
    return square


def _percentiles(
    pixels: Float32[np.ndarray, "h w"], percents: Sequence[float]
) -> Float64[np.ndarray, " k"]:
    """Return the lowest pixels of the levels of 255 in which percentiles lie.

    A histogram need not sort. Of an image of 8 bits, whose levels hold one value each, these are
    its percentiles.
    """
    levels = np.rint(pixels * np.float32(255)).astype(np.uint8)
    upto = np.cumsum(Image.fromarray(levels).histogram())
    ranks = np.maximum(1, np.ceil(np.array(percents) / 100 * levels.size))
    places = np.searchsorted(upto, ranks)
    return np.array([pixels[levels == place].min() for place in places], np.float64)


def _shrunk(pixels: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "side side"]:
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR), np.float32)


def local_contrast(
    frames: Float32[np.ndarray, "n side side"],
) -> Float16[np.ndarray, "n side side"]:
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


def _blurred(frames: Float32[np.ndarray, "n side side"]) -> Float32[np.ndarray, "n side side"]:
    """Return what `scipy.ndimage.gaussian_filter` does to each frame, in half its time."""
    from scipy.ndimage import correlate1d  # who only predicts may not need it

    columns = correlate1d(frames, _BELL, axis=1, mode="nearest")
    return np.asarray(correlate1d(columns, _BELL, axis=2, mode="nearest"), np.float32)

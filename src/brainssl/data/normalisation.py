"""From samples of any depth to [0, 1]: MRI has no absolute scale.

There are three versions. What was trained on images of one of them goes on reading files with it.
The third makes the grey levels of the second, and volumes have square pixels.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int64, Shaped
from PIL import Image

from brainssl.data.grey import Notes

READER = 3
"""The version by which files are read now."""

SQUARES = 3
"""The first version that gives volumes square pixels; all else is as in version 2."""

WINDOW = (0.5, 99.5)
"""Percentiles that become 0 and 1."""

FOREGROUND = 0.05
"""Share of the way between the picture's percentiles where its foreground begins."""

_PADDING = 8  # ranges of a picture by which a minimum lies apart that is no part of it
_COUNTED = 2**17  # different samples up to which counting them is faster than sorting

Samples = Shaped[np.ndarray, "h w"]


def normalised(
    samples: Samples, notes: Notes, *, deep: bool, reader: int = READER
) -> Float32[np.ndarray, "h w"]:
    """Map samples to [0, 1].

    From version 2 on all depths are mapped alike, as `window` says. Version 1 divided levels of 8
    bits by 255; of deeper images it mapped the percentiles of all that lies above the minimum to 0
    and 1.

    Args:
        samples: finite; of at most 8 bits from 0 to 255.
        notes: told what was done.
        deep: whether the file has more than 8 bits a sample.
        reader: the version.
    """
    if reader == 1 and not deep:
        notes.provenance.append("levels divided by 255")
        return np.asarray(samples.astype(np.float32) / np.float32(255), np.float32)
    if samples.min() == samples.max():
        notes.provenance.append("constant, set to 0")
        return np.zeros(samples.shape, np.float32)
    low, high = _above_minimum(samples) if reader == 1 else window(*_distribution(samples))
    notes.provenance.append(
        f"percentiles {WINDOW[0]} and {WINDOW[1]} ({low:.6g}, {high:.6g}) to 0 and 1"
    )
    return scaled(samples, low, high)


def window(levels: Float64[np.ndarray, " k"], upto: Int64[np.ndarray, " k"]) -> tuple[float, float]:
    """Return the levels that become 0 and 1 in version 2.

    The lower one is the 0.5th percentile of the whole picture, the upper one the 99.5th of the
    foreground, which begins 5 % of the way up from the lower one to the 99.5th of the whole.
    Percentiles are levels that occur, so that a picture with fewer levels has the same, rounded;
    and the noise of air, which a shallow file rounds to nothing, counts in neither.

    Args:
        levels: of a picture that is not constant, ascending.
        upto: how many of its samples are at most as high as each.
    """
    occurring = np.flatnonzero(np.diff(upto, prepend=0))
    levels, upto = levels[occurring], upto[occurring]

    def percentile(percent: float, begin: int = 0) -> float:
        """Return the lowest level that so many per cent of those from `begin` on do not exceed."""
        before = int(upto[begin - 1]) if begin else 0
        rank = before + max(1, int(np.ceil(percent / 100 * (int(upto[-1]) - before))))
        return float(levels[np.searchsorted(upto, rank)])

    low, top = (percentile(percent) for percent in WINDOW)
    least, most = float(levels[0]), float(levels[-1])
    above = percentile(WINDOW[0], int(np.searchsorted(levels, least, side="right")))
    if above / 2 - least / 2 > _PADDING * (top / 2 - above / 2):
        low = above  # the minimum is the padding of signed samples
    if low == most:
        low = least
    edge = low + FOREGROUND * (max(top, low) - low)
    return low, percentile(WINDOW[1], int(np.searchsorted(levels, edge, side="right")))


def _distribution(
    samples: Samples,
) -> tuple[Float64[np.ndarray, " k"], Int64[np.ndarray, " k"]]:
    """Return levels, ascending, and how many samples are at most as high as each.

    Whole numbers, and the means of three channels that agree, are counted and not sorted.
    """
    if samples.dtype == np.uint8:
        counts = np.array(Image.fromarray(samples).histogram())
        return np.arange(256, dtype=np.float64), counts.cumsum()
    parts = 3 if samples.dtype == np.float32 else 1
    if samples.min() >= 0 and samples.max() < _COUNTED:
        places = np.rint(samples * samples.dtype.type(parts)).astype(np.int32)
        levels = (np.arange(places.max() + 1) / parts).astype(samples.dtype)
        if (levels.take(places, mode="clip") == samples).all():
            return levels.astype(np.float64), np.bincount(places.ravel()).cumsum()
    ordered = np.sort(samples, axis=None).astype(np.float64)
    return ordered, np.arange(1, ordered.size + 1)


def scaled(samples: Samples, low: float, high: float) -> Float32[np.ndarray, "h w"]:
    """Map `low` to 0 and `high` to 1, and clip."""
    if samples.dtype == np.uint8:  # exact in float32, so that deeper files give the same bits
        shallow = samples.astype(np.float32)
        shallow -= np.float32(low)
        shallow /= np.float32(high - low)
        return np.clip(shallow, 0, 1, out=shallow)
    # Halved before the difference: doubles near their limits would overflow otherwise.
    levels = (samples.astype(np.float64) / 2 - low / 2) / (high / 2 - low / 2)
    return np.asarray(np.clip(levels, 0.0, 1.0), np.float32)


def _above_minimum(samples: Samples) -> tuple[float, float]:
    """Return the percentiles of version 1."""
    minimum = samples.min()
    low, high = np.percentile(samples[samples > minimum], WINDOW)
    return (float(minimum) if high <= low else float(low)), float(high)

"""Marks: 32 bytes by which a picture is known again, and from which none can be drawn.

Models carry those of the images that shaped them, so that they are not taken for images of another
hospital.
"""

import numpy as np
from jaxtyping import Bool, Float32, UInt, UInt8

from brainssl.data.fingerprint import SIDE, local_contrast
from brainssl.foundation.depth import brightness

BITS = 256

DIFFERING = 25
"""Bits in which two marks of one picture differ at most.

On a public collection, at 32, 64 and 224 px, 250 pictures that were saved anew as JPEG of quality
75, or shrunk to 200 px and saved with quality 50, differed from themselves by at most 14 bits; of
368 test images of a grouped split none differed from all 3,390 others by less than 40.
"""

_TOGETHER = 256


def marks(images: UInt[np.ndarray, "n size size"]) -> UInt8[np.ndarray, "n 32"]:
    """Return the mark of each image: signs of the lowest frequencies of its local contrast.

    Contrast is that of `brainssl.data.fingerprint`, in the whole picture reduced to 32 × 32 pixels;
    of its discrete cosine transform the 256 lowest frequencies but the mean count. Brightness, size
    and compression do not change them, mirroring and cropping do. A blank image has zeros alone.

    Args:
        images: as they are stored.
    """
    from scipy.fft import dctn  # a classifier that knows no images need not wait for it

    down, right = np.mgrid[:SIDE, :SIDE]
    lowest = np.argsort((down**2 + right**2).ravel(), kind="stable")[1 : BITS + 1]
    mean = _means(images.shape[1])
    found = np.zeros((len(images), BITS // 8), np.uint8)
    for start in range(0, len(images), _TOGETHER):
        part = brightness(images[start : start + _TOGETHER])
        contrast = local_contrast(mean @ part @ mean.T).astype(np.float32)
        waves = dctn(contrast, axes=(1, 2)).reshape(len(part), -1)[:, lowest]
        found[start : start + _TOGETHER] = np.packbits(waves > 0, axis=1)
    return found


def known(
    ours: UInt8[np.ndarray, "n 32"], theirs: UInt8[np.ndarray, "m 32"]
) -> Bool[np.ndarray, " n"]:
    """Tell which of our marks are of a picture among theirs; a blank one is of none."""
    found = np.zeros(len(ours), bool)
    theirs = theirs[theirs.any(axis=1)]
    if not len(theirs):
        return found
    words = np.ascontiguousarray(theirs).view(np.uint64)
    for start in range(0, len(ours), _TOGETHER):
        part = np.ascontiguousarray(ours[start : start + _TOGETHER]).view(np.uint64)
        apart = np.bitwise_count(part[:, None] ^ words[None]).sum(axis=2, dtype=np.int64)
        found[start : start + _TOGETHER] = apart.min(axis=1) <= DIFFERING
    return found & ours.any(axis=1)


def joined(
    *parts: UInt8[np.ndarray, "_ 32"] | None,
) -> UInt8[np.ndarray, "n 32"] | None:
    """Return the marks that stand in any part, each once; None if none of the parts is known."""
    there = [part for part in parts if part is not None]
    return np.unique(np.concatenate(there), axis=0) if there else None


def _means(size: int) -> Float32[np.ndarray, "32 size"]:
    """Return the matrix that takes the means of 32 equal parts of a line of pixels."""
    edges = np.linspace(0, size, SIDE + 1)
    pixel = np.arange(size)
    upper, lower = np.minimum(edges[1:, None], pixel + 1), np.maximum(edges[:-1, None], pixel)
    return np.asarray(np.maximum(0, upper - lower) * (SIDE / size), np.float32)

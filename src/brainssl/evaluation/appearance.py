"""How a slice looks, in twenty numbers that no network makes: brightness, detail, how it lies."""

from itertools import pairwise

import numpy as np
from jaxtyping import Float32, Float64, UInt

from brainssl.foundation.depth import brightness

_DARK, _BRIGHT = 0.05, 0.8
_STEPS = (1, 2, 4, 8)  # pixels between those that are compared
_RINGS = (0.0, 0.15, 0.3, 0.42, 1.0)  # of the side, from the middle
_FAINTEST = 1e-3  # of the grey scale; less detail than that is none
_SHRUNK = 0.01


def appearance(images: UInt[np.ndarray, "n size size"]) -> Float32[np.ndarray, "n 20"]:
    """Return what tells noise, a negative, a blank or another part of the body from a brain.

    Mean, deviation, and the shares of dark and of bright pixels; the logarithm of the mean
    difference of pixels 1, 2, 4 and 8 apart, down and across; mean and deviation in four rings
    around the middle.

    Args:
        images: as they are stored, of at least 16 px.
    """
    return np.concatenate([_appearance(images[at : at + 256]) for at in range(0, len(images), 256)])


def _appearance(images: UInt[np.ndarray, "n size size"]) -> Float32[np.ndarray, "n 20"]:
    grey = brightness(images)
    every = (1, 2)
    told = [grey.mean(every), grey.std(every)]
    told += [(grey < _DARK).mean(every), (grey > _BRIGHT).mean(every)]
    for step in _STEPS:
        for apart in (grey[:, step:] - grey[:, :-step], grey[:, :, step:] - grey[:, :, :-step]):
            told.append(np.log(np.abs(apart).mean(every) + _FAINTEST))
    side = images.shape[1]
    rows, columns = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    radius = np.hypot(rows, columns)
    for inner, outer in pairwise(_RINGS):
        ring = grey[:, (radius >= inner) & (radius < outer)]
        told += [ring.mean(1), ring.std(1)]
    return np.stack(told, axis=1).astype(np.float32)


def whitening(known: Float32[np.ndarray, "n 20"]) -> Float32[np.ndarray, "21 20"]:
    """Return the mean of what is known, and below it the matrix W by which it has deviation 1.

    ‖(x − mean) W‖ is the Mahalanobis distance, with a covariance that is shrunk by 1 % towards a
    multiple of the identity.
    """
    wide = known.astype(np.float64)
    mean = wide.mean(axis=0)
    covariance = (wide - mean).T @ (wide - mean) / max(1, len(wide) - 1)
    size, axes = np.linalg.eigh(covariance)
    least = max(_SHRUNK * float(size.mean()), float(np.finfo(np.float32).tiny))
    return np.vstack([mean, axes / np.sqrt(np.maximum(size, 0) + least)]).astype(np.float32)


def oddness(
    seen: Float32[np.ndarray, "n 20"], whitened: Float32[np.ndarray, "21 20"]
) -> Float64[np.ndarray, " n"]:
    """Return the Mahalanobis distance of each image's appearance from those of training.

    Args:
        seen: of `appearance`.
        whitened: of `whitening`.
    """
    mean, matrix = whitened[0].astype(np.float64), whitened[1:].astype(np.float64)
    found: Float64[np.ndarray, " n"] = np.linalg.norm((seen - mean) @ matrix, axis=1)
    return found

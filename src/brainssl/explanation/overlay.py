"""A map laid over its slice: the anatomy keeps its grey values, colour comes as the map says."""

from functools import cache

import numpy as np
from jaxtyping import Bool, Float, UInt, UInt8
from PIL import Image
from scipy.ndimage import binary_erosion

from brainssl.foundation.depth import shallow

COLOURS = "viridis"  # perceptually uniform, and read by those who cannot tell red from green
OPACITY = 0.65  # of the colour where the map is 1
OUTLINE = (255, 255, 255)
_EMPTY_MAP = "no positive evidence"


def overlay(
    image: UInt[np.ndarray, "h w"],
    saliency: Float[np.ndarray, "h w"],
    lesion: Bool[np.ndarray, "h w"] | None = None,
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay a map over a slice.

    A pixel is a mixture of its own grey value and the colour of the map there, and the share of the
    colour grows with the map: where it is 0 the slice is untouched. Nothing is rescaled.

    Args:
        image: as it is stored; of 16 bits 8 are shown.
        saliency: from 0 to 1.
        lesion: drawn as an outline, one pixel wide, within the lesion.

    Raises:
        ValueError: the map leaves 0 to 1.
    """
    if saliency.min() < 0 or saliency.max() > 1 + 1e-6:
        raise ValueError(f"a map runs from 0 to 1, not {saliency.min():g} to {saliency.max():g}")
    share = (OPACITY * saliency.clip(0, 1))[..., None]
    levels = np.rint(255 * saliency.clip(0, 1)).astype(np.int64)
    mixed = (1 - share) * shallow(image)[..., None] + share * _palette()[levels]
    drawn: UInt8[np.ndarray, "h w 3"] = np.rint(mixed).astype(np.uint8)
    if lesion is not None:
        drawn[lesion & ~binary_erosion(lesion)] = OUTLINE
    return drawn


def scale_bar(width: int, height: int) -> UInt8[np.ndarray, "height width 3"]:
    """Return the colours of 0 to 1 from left to right, as they look on middle grey."""
    ramp = np.tile(np.linspace(0, 1, width), (height, 1))
    return overlay(np.full((height, width), 128, np.uint8), ramp)


def scale_text(peak: float) -> str:
    """Say what the end of a map's scale stands for: the largest value of the raw map."""
    return f"peak {peak:.2g}" if peak > 0 else _EMPTY_MAP


def enlarged(
    image: UInt8[np.ndarray, "h w"] | UInt8[np.ndarray, "h w 3"], side: int
) -> UInt8[np.ndarray, "..."]:
    """Return a picture at `side` pixels, each of its pixels a block if it is made larger."""
    how = Image.Resampling.NEAREST if side >= image.shape[0] else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image).resize((side, side), how))


@cache
def _palette() -> UInt8[np.ndarray, "256 3"]:
    from matplotlib import colormaps

    colours = 255 * np.asarray(colormaps[COLOURS](np.arange(256)))[:, :3]
    palette: UInt8[np.ndarray, "256 3"] = np.rint(colours).astype(np.uint8)
    return palette

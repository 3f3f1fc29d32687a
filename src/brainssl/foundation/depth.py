"""How deep a stored image is: its brightness in [0, 1], rounded to 8 or to 16 bits."""

import numpy as np
from jaxtyping import Float32, UInt, UInt8

DEPTHS = (8, 16)
"""Bits of a pixel that a store may have."""

_KINDS: dict[int, type[np.uint8] | type[np.uint16]] = {8: np.uint8, 16: np.uint16}
_COARSER = 257  # levels of 16 bits in one of 8: 65535 / 255


def kind_of(bits: int) -> type[np.uint8] | type[np.uint16]:
    """Return the type of a pixel of so many bits."""
    return _KINDS[bits]


def depth_of(images: UInt[np.ndarray, "..."]) -> int:
    """Return the bits of a stored pixel."""
    return 8 * images.itemsize


def rounded(brightness: Float32[np.ndarray, "*shape"], bits: int = 8) -> UInt[np.ndarray, "*shape"]:
    """Round [0, 1], beyond which is clipped, to whole levels: 0..255, or 0..65535."""
    levels = brightness.clip(0, 1) * np.float32(2**bits - 1)
    return np.asarray(np.rint(levels), kind_of(bits))


def brightness(images: UInt[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Return stored images in [0, 1], the same numbers as `brainssl.views.recipes.to_unit`."""
    return np.asarray(images.astype(np.float32) / np.float32(2 ** depth_of(images) - 1))


def shallow(images: UInt[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Return stored images at 8 bits, as a screen shows them."""
    if images.dtype == np.uint8:
        return images
    return np.asarray(np.rint(images / np.float32(_COARSER)), np.uint8)

"""PNG pictures with 16 bits in each of several channels, of which Pillow keeps the upper eight."""

import struct
from collections.abc import Iterator
from functools import partial

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image

_GREY_AND_ALPHA = 4
_MODES = {2: "RGB", 6: "RGBA"}  # by the colour type of the header


def sixteen_bits(data: bytes) -> UInt16[np.ndarray, "h w channels"]:
    """Return the samples of a PNG of 16 bits in two, three or four channels, all their bits.

    Pillow unpacks the upper halves of samples that begin with these, and of samples that end with
    them: the lower halves of ours.

    Raises:
        ValueError: it ends too early, or has another depth or number of channels.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    packed = b"".join(content for kind, content in _chunks(data) if kind == b"IDAT")
    unpacked = partial(_unpacked, (width, height), packed, interlaced)
    if depth == 16 and colour == _GREY_AND_ALPHA:  # four bytes a pixel, as in RGBA
        halves = unpacked("RGBA", "RGBA")
        return _joined(halves[..., ::2], halves[..., 1::2])
    if depth != 16 or colour not in _MODES:
        raise ValueError(f"it has {depth} bits in channels of kind {colour}")
    mode = _MODES[colour]
    return _joined(unpacked(mode, f"{mode};16B"), unpacked(mode, f"{mode};16L"))


def _unpacked(
    size: tuple[int, int], packed: bytes, interlaced: int, mode: str, raw: str
) -> UInt8[np.ndarray, "h w channels"]:
    return np.asarray(Image.frombytes(mode, size, packed, "zip", raw, interlaced))


def _joined(
    upper: UInt8[np.ndarray, "h w c"], lower: UInt8[np.ndarray, "h w c"]
) -> UInt16[np.ndarray, "h w c"]:
    return np.asarray(upper.astype(np.uint16) << 8 | lower)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk of a PNG, whose checksums were looked at."""
    at = 8
    while at + 8 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], data[at + 8 : end]
        at = end + 4

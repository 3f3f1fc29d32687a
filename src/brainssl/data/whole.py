"""Whether a picture's file holds all of its pixels.

Decoders fill in what a stream that ends early does not hold, PNG's with black and JPEG's with grey,
and say nothing; one of them breaks down at it. A file that is cut off is seen by any decoder: this
is about a stream that ends early in a file that is whole.
"""

import io
import re
import struct
import zlib
from collections.abc import Iterator

from PIL import Image

_AT_ONCE = 2**20  # bytes that are unpacked
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of a PNG, by its colour type
_ADAM7 = (  # first row and column of each pass, and the steps of both
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)

_SCAN, _END = 0xDA, 0xD9
_HUFFMAN = frozenset({0xC0, 0xC1, 0xC2})  # others may leave out what is zero at the end
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment
_MARKER = re.compile(rb"\xff+([^\0\xd0-\xd7\xff])")  # that ends the data of a scan
_RESTART = re.compile(rb"\xff([\xd0-\xd7])")
_TAIL = bytes(1 + 7 * at % 251 for at in range(256))  # no marker, and what no picture ends with


def ends_early(data: bytes, kind: str) -> bool:
    """Return whether fewer pixels are in a file than its header states.

    Args:
        data: a PNG whose chunks are whole, or any other file that Pillow opens.
        kind: its format, in Pillow's words; of others than PNG and JPEG the decoder itself tells.
    """
    if kind == "PNG":
        return _png_ends_early(data)
    return kind in ("JPEG", "MPO") and _jpeg_ends_early(data)


def _png_ends_early(data: bytes) -> bool:
    """Count what the pixels unpack to (PNG 1.2, sections 2.3, 2.6 and 6)."""
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * _CHANNELS[colour]
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    missing = 0
    for row, column, down, across in passes:
        rows, columns = -((row - height) // down), -((column - width) // across)
        if columns > 0:
            missing += max(0, rows) * (1 + (columns * bits + 7) // 8)
    stream = zlib.decompressobj()
    for packed in _pixel_chunks(data):
        while packed and missing > 0 and not stream.eof:
            missing -= len(stream.decompress(packed, _AT_ONCE))
            packed = stream.unconsumed_tail
    return missing > 0


def _pixel_chunks(data: bytes) -> Iterator[bytes]:
    at = 8
    while at + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        if name == b"IDAT":
            yield data[at + 8 : at + 8 + length]
        at += 12 + length


def _jpeg_ends_early(data: bytes) -> bool:
    """Put more behind the last scan: it changes the picture only where something was missing.

    A decoder of Huffman's codes stops at the last block, and takes no notice of what follows. A
    progressive picture that lacks whole scans at its end is coarser, and not told.
    """
    end = _end_of_scans(data)
    if end is None:
        return False
    restarts = [0xD7, *(found[1][0] for found in _RESTART.finditer(data, 2, end))]
    after = bytes([0xFF, 0xD0 + (restarts[-1] + 1) % 8])  # what may be missing begins at one
    return _seen(data) != _seen(data[:end] + _TAIL + after + _TAIL + data[end:])


def _seen(data: bytes) -> bytes:
    """Return what is decoded: of blocks that come whole their means, which is the least work."""
    with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as image:
        if not image.info.get("progressive"):
            image.draft(None, (1, 1))
        return image.tobytes()


def _end_of_scans(data: bytes) -> int | None:
    """Return where the mark of the end stands; None if there is none, or it is another coding."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _END:
            return at
        if 0xC0 <= marker <= 0xCF and marker not in _HUFFMAN | {0xC4, 0xC8, 0xCC}:
            return None
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == _SCAN:
            found = _MARKER.search(data, at)
            if found is None:
                return None
            at = found.start(1) - 1
    return at if data[at : at + 2] == b"\xff\xd9" else None

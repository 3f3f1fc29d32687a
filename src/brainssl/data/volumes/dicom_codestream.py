"""The size that a compressed frame states itself: it must be known before it is decoded.

A decoder makes room for what the frame says, not for what the header around it says: a hundred
bytes may ask for gigabytes.
"""

import struct

_START, _HEADER = b"\xff\xd8", b"\xff\x4f\xff\x51"
_SIZES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # JPEG's, and JPEG-LS's last
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # markers without a segment


def stated_size(frame: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a JPEG, JPEG-LS or JPEG 2000 frame states; None if neither."""
    try:
        if frame.startswith(_START):
            return _of_jpeg(frame)
        at = frame.find(_HEADER, 0, 1024)  # boxes may stand before it
        if at >= 0:
            right, bottom, left, top = struct.unpack_from(">4I", frame, at + 8)
            return bottom - top, right - left
    except struct.error:
        pass
    return None


def _of_jpeg(frame: bytes) -> tuple[int, int] | None:
    at = len(_START)
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in _SIZES:
            rows, columns = struct.unpack_from(">HH", frame, at + 5)
            return rows, columns
        at += 2 + struct.unpack_from(">H", frame, at + 2)[0]
    return None

"""Siemens's CSA header: a table of texts in a private element, known from its public descriptions.

It is a count of tags and, for each, a name of 64 bytes, a type, and items of text that are padded
to four bytes. Two versions differ in how the length of an item is written.
"""

import struct

_SECOND = b"SV10"
_MOST_TAGS = 1024
_TAG = struct.Struct("<64si4siii")
_ITEM = struct.Struct("<4i")


def csa_values(data: bytes, wanted: frozenset[str]) -> dict[str, list[str]]:
    """Return the texts of some tags of a CSA header, empty ones left out.

    Args:
        data: value of the private element.
        wanted: names of tags.

    Raises:
        ValueError: it is no CSA header, or a damaged one.
    """
    second = data[:4] == _SECOND
    at = 8 if second else 0
    try:
        (count,) = struct.unpack_from("<I", data, at)
        if not 1 <= count <= _MOST_TAGS:
            raise ValueError("count of tags")
        return _tags(data, at + 8, count, wanted, second=second)
    except struct.error:
        raise ValueError("CSA header is cut off") from None


def _tags(
    data: bytes, at: int, count: int, wanted: frozenset[str], *, second: bool
) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    base = 0  # of the first version lengths are told by their distance to a number of the first tag
    for tag in range(count):
        name, _, _, _, items, _ = _TAG.unpack_from(data, at)
        at += _TAG.size
        base = items if tag == 0 else base
        texts = []
        for _ in range(items):
            lengths = _ITEM.unpack_from(data, at)
            at += _ITEM.size
            length = lengths[1] if second else lengths[0] - base
            if not 0 <= length <= len(data) - at:
                if second:
                    raise ValueError("length of an item")
                break
            texts.append(data[at : at + length].split(b"\0")[0].strip().decode("latin-1"))
            at += -(-length // 4) * 4
        told = name.split(b"\0")[0].decode("latin-1")
        if told in wanted:
            found[told] = [text for text in texts if text]
    return found

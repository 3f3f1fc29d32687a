"""What goes between the service and its processes that decode: bytes alone, never pickles.

What a decoder was talked into cannot reach the service by them: an answer that is none of ours is
refused.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from brainssl.foundation.depth import kind_of
from brainssl.serving.own_slices import NO_LOOK, Look, listed, unlisted, unpacked_look
from brainssl.serving.volumes import Seen, Stack

READY = b"ready"
"""What a process says when it is there."""
SERIES = ".series/"
"""In place of a suffix: several DICOM files, each with its length before it."""

_HEAD, _SUFFIX, _MOST_SLICES, _LENGTH = 4, 8, 4, 8  # bytes
_BESIDE, _ABOUT = 2**16, 2**12  # bytes of an answer beside its slices, and about each or a file
_STATUSES = (413, 415, 422)


class Undecodable(Exception):  # noqa: N818 - says what the file is
    """A file that cannot be read, with what HTTP says of it.

    Attributes:
        status: 413, 415 or 422.
        told: why, in one line that quotes nothing of the file.
        slices: how many it has, where they are too many; else None.
    """

    def __init__(self, status: int, told: str, slices: int | None = None) -> None:
        super().__init__(told)
        self.status, self.told, self.slices = status, told, slices


@dataclass(frozen=True, eq=False)
class Decoded:
    """What was made of files that were read together.

    Attributes:
        slices: of those that can be read.
        refused: place of each other file, a status of HTTP, and why, in one line.
    """

    slices: list[Seen]
    refused: list[tuple[int, int, str]]


@dataclass(frozen=True)
class Asked:
    """What a decoder is to read.

    Attributes:
        suffix: of a file, or `SERIES`.
        most: slices at most.
        data: the file, or files that `joined` put together.
        look: which slices are wanted at their own resolution, too.
    """

    suffix: str
    most: int
    data: bytes
    look: Look | None = None


def packed_question(asked: Asked) -> bytes:
    """Return a question as bytes."""
    look = asked.look.packed() if asked.look else NO_LOOK
    most = asked.most.to_bytes(_MOST_SLICES, "big")
    return asked.suffix.encode().ljust(_SUFFIX) + most + look + asked.data


def unpacked_question(sent: bytes) -> Asked:
    """Return what `packed_question` packed."""
    begin = _SUFFIX + _MOST_SLICES
    most, end = int.from_bytes(sent[_SUFFIX:begin], "big"), begin + len(NO_LOOK)
    look = unpacked_look(sent[begin:end])
    return Asked(sent[:_SUFFIX].decode().rstrip(), most, sent[end:], look)


def joined(files: Sequence[bytes]) -> bytes:
    """Put files together, each with its length before it."""
    return b"".join(len(one).to_bytes(_LENGTH, "big") + one for one in files)


def apart(data: bytes) -> Iterator[bytes]:
    """Yield the files that `joined` put together."""
    at = 0
    while at < len(data):
        end = at + _LENGTH + int.from_bytes(data[at : at + _LENGTH], "big")
        yield data[at + _LENGTH : end]
        at = end


def packed_answer(found: Decoded) -> bytes:
    """Return what was decoded as bytes: length of the head, head, pixels."""
    slices = [
        [one.number, one.flags, one.file, _listed(one.stack), listed(one.own)]
        for one in found.slices
    ]
    pixels = b"".join(one.image.tobytes() for one in found.slices)
    pixels += b"".join(one.own.pixels.tobytes() for one in found.slices if one.own)
    return _headed({"slices": slices, "refused": found.refused}, pixels)


def packed_refusal(status: int, told: str, slices: int | None = None) -> bytes:
    """Return as bytes why nothing was decoded; see `Undecodable`."""
    return _headed({"status": status, "told": told, "slices": slices})


def packed_bytes(data: bytes) -> bytes:
    """Return as an answer what goes on as it is; see `unpacked_bytes`."""
    return _headed({}, data)


def longest_answer(most: int, size: int, bits: int, files: int, pixels: int = 0) -> int:
    """Return how many bytes an answer has at most, for so many slices of so many files.

    Args:
        most: slices.
        size: of these, the side.
        bits: of these, of a pixel.
        files: that were asked about.
        pixels: of slices at their own resolution.
    """
    return _BESIDE + _ABOUT * files + most * (size**2 * bits // 8 + _ABOUT) + 2 * pixels


def unpacked_answer(said: bytes, size: int, bits: int, files: int) -> Decoded:
    """Return what a decoder said.

    Args:
        said: by it.
        size: side of the slices.
        bits: of a pixel.
        files: how many it was asked about.

    Raises:
        Undecodable: that the files cannot be read.
        Exception: of any kind, where it said nothing that may be.
    """
    head, pixels = _parted(said)
    slices, refused = head["slices"], [_refusal(one, files) for one in head["refused"]]
    if not slices and not refused:
        raise ValueError("nothing was said")
    kind = np.dtype(kind_of(bits))
    count = len(slices) * size**2
    whole = np.frombuffer(pixels[: count * kind.itemsize], kind)
    images = whole.reshape(len(slices), size, size).copy()  # PyTorch warns of what is read-only
    rest = memoryview(pixels)[count * kind.itemsize :]
    found = []
    for image, (number, flags, file, stack, told) in zip(images, slices, strict=True):
        own = None if told is None else unlisted(told, rest)
        rest = rest[own.pixels.nbytes :] if own else rest
        number = None if number is None else int(number)
        words, of = tuple(map(str, flags)), _stack(stack, files)
        found.append(Seen(image, number, words, of, _place(file, files), own=own))
    if len(rest):
        raise ValueError("more pixels than slices")
    return Decoded(found, refused)


def unpacked_bytes(said: bytes) -> bytes:
    """Return what `packed_bytes` packed.

    Raises:
        Undecodable: there is none.
        Exception: of any kind, where nothing was said that may be.
    """
    return _parted(said)[1]


def _parted(said: bytes) -> tuple[dict[str, Any], bytes]:
    """Return head and rest of an answer; of a refusal, raise it."""
    end = _HEAD + int.from_bytes(said[:_HEAD], "big")
    head = json.loads(said[_HEAD:end])
    if "told" in head:
        _, status, told = _refusal([0, head["status"], head["told"]], 1)
        many = head.get("slices")
        raise Undecodable(status, told, None if many is None else int(many))
    return head, said[end:]


def _headed(head: dict[str, Any], pixels: bytes = b"") -> bytes:
    written = json.dumps(head).encode()
    return len(written).to_bytes(_HEAD, "big") + written + pixels


def _listed(stack: Stack | None) -> list[object] | None:
    if stack is None:
        return None
    return [stack.name, stack.held, stack.without, stack.sequence, stack.files, stack.patient]


def _stack(listed: list[Any] | None, files: int) -> Stack | None:
    if listed is None:
        return None
    name, held, without, sequence, own, patient = listed
    return Stack(
        str(name),
        int(held),
        tuple(map(int, without)),
        None if sequence is None else str(sequence),
        tuple(_place(one, files) for one in own),
        None if patient is None else str(patient),
    )


def _refusal(listed: list[Any], files: int) -> tuple[int, int, str]:
    file, status, told = listed
    if status not in _STATUSES or not (isinstance(told, str) and told.isprintable()):
        raise ValueError("no refusal")
    return _place(file, files), int(status), told


def _place(file: Any, files: int) -> int:
    if not 0 <= int(file) < files:
        raise ValueError("no place of a file")
    return int(file)

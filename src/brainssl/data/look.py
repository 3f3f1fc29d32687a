"""What a scan keeps of an image, once decoded: a process that does this imports little else."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from brainssl.data.fingerprint import fingerprint
from brainssl.data.normalisation import READER
from brainssl.data.read import Slice, UnreadableImage, file_bytes, read_bytes


@dataclass(frozen=True)
class Seen:
    """What is kept of an image after it was decoded.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        source_bits: bits a sample in the file.
        flags: of `brainssl.data.read.Slice`, and "nearly blank" where the slice shows hardly
            anything, joined by ";".
        file_digest: SHA-256 of the file; of a slice of a volume, of its samples as they were read.
        pixel_digest: SHA-256 of the decoded pixels and their shape.
        fingerprint: of `brainssl.data.fingerprint.fingerprint`.
    """

    width: int
    height: int
    source_bits: int
    flags: str
    file_digest: str
    pixel_digest: str
    fingerprint: Float16[np.ndarray, "2 side side"]


class Fingerprints:
    """Gathers the fingerprints of images, in order, without holding any of them twice."""

    def __init__(self) -> None:
        self._parts: list[Float16[np.ndarray, "2 side side"]] = []

    def taken_from(self, image: Seen) -> Seen:
        """Take the fingerprint of an image, and return the image without it."""
        self._parts.append(image.fingerprint)
        return replace(image, fingerprint=_TAKEN)

    def together(self) -> Float16[np.ndarray, "n 2 side side"]:
        """Return all of them, once."""
        self._parts.reverse()
        whole = np.empty((len(self._parts), *self._parts[-1].shape), np.float16)
        for row in range(len(whole)):
            whole[row] = self._parts.pop()
        return whole


_TAKEN = np.zeros((2, 0, 0), np.float16)


def look(path: Path, *, reader: int = READER) -> Seen | UnreadableImage:
    """Decode an image by a version of the reader and describe it, or return why it cannot be."""
    try:
        data = file_bytes(path)
        image = read_bytes(data, str(path), reader=reader)
    except UnreadableImage as error:
        return error
    return seen(image, hashlib.sha256(data).hexdigest())


def seen(image: Slice, file_digest: str) -> Seen:
    """Describe a decoded image."""
    height, width = image.pixels.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(image.pixels).data)
    contrast, flags = fingerprint(image.pixels), list(image.flags)
    if any("blank" in flag for flag in flags):
        contrast = np.zeros_like(contrast)  # what it shows is noise
    elif not contrast.any():
        flags.append("nearly blank")
    return Seen(
        width,
        height,
        image.source_bits,
        ";".join(flags),
        file_digest,
        digest.hexdigest(),
        contrast,
    )

"""What a scan keeps of an image, once decoded: a process that does this imports little else."""

import hashlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float16

from brainssl.data.fingerprint import SIDE, fingerprint
from brainssl.data.lettering import TEXT, lines
from brainssl.data.normalisation import READER
from brainssl.data.on_disk import OnDisk
from brainssl.data.read import Slice, UnreadableImage, file_bytes, read_bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """What is kept of an image after it was decoded.

    Attributes:
        width: pixels, upright.
        height: pixels, upright.
        source_bits: bits a sample in the file.
        flags: of `brainssl.data.read.Slice`, "nearly blank" where the slice shows hardly
            anything, and `brainssl.data.lettering.TEXT`; joined by ";".
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


class Fingerprints(OnDisk):
    """Gathers the fingerprints of images, in order, on disk.

    Args:
        folder: as of `OnDisk`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__((2, SIDE, SIDE), np.float16, folder)

    def taken_from(self, image: Seen) -> Seen:
        """Take the fingerprint of an image, and return the image without it."""
        self.append(image.fingerprint)
        return replace(image, fingerprint=_TAKEN)


_TAKEN = np.zeros((2, 0, 0), np.float16)


def look(path: Path, *, reader: int = READER) -> Seen | UnreadableImage:
    """Decode an image by a version of the reader and describe it, or return why it cannot be."""
    try:
        data = file_bytes(path)
        image = read_bytes(data, str(path), reader=reader)
    except UnreadableImage as error:
        return error
    text = bool(lines(image.pixels).any())
    return seen(image, hashlib.sha256(data).hexdigest(), text=text)


def seen(image: Slice, file_digest: str, *, text: bool) -> Seen:
    """Describe a decoded image, of which it is known whether text was found in it."""
    height, width = image.pixels.shape
    digest = hashlib.sha256(f"{height}x{width}:".encode())
    digest.update(np.ascontiguousarray(image.pixels).data)
    contrast, flags = fingerprint(image.pixels), list(image.flags)
    if any("blank" in flag for flag in flags):
        contrast = np.zeros_like(contrast)  # what it shows is noise
    elif not contrast.any():
        flags.append("nearly blank")
    if text:
        flags.append(TEXT)
    return Seen(
        width,
        height,
        image.source_bits,
        sys.intern(";".join(flags)),
        file_digest,
        digest.hexdigest(),
        contrast,
    )

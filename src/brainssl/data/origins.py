"""Where images come from: a file that is one image, or what else gives several."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jaxtyping import Bool, Float32, UInt
from numpy import ndarray

from brainssl.data.letterbox import letterbox, letterbox_mask
from brainssl.data.read import read_slice

Shown = tuple[Float32[ndarray, "h w"], Bool[ndarray, "h w"] | None]
"""An image in [0, 1], and where its lesion is; None where that is not known."""

Boxed = tuple[UInt[ndarray, "size size"], Bool[ndarray, "size size"] | None]
"""The same in a square, as a store has it."""


class Origin(Protocol):
    """What gives images, one row of a manifest each; it can be pickled."""

    @property
    def count(self) -> int:
        """How many images it gives."""

    @property
    def large(self) -> bool:
        """Whether to read it takes a second and much memory."""

    def images(self) -> Iterator[Shown]:
        """Read and yield the images, in the order of their rows.

        Raises:
            UnreadableImage: it cannot be read any more.
        """


@dataclass(frozen=True)
class PictureFile:
    """A file that is one image.

    Attributes:
        path: of the file.
        reader: version of the normalisation.
    """

    path: Path
    reader: int
    count: int = 1
    large: bool = False

    def images(self) -> Iterator[Shown]:
        """Yield the image; see `Origin`."""
        yield read_slice(self.path, reader=self.reader).pixels, None


def boxed(origin: Origin, size: int, bits: int = 8) -> list[Boxed]:
    """Read an origin and letterbox its images into squares of this side in pixels, and depth."""
    return [
        (letterbox(image, size, bits), None if lesion is None else letterbox_mask(lesion, size))
        for image, lesion in origin.images()
    ]

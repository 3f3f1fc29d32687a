"""Where images come from: a file that is one image, or what else gives several."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from jaxtyping import Bool, Float32, UInt
from numpy import ndarray

from brainssl.data.field_of_view import Field
from brainssl.data.letterbox import letterbox, letterbox_mask
from brainssl.data.read import read_slice

Shown = tuple[Float32[ndarray, "h w"], Bool[ndarray, "h w"] | None, Field | None]
"""An image in [0, 1]; where its lesion is, None where that is not known; what of it is seen."""

Boxed = tuple[UInt[ndarray, "size size"], Bool[ndarray, "size size"] | None]
"""The image and the lesion in a square, as a store has them."""


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
        yield read_slice(self.path, reader=self.reader).pixels, None, None


def boxed(origin: Origin, size: int, bits: int = 8) -> list[Boxed]:
    """Read an origin and letterbox its images into squares of this side in pixels, and depth."""
    return [
        (
            letterbox(image, size, bits, field),
            None if lesion is None else letterbox_mask(lesion, size, field),
        )
        for image, lesion, field in origin.images()
    ]

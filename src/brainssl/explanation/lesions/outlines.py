"""An image as its lesions are drawn on it, and outlines that become masks of its pixels."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np
from jaxtyping import Bool, Float64

from brainssl.foundation.errors import BrainsslError

Mask = Bool[np.ndarray, "h w"]
Outline = Float64[np.ndarray, "points 2"]

_OUTSIDE = 0.1  # of the side: by how much an outline may leave its image and is cut there


@dataclass(frozen=True)
class Picture:
    """An image of the store, upright, as it was before the letterbox.

    Attributes:
        path: in Unicode's composed form.
        height: rows.
        width: columns.
        turned: whether the file holds it otherwise than upright.
    """

    path: str
    height: int
    width: int
    turned: bool

    @property
    def stem(self) -> str:
        """Path without suffix."""
        return PurePosixPath(self.path).with_suffix("").as_posix()

    @property
    def name(self) -> str:
        """File name."""
        return PurePosixPath(self.path).name

    @property
    def size(self) -> str:
        """Columns × rows, in words."""
        return f"{self.width} × {self.height} px"


Find = Callable[[Picture], Mask | None]


def box(x: float, y: float, width: float, height: float, where: str) -> Outline:
    """Return the outline of a box; `where` names it in an error."""
    if not (width > 0 and height > 0):
        raise BrainsslError(f"{where} is a box without area; delete it or draw it anew")
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])


def filled(outline: Outline, picture: Picture, where: str) -> Mask:
    """Mark the pixels whose middle is inside, even-odd; in want of these, that of its own middle.

    x runs along the columns, y along the rows, both from the corner of the first pixel.
    """
    refuse_turned(picture, where)
    shape = np.array([picture.width, picture.height])
    if not (abs(outline / shape - 0.5) <= 0.5 + _OUTSIDE).all():
        raise BrainsslError(
            f"{where} leaves {picture.path}, {picture.size}; COCO counts in pixels, YOLO in shares "
            "of the sides"
        )
    middles = np.arange(picture.height) + 0.5
    crossed = np.zeros((picture.height, picture.width + 1), bool)
    for (x, y), (next_x, next_y) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        rows = np.flatnonzero((y <= middles) != (next_y <= middles))
        at = x + (middles[rows] - y) * (next_x - x) / (next_y - y)
        # The first pixel whose middle is not left of the crossing.
        crossed[rows, np.ceil(at - 0.5).clip(0, picture.width).astype(int)] ^= True
    inside = np.logical_xor.accumulate(crossed, axis=1)[:, :-1]
    if not inside.any():
        column, row = ((outline.min(0) + outline.max(0)) / 2).clip(0, shape - 1).astype(int)
        inside[row, column] = True
    return np.asarray(inside)


def refuse_turned(picture: Picture, where: str) -> None:
    """Raise BrainsslError for annotations of an image that its EXIF tag turns."""
    if picture.turned:
        raise BrainsslError(
            f"{where}: {picture.path} is turned upright by its EXIF tag, and annotations count in "
            "the pixels of the file; save it upright, or give masks of the upright image"
        )

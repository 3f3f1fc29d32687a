"""Text that was burned into a picture, told by the picture alone.

Letters are small patches of one brightness on even ground, side by side, of one height and on one
line, apart from the head. That is the reasoning of connected-component methods for text in images
(Jain and Yu 1998; Epshtein, Ofek and Wexler 2010), with thresholds chosen on simulated text and on
one public collection; `benchmarks/burned_in_text.py` measures what they find.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32
from scipy import ndimage

TEXT = "text in the picture"
"""Flag of an image in which text was found."""

LETTERS = 4
"""Letters that a line has at least: a single R or L names nobody."""

_LEVEL = 0.3  # of the picture's range, from which a pixel may belong to a letter
_LEAST, _MOST = 4, 0.12  # height of a letter: pixels, and share of the picture's height
_LONGEST = 4.0  # width to height: letters may touch
_FULL = (0.2, 0.9)  # share of a letter's box that it fills; lone strokes aside
_LINE = 0.15  # of the height, by which the feet or the heads of two letters differ
_SHORTER = 0.6  # of two letters side by side: the shorter to the taller, as a is to d
_GAP = 1.2  # of the height, between two letters
_ALIKE = 0.25  # of brightness, by which the peaks of letters differ
_ABOUT, _GROUND = 3, 8  # pixels about a letter: how far, and how many of no letter at least
_EVEN = 0.15  # by which 9 in 10 of them differ from their median at most


@dataclass(frozen=True)
class _Letter:
    top: int
    bottom: int
    left: int
    right: int
    peak: float

    @property
    def height(self) -> int:
        return self.bottom - self.top


def lines(pixels: Float32[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Return where lines of text are, as boxes.

    Args:
        pixels: intensities in [0, 1].
    """
    found = np.zeros(pixels.shape, bool)
    patches = pixels >= _LEVEL
    rows = _in_rows(_letters(pixels, patches))
    if not rows:
        return found
    ground = ~ndimage.binary_dilation(patches, np.ones((3, 3)))  # soft rims are no part of it
    for row in rows:
        line = [letter for letter in row if _on_even_ground(pixels, ground, letter)]
        if len(line) >= LETTERS:
            found[_box(line)] = True
    return found


def shared(found: Sequence[Bool[np.ndarray, "h w"]]) -> list[bool]:
    """Tell which slices of a series have text: a line that more than half of them have there.

    Args:
        found: of each slice, as `lines` returns it.
    """
    if not found:
        return []
    often = np.zeros(found[0].shape, np.int64)
    for one in found:
        often += one
    common = often * 2 > len(found)
    return [bool((one & common).any()) for one in found]


def _letters(pixels: Float32[np.ndarray, "h w"], patches: Bool[np.ndarray, "h w"]) -> list[_Letter]:
    """Return the patches that may be letters by size and by how they fill their box."""
    labels, _ = ndimage.label(patches, np.ones((3, 3)))
    tallest = max(2 * _LEAST, _MOST * pixels.shape[0])
    found = []
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        rows, columns = box
        height, width = rows.stop - rows.start, columns.stop - columns.start
        if not (_LEAST <= height <= tallest and width <= _LONGEST * height):
            continue
        own = labels[box] == number
        full = np.count_nonzero(own) / own.size
        if width > 2 and not _FULL[0] <= full <= _FULL[1]:
            continue
        peak = float(pixels[box][own].max())
        found.append(_Letter(rows.start, rows.stop, columns.start, columns.stop, peak))
    return found


def _in_rows(letters: list[_Letter]) -> list[list[_Letter]]:
    """Chain letters from left to right; a letter is followed by the nearest that fits."""
    waiting, rows = sorted(letters, key=lambda one: (one.left, one.top)), []
    while len(waiting) >= LETTERS:
        row = [waiting.pop(0)]
        while (place := _next(row[-1], waiting)) is not None:
            row.append(waiting.pop(place))
        if len(row) >= LETTERS:
            rows.append(row)
    return rows


def _next(letter: _Letter, waiting: list[_Letter]) -> int | None:
    """Return which of the letters, sorted by their left edge, follows one; None if none does."""
    farthest = letter.right + _GAP * letter.height / _SHORTER + 3
    for place, other in enumerate(waiting):
        if other.left > farthest:
            return None
        if other.left >= letter.right and _follows(letter, other):
            return place
    return None


def _follows(letter: _Letter, other: _Letter) -> bool:
    shorter, taller = sorted((letter.height, other.height))
    near = max(1.0, _LINE * taller)
    apart = min(abs(other.bottom - letter.bottom), abs(other.top - letter.top))
    return (
        apart <= near
        and shorter >= _SHORTER * taller
        and other.left - letter.right <= max(3.0, _GAP * taller)
        and abs(other.peak - letter.peak) <= _ALIKE
    )


def _box(line: list[_Letter], margin: int = 0) -> tuple[slice, slice]:
    top, bottom = min(one.top for one in line), max(one.bottom for one in line)
    return (
        slice(max(0, top - margin), bottom + margin),
        slice(max(0, line[0].left - margin), line[-1].right + margin),
    )


def _on_even_ground(
    pixels: Float32[np.ndarray, "h w"], ground: Bool[np.ndarray, "h w"], letter: _Letter
) -> bool:
    """Tell whether what lies about a letter is of one brightness."""
    about = _box([letter], margin=_ABOUT)
    levels = pixels[about][ground[about]]
    if len(levels) < _GROUND:
        return False
    low, middle, high = np.quantile(levels, (0.05, 0.5, 0.95))
    return bool(high - middle <= _EVEN and middle - low <= _EVEN)

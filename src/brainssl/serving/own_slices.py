"""Slices at their own resolution, for who looks at them.

Nothing is clipped; the reader's window and the place in the square that the classifier sees come
with them, as numbers.
"""

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, UInt16
from PIL import Image

from brainssl.data.letterbox import Place, place_in_square
from brainssl.data.volumes.slices import Opened

LONGEST = 1024
"""Pixels of the longer side; a larger slice is reduced to that."""

_LEVELS = 65535
_FIELD = 4  # bytes of each number of a `Look`
_BELOW, _ABOVE = 1, 3  # widths of the window beside it, where values are no whole numbers


@dataclass(frozen=True, eq=False)
class OwnSlice:
    """A slice at its own resolution, turned as the classifier sees it.

    Attributes:
        pixels: levels 0..65535; a value is `slope` × level + `intercept`.
        slope: see above.
        intercept: see above.
        black: value that the reader makes 0.
        white: value that the reader makes 1.
        units: of values: those of the file after its rescaling, or the share of the way from black
            to white where the reader knows no more.
        spacing: mm between rows and between columns; None where that is not known.
        place: where the slice lies in the square that the classifier sees, in its pixels.
    """

    pixels: UInt16[np.ndarray, "h w"]
    slope: float
    intercept: float
    black: float
    white: float
    units: Literal["rescaled", "share"]
    spacing: tuple[float, float] | None
    place: Place


class Look:
    """Which slices of a request are wanted at their own resolution; several threads ask.

    Attributes:
        first: number of the first one of volumes, from 1.
        last: of the last one.
        left: pixels that they may still have together.
    """

    def __init__(self, first: int, last: int, left: int) -> None:
        self.first, self.last, self.left = first, last, left
        self._lock = threading.Lock()

    def wants(self, number: int | None) -> bool:
        """Tell whether a slice is among them; a picture is."""
        return number is None or self.first <= number <= self.last

    def take(self, pixels: int) -> bool:
        """Count pixels, unless there is no room for them."""
        with self._lock:
            if pixels > self.left:
                return False
            self.left -= pixels
            return True

    def packed(self) -> bytes:
        """Return it as bytes for a process that decodes."""
        numbers = (self.first, self.last, self.left)
        return b"".join(one.to_bytes(_FIELD, "big") for one in numbers)


NO_LOOK = bytes(3 * _FIELD)
"""In place of a packed `Look`, where no slice is wanted."""


def unpacked_look(packed: bytes) -> Look | None:
    """Return what `Look.packed` packed; None of `NO_LOOK`."""
    first, last, left = (
        int.from_bytes(packed[at : at + _FIELD], "big") for at in range(0, len(packed), _FIELD)
    )
    return Look(first, last, left) if last else None


def of_volume(
    opened: Opened, numbers: Iterable[int], size: int, look: Look | None
) -> list[OwnSlice | None]:
    """Return slices of a volume: those that are wanted, in order, as long as there is room.

    Args:
        opened: the volume.
        numbers: of its slices.
        size: side of the square that the classifier sees.
        look: which are wanted.
    """
    if look is None:
        return [None for _ in numbers]
    slope, intercept = _scale(opened)
    return [
        _of_volume(opened, number, slope, intercept, size)
        if look.wants(number) and look.take(_reduced_area(*opened.volume.samples.shape[1:]))
        else None
        for number in numbers
    ]


def of_picture(pixels: Float32[np.ndarray, "h w"], size: int, look: Look | None) -> OwnSlice | None:
    """Return a picture, read to [0, 1], if it is wanted and there is room."""
    if look is None or not look.take(_reduced_area(*pixels.shape)):
        return None
    levels = np.rint(_reduced(pixels).clip(0, 1) * _LEVELS).astype(np.uint16)
    height, width = pixels.shape
    place = place_in_square(height, width, size)
    return OwnSlice(levels, 1 / _LEVELS, 0.0, 0.0, 1.0, "share", None, place)


def _of_volume(opened: Opened, number: int, slope: float, intercept: float, size: int) -> OwnSlice:
    volume = opened.volume
    samples = volume.samples[number - 1]
    if volume.padding is not None:  # black, as the classifier sees it
        samples = np.where(volume.padding[number - 1], np.float32(intercept), samples)
    reduced = _reduced(samples)
    levels = np.rint((reduced.astype(np.float64) - intercept) / slope).clip(0, _LEVELS)
    spacing = None
    if volume.pixel_spacing is not None:
        rows, columns = (
            before / after for before, after in zip(samples.shape, reduced.shape, strict=True)
        )
        spacing = volume.pixel_spacing[0] * rows, volume.pixel_spacing[1] * columns
    return OwnSlice(
        levels.astype(np.uint16),
        slope,
        intercept,
        opened.window.low,
        opened.window.high,
        "rescaled",
        spacing,
        place_in_square(samples.shape[0], samples.shape[1], size, opened.field),
    )


def _scale(opened: Opened) -> tuple[float, float]:
    """Return slope and intercept of levels, one for the whole volume: exact of whole numbers."""
    samples, padding, window = opened.volume.samples, opened.volume.padding, opened.window
    measured = samples if padding is None else samples[~padding]
    if not measured.size:
        return 1.0, 0.0
    low, high = float(measured.min()), float(measured.max())
    if high - low <= _LEVELS and (measured == np.rint(measured)).all():
        return 1.0, low
    width = window.high - window.low
    if width > 0:  # one spike must not cost all others their levels
        low, high = max(low, window.low - _BELOW * width), min(high, window.high + _ABOVE * width)
    return (high - low) / _LEVELS or 1.0, low


def _reduced(pixels: Float32[np.ndarray, "h w"]) -> Float32[np.ndarray, "h2 w2"]:
    height, width = _reduced_shape(*pixels.shape)
    if (height, width) == pixels.shape:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), np.float32)


def _reduced_shape(height: int, width: int) -> tuple[int, int]:
    scale = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _reduced_area(height: int, width: int) -> int:
    return math.prod(_reduced_shape(height, width))


def listed(own: OwnSlice | None) -> list[Any] | None:
    """Return what is told of a slice beside its pixels, for JSON."""
    if own is None:
        return None
    shape, units = list(own.pixels.shape), own.units
    return [shape, own.slope, own.intercept, own.black, own.white, units, own.spacing, own.place]


def unlisted(told: Sequence[Any], data: memoryview) -> OwnSlice:
    """Return the slice that `listed` told of, with pixels from the beginning of `data`.

    Raises:
        ValueError: it is none, or there are too few pixels.
    """
    (height, width), *numbers, units, spacing, place = told
    if not (1 <= height <= LONGEST and 1 <= width <= LONGEST) or units not in ("rescaled", "share"):
        raise ValueError("no slice")
    slope, intercept, black, white = map(float, numbers)
    left, top, wide, tall = map(float, place)
    millimetres = None if spacing is None else (float(spacing[0]), float(spacing[1]))
    every = (slope, intercept, black, white, *(millimetres or ()), left, top, wide, tall)
    if not all(map(math.isfinite, every)):
        raise ValueError("no numbers")
    pixels = np.frombuffer(data, np.uint16, height * width).reshape(height, width).copy()
    place = Place(left, top, wide, tall)
    return OwnSlice(pixels, slope, intercept, black, white, units, millimetres, place)

"""Which slices are asked for, and how the service tells one at its own resolution."""

import base64
import re

import numpy as np

from brainssl.serving.answers import Place, Slice, Slices, Unread
from brainssl.serving.faults import Fault
from brainssl.serving.own_slices import OwnSlice
from brainssl.serving.reading import Found
from brainssl.serving.volumes import Seen

NUMBERS = r"^[0-9]{1,6}(-[0-9]{1,6})?$"
"""How numbers of slices are asked for: one, or the first and the last."""


def numbers_asked(asked: str | None) -> range:
    """Return the numbers of slices that a request asks for; without any, all.

    Raises:
        Fault: it asks for none.
    """
    if asked is None:
        return range(1, 10**6)
    if re.fullmatch(NUMBERS, asked):
        first, _, last = asked.partition("-")
        if 1 <= int(first) <= int(last or first):
            return range(int(first), int(last or first) + 1)
    raise Fault(422, "`slices` is a number from 1, or the first and the last: 3-40")


def those_of(found: Found, numbers: range) -> Found:
    """Leave out slices of volumes that have other numbers.

    Raises:
        Fault: there is none left.
    """
    kept = [
        (name, one)
        for name, one in found
        if isinstance(one, Unread) or one.number is None or one.number in numbers
    ]
    if not any(isinstance(one, Seen) for _, one in kept):
        raise Fault(422, "there is no slice of the numbers that `slices` asks for")
    return kept


def told_slices(found: Found, size: int) -> Slices:
    """Return the answer for slices; `size` is the side of the square that the classifier sees."""
    told = [
        one if isinstance(one, Unread) else _told(name, one.number, one.own, size)
        for name, one in found
        if isinstance(one, Unread) or one.own
    ]
    return Slices(slices=told, left_out=len(found) - len(told))


def _told(file: str, number: int | None, own: OwnSlice | None, size: int) -> Slice:
    assert own is not None
    height, width = own.pixels.shape
    left, top, wide, tall = own.place
    return Slice(
        file=file,
        slice=number,
        width=width,
        height=height,
        pixels=base64.b64encode(np.ascontiguousarray(own.pixels, "<u2").data).decode("ascii"),
        slope=own.slope,
        intercept=own.intercept,
        black=own.black,
        white=own.white,
        units=own.units,
        spacing=None if own.spacing is None else list(own.spacing),
        place=Place(left=left, top=top, width=wide, height=tall),
        size=size,
    )

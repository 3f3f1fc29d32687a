"""Field of view: the square of a slice, of so many millimetres, that is seen in place of all of it.

So a centimetre is as many pixels in slices of every scanner. One square serves all slices of a
volume, so that neighbours stay in register.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FIELD = "field_of_view"
"""Fact of a store and of the models that learn from it: millimetres, absent for whole slices."""

LEAST_MM, MOST_MM = 10.0, 1000.0
"""Between these a field of view may be asked for."""

MOST_PIXELS = 4096
"""A field that spans more pixels of a slice is refused: its header may be wrong."""

HEAD_CUT = "head cut"
"""Flag of a slice of a volume whose head is larger than the field of view."""

NO_MILLIMETRES = "nothing says how large its pixels are"
"""Why a volume has no field of view; it is refused where one is asked for."""


@dataclass(frozen=True)
class Field:
    """A rectangle of a slice, in its pixels, that may reach beyond it; in millimetres a square.

    Attributes:
        top: its upper border; 0 is the upper border of the first row, 1 its lower one.
        left: its left border, likewise.
        height: rows that it spans.
        width: columns.
    """

    top: float
    left: float
    height: float
    width: float


@dataclass(frozen=True)
class HeadBox:
    """The rectangle that holds the head in all slices of a volume, by its borders in pixels."""

    top: float
    left: float
    bottom: float
    right: float

    def is_cut(self, field: Field) -> bool:
        """Tell whether the head is larger than a field."""
        return self.bottom - self.top > field.height or self.right - self.left > field.width


def field_about(
    head: HeadBox, spacing: tuple[float, float], mm: float, *, from_top: bool = False
) -> Field:
    """Return the square of so many millimetres whose middle is that of the head.

    Args:
        head: in pixels.
        spacing: mm between rows and between columns.
        mm: side of the square.
        from_top: whether what is longer than the square, head and neck of slices that show both,
            is cut below alone.
    """
    height, width = (mm / each for each in spacing)
    top, left = (head.top + head.bottom - height) / 2, (head.left + head.right - width) / 2
    return Field(min(top, head.top) if from_top else top, left, height, width)


def field_in(facts: Mapping[str, Any]) -> float | None:
    """Return the field of view in mm that a store's or model's facts hold; None: whole slices."""
    told = facts.get(FIELD)
    return None if told is None else float(told)


def told_field(mm: float) -> str:
    """Return words for a field of view."""
    return f"cropped or padded about the head to a square of {mm:g} mm"


def refusal_of_picture(mm: float) -> str:
    """Say why a picture is not read where a field of view is asked for."""
    return (
        "is a picture, which says nothing of millimetres, and the classifier has learnt slices "
        f"{told_field(mm)}: give DICOM or NIfTI"
    )

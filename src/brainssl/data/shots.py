"""A label fraction: a share of the training labels, or so many of each class."""

import re


class Shots(str):
    """So many images of each class, written as "8-shot".

    As text it goes into files and names as it is. Shots are ordered by how many they are, and come
    before every share of the labels.

    Attributes:
        each: images of each class.
    """

    each: int

    def __new__(cls, each: int) -> "Shots":
        """Make "8-shot" of 8."""
        made = super().__new__(cls, f"{each}-shot")
        made.each = each
        return made

    def __lt__(self, other: object) -> bool:
        return self.each < other.each if isinstance(other, Shots) else True

    def __gt__(self, other: object) -> bool:
        return self.each > other.each if isinstance(other, Shots) else False

    def __le__(self, other: object) -> bool:
        return not self > other

    def __ge__(self, other: object) -> bool:
        return not self < other

    def __format__(self, how: str) -> str:
        """Return "8-shot", also where a share would be written by "g"."""
        return super().__format__(how.removesuffix("g"))

    def __getnewargs__(self) -> tuple[int]:  # type: ignore[override]
        return (self.each,)


LabelFraction = float | Shots


def label_fraction(value: float | str) -> LabelFraction:
    """Read a label fraction: a number, its text, or K-shot.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, Shots):
        return value
    if isinstance(value, str) and (found := re.fullmatch(r"0*([1-9]\d{0,5})-shot", value.strip())):
        return Shots(int(found[1]))
    return float(value)

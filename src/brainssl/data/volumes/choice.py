"""Which slices of a volume are taken: all that show the brain, every n-th, or so many of them."""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from brainssl.foundation.errors import BadUseError


@dataclass(frozen=True)
class Choice:
    """Which of the slices with brain are taken; by default all.

    Attributes:
        count: so many at most, evenly spread.
        every: every n-th, from the first one on.
    """

    count: int | None = None
    every: int = 1

    def of(self, shown: Bool[np.ndarray, " slices"]) -> tuple[int, ...]:
        """Return the numbers, from 1 and ascending, of the slices to take.

        Args:
            shown: which slices show the brain. Where none does, none is taken.
        """
        numbers = np.flatnonzero(shown)[:: self.every] + 1
        if self.count is not None and self.count < len(numbers):
            # The middles of equal parts: neither end of the brain is favoured.
            middles = (2 * np.arange(self.count) + 1) * len(numbers) // (2 * self.count)
            numbers = numbers[middles]
        return tuple(numbers.tolist())

    def most(self, slices: int) -> int:
        """Return how many slices are taken at most of a volume with so many."""
        with_every = -(-slices // self.every)
        return with_every if self.count is None else min(self.count, with_every)

    def __str__(self) -> str:
        """Return it as `--slices` takes it."""
        return f"every:{self.every}" if self.count is None else str(self.count)


ALL = Choice()
"""All slices that show the brain."""


def read_choice(text: str | int | None) -> Choice:
    """Read a choice: a number of slices, `every:N`, or `all`.

    Raises:
        BadUseError: it is none of these.
    """
    words = str("all" if text is None else text).strip().lower()
    found = re.fullmatch(r"(every:)?0*([1-9]\d{0,5})", words)
    if words == "all":
        return ALL
    if found is None:
        raise BadUseError(f"--slices: {text!r} is no number of slices, such as 16, and no every:N")
    number = int(found[2])
    return Choice(every=number) if found[1] else Choice(count=number)

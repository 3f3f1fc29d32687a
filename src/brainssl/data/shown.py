"""A few small slices from the middle of a series, by which its header is checked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from brainssl.data.archives.archive import Told

SIDE = 64
"""Pixels a side."""

MOST = 12
"""Slices of a series."""


@dataclass(frozen=True)
class ShownSeries:
    """What a scan keeps of a series for the audit.

    Attributes:
        name: how the paths of its slices begin.
        sequence: as headers and names say.
        plane: likewise, or that in which it was resampled.
        images: slices, letterboxed.
    """

    name: str
    sequence: Told
    plane: Told
    images: UInt8[np.ndarray, "k side side"]


def middle(numbers: Sequence[int]) -> tuple[int, ...]:
    """Return at most `MOST` of the numbers of slices: evenly spread over their middle half.

    Towards the ends of the head all sequences look alike. Of few, those beyond the middle are
    taken, too, so that as many are looked at.
    """
    count = min(len(numbers), MOST)
    width = max(len(numbers) // 2, count)
    first = (len(numbers) - width) // 2
    at = np.linspace(first, first + width - 1, count).round().astype(int)
    return tuple(numbers[one] for one in at)

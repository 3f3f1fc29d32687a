"""Something that a reader should be careful about."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Caution:
    """Something that a reader should know before believing a number.

    `brief` is what of it speaks against the answer itself, in a few words; else it is empty.
    """

    severity: Literal["serious", "note"]
    text: str
    brief: str = ""

"""What each made-up scanner writes about its images, as hospitals differ in it."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Console:
    """How one scanner describes and stores what it takes.

    Attributes:
        site: The hospital in which it stands.
        model: Its model's name.
        words: Series description of each sequence; `{plane}` and `{number}` are filled in.
        planes: How it abbreviates axial, coronal and sagittal.
        tells_agent: Whether it notes the contrast agent in the header.
        signed: Whether it stores signed numbers that mean something only after rescaling.
    """

    site: str
    model: str
    words: Mapping[str, str]
    planes: tuple[str, str, str]
    tells_agent: bool
    signed: bool = False

    def description(self, sequence: str, plane: str, number: int) -> str:
        """What the scanner calls a series."""
        short = self.planes[("axial", "coronal", "sagittal").index(plane)]
        return self.words[sequence].format(plane=short, number=number)


_ENGLISH = ("AX", "COR", "SAG")
_GERMAN = ("tra", "cor", "sag")


def _words(t1: str, contrast: str, t2: str, flair: str) -> Mapping[str, str]:
    return {"T1": t1, "T1C+": contrast, "T2": t2, "FLAIR": flair}


_NAMELESS = _words(*["Series {number}"] * 4)
_PLAIN = _words("{plane} T1", "{plane} T1 +C", "{plane} T2", "{plane} FLAIR")
_LOWER = _words("t1_se_{plane}", "t1_se_{plane}_km", "t2_se_{plane}", "t2_flair_{plane}")
_UPPER = _words("T1W_SE_{plane}", "T1W_SE_{plane}_GD", "T2W_SE_{plane}", "FLAIR_{plane}")
_SPOKEN = _words("T1 {plane} pre", "T1 {plane} post", "T2 {plane}", "T2 {plane} FLAIR")

CONSOLES = {
    "A-1.5T": Console("north", "Phantom A", _PLAIN, _ENGLISH, tells_agent=True),
    "B-1.5T": Console("north", "Phantom B", _NAMELESS, _ENGLISH, tells_agent=True),
    "C-1.5T": Console("east", "Phantom C", _LOWER, _GERMAN, tells_agent=False, signed=True),
    "D-3T": Console("east", "Phantom D", _UPPER, _ENGLISH, tells_agent=True),
    "E-3T": Console("south", "Phantom E", _SPOKEN, _ENGLISH, tells_agent=False),
}
"""By the scanner's name."""

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
_NAMELESS = dict.fromkeys(("T1", "T1C+", "T2", "FLAIR"), "Series {number}")

CONSOLES = {
    "A-1.5T": Console(
        site="north",
        model="Phantom A",
        words={
            "T1": "{plane} T1",
            "T1C+": "{plane} T1 +C",
            "T2": "{plane} T2",
            "FLAIR": "{plane} FLAIR",
        },
        planes=_ENGLISH,
        tells_agent=True,
    ),
    "B-1.5T": Console(
        site="north",
        model="Phantom B",
        words=_NAMELESS,
        planes=_ENGLISH,
        tells_agent=True,
    ),
    "C-1.5T": Console(
        site="east",
        model="Phantom C",
        words={
            "T1": "t1_se_{plane}",
            "T1C+": "t1_se_{plane}_km",
            "T2": "t2_se_{plane}",
            "FLAIR": "t2_flair_{plane}",
        },
        planes=_GERMAN,
        tells_agent=False,
        signed=True,
    ),
    "D-3T": Console(
        site="east",
        model="Phantom D",
        words={
            "T1": "T1W_SE_{plane}",
            "T1C+": "T1W_SE_{plane}_GD",
            "T2": "T2W_SE_{plane}",
            "FLAIR": "FLAIR_{plane}",
        },
        planes=_ENGLISH,
        tells_agent=True,
    ),
    "E-3T": Console(
        site="south",
        model="Phantom E",
        words={
            "T1": "T1 {plane} pre",
            "T1C+": "T1 {plane} post",
            "T2": "T2 {plane}",
            "FLAIR": "T2 {plane} FLAIR",
        },
        planes=_ENGLISH,
        tells_agent=False,
    ),
}
"""By the scanner's name."""

"""The MRI sequence that a name ends in."""

import re
from collections.abc import Iterable

SEQUENCES = ("T1", "T1C+", "T2", "FLAIR", "PD", "DWI", "ADC", "SWI")
"""Those that names are known to end in, in the order in which they are shown."""

_SEQUENCE = re.compile(
    r"(?:^|[\s_\-./(])"
    r"(?:(?P<contrast>T1[\s_-]*(?:C\s*\+|\+\s*C|C|\+|CE|Gd|post))|(?P<t1>T1[wn]?)"
    r"|(?P<flair>(?:T2[\s_-]*)?FLAIR|T2f)|(?P<t2>T2w?)|(?P<other>PD|DWI|ADC|SWI))\)?\s*$",
    re.IGNORECASE,
)
_KINDS = {"contrast": "T1C+", "t1": "T1", "t2": "T2", "flair": "FLAIR"}


def is_sequence(name: str) -> bool:
    """Tell whether a name is that of a sequence and nothing else, such as `T1ce` or `flair`."""
    return _SEQUENCE.fullmatch(name) is not None and name.casefold() != "pd"


def sequence_of(*names: str | None) -> str | None:
    """Return the MRI sequence that the first telling name ends in: such as "T1", "T1C+" or "FLAIR".

    Spellings such as `T1ce`, `T1 Gd`, `T1+C`, and BraTS's `t1c`, are T1C+; BraTS's `t1n` is T1 and
    its `t2f` FLAIR, BIDS's `T1w` and `T2w` are T1 and T2. None where no name ends in a sequence.
    `PD` alone is Parkinson's disease more often than a proton density.
    """
    for name in names:
        found = _SEQUENCE.search(name) if name else None
        if found and found[0].strip().casefold() != "pd":
            kind = str(found.lastgroup)
            return _KINDS.get(kind, found[kind].upper())
        if found and name and found.start() > 0:
            return "PD"
    return None


def as_sequence(name: str) -> str:
    """Return the name of a sequence in one spelling, others as they are: `t1n` and `T1w` are T1."""
    return (sequence_of(f"x {name}") or name) if _SEQUENCE.fullmatch(name) else name


def family_and_sequence(name: str) -> tuple[str, str]:
    """Return "Glioma", "T1C+" of "Glioma T1ce"; the whole name and "" where no sequence ends it.

    A name that is that of a sequence and nothing else names no family without it: it stays whole.
    """
    found = _SEQUENCE.search(name)
    family = name[: found.start()].rstrip(" _-./(") if found else ""
    return (family, sequence_of(name) or "") if family else (name, "")


def in_order(sequences: Iterable[str]) -> list[str]:
    """Return distinct sequences: known ones as in `SEQUENCES`, then others by name."""
    place = {name: at for at, name in enumerate(SEQUENCES)}
    return sorted(set(sequences), key=lambda name: (place.get(name, len(place)), name))

"""Several lines of evidence into one: agreement raises confidence, contradiction lowers it."""

import math
from collections.abc import Iterable

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.contrast import NATIVE

MOST = 0.99
"""The highest confidence: no header is certain."""


def combined(*told: Told) -> Told:
    """Return what several independent statements say together.

    Those of one value agree: together they are wrong only if each of them is, 1 - prod(1 - c). Of
    contradicting values the one stands whose confidence is highest, lowered to
    `c prod(1 - d) / (c prod(1 - d) + sum of the same for each other value + prod of all (1 - c))`:
    either one of them is right and the others wrong, or none is. The others' evidence goes to
    `against`. A T1 that does not say that no agent was given agrees with a T1C+, which says more.

    Args:
        told: unknown with a confidence above 0 is a statement too (it is something else, such as
            a localiser); with 0 it says nothing, but its evidence is kept.
    """
    supporters: dict[str, list[Told]] = {}
    for one in told:
        if _sure(one) > 0:
            supporters.setdefault(one.value, []).append(one)
    if "T1C+" in supporters and "T1" in supporters:
        silent = [one for one in supporters["T1"] if not _says_native(one)]
        supporters["T1"] = [one for one in supporters["T1"] if _says_native(one)]
        if not supporters["T1"]:
            del supporters["T1"]
        # The weighting is agreed on, the agent is not: it stays as sure as it was.
        supporters["T1C+"] += [Told("T1C+", 0.0, one.evidence, one.against) for one in silent]
    nothing = [one for one in told if _sure(one) == 0]
    if not supporters:
        return Told(UNKNOWN, 0.0, _all(one.evidence for one in nothing))
    wrong = {
        value: math.prod(1 - min(_sure(one), MOST) for one in own)
        for value, own in supporters.items()
    }
    best = min(wrong, key=lambda value: wrong[value])
    weight = {value: (1 - own) / own for value, own in wrong.items()}
    return Told(
        best,
        round(min(MOST, weight[best] / (1 + sum(weight.values()))), 4),
        _all(one.evidence for one in [*supporters[best], *nothing]),
        _all(
            [
                *(one.against for one in supporters[best]),
                *(
                    one.evidence
                    for value, own in supporters.items()
                    if value != best
                    for one in own
                ),
            ]
        ),
    )


def _sure(one: Told) -> float:
    return min(1.0, max(0.0, one.confidence)) if math.isfinite(one.confidence) else 0.0


def _says_native(one: Told) -> bool:
    return any(line.startswith(NATIVE) for line in one.evidence)


def _all(lines: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for several in lines for line in several))

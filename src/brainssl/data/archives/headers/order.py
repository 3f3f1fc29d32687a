"""What the order of the series of one study says of a contrast agent: what was given stays."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from brainssl.data.archives.archive import Told
from brainssl.data.archives.headers.contrast import GIVEN, NATIVE, by_agent, by_words
from brainssl.data.archives.headers.facts import Header, Times, words

_AFTER = 0.75  # confidence in an agent that an earlier series of the study was given
_EQUAL = 0.05  # by how much times may differ between equal series


@dataclass(frozen=True)
class Taken:
    """One series of a study.

    Attributes:
        key: tells it from the others.
        time: when it was acquired, seconds since any moment that the study's series share; None
            where unknown.
        told: what header and names say of its sequence.
        header: as `sequence_from` takes it.
    """

    key: Hashable
    time: float | None
    told: Told
    header: Header


def contrast_by_time(study: Sequence[Taken]) -> dict[Hashable, Told]:
    """Return the sequences of a study's series, amended by the order in which they were taken.

    - A T1 of which nobody says whether an agent was given is T1C+ if it was taken after a series
      that was given one.
    - Of two T1C+ of equal TR, TE, TI, angle and plane whose only evidence is the header's agent,
      the first may have been taken before it: that goes to `against`, and its confidence is halved.

    A delayed scan of another day begins another study. Series of unknown time stay as they are.

    Args:
        study: its series, in any order.
    """
    found: dict[Hashable, Told] = {one.key: one.told for one in study}
    timed = sorted((one for one in study if one.time is not None), key=lambda one: one.time or 0.0)
    agents = [one.time for one in timed if one.time is not None and _was_given(one)]
    for at, one in enumerate(timed):
        later = timed[at + 1 :]
        if (
            one.told.value == "T1"
            and _is_silent(one.told)
            and agents
            and (one.time or 0.0) > agents[0]
        ):
            found[one.key] = _amended(one.told)
        elif _by_field_alone(one.told) and any(
            _by_field_alone(other.told) and _equal(one.header, other.header) for other in later
        ):
            found[one.key] = replace(
                one.told,
                confidence=round(one.told.confidence / 2, 4),
                against=(*one.told.against, "order: an equal series was taken later"),
            )
    return found


def _was_given(one: Taken) -> bool:
    """Tell whether a series was given an agent, whatever its weighting.

    Perfusion is left out: its bolus may come first, or it is labelled blood and no agent at all.
    """
    if any(line.startswith(NATIVE) for line in (*one.told.evidence, *one.told.against)):
        return False
    if any(line.startswith(GIVEN) for line in one.told.evidence):
        return True
    return (
        by_agent(one.header).given is True
        and not by_words(words(one.header.get("SeriesDescription"))).given
    )


def _is_silent(told: Told) -> bool:
    lines = (*told.evidence, *told.against)
    return not any(line.startswith((NATIVE, GIVEN)) for line in lines)


def _by_field_alone(told: Told) -> bool:
    given = [line for line in told.evidence if line.startswith(GIVEN)]
    return told.value == "T1C+" and bool(given) and not any("word:" in line for line in given)


def _amended(told: Told) -> Told:
    evidence = f"{GIVEN}order: taken after a series that was given one"
    kept = tuple(line for line in told.evidence if not line.startswith("nobody says"))
    return Told(
        "T1C+", round(min(told.confidence, 1.0) * _AFTER, 4), (*kept, evidence), told.against
    )


def _equal(left: Header, right: Header) -> bool:
    """Tell whether two series were taken alike."""
    one, other = Times.of(left), Times.of(right)
    pairs = ((one.tr, other.tr), (one.te, other.te), (one.ti, other.ti), (one.flip, other.flip))
    for a, b in pairs:
        if (a is None) != (b is None):
            return False
        if a is not None and b is not None and abs(a - b) > _EQUAL * max(a, b):
            return False
    return one.tr is not None and left.get("ImageOrientationPatient") == right.get(
        "ImageOrientationPatient"
    )

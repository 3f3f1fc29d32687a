"""The sequence that a description names: one line of evidence, blind to the physics."""

import re

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.vocabulary import (
    B_VALUE,
    DARK_FLUID,
    DIFFUSION,
    DUAL,
    FLAIR,
    INVERSION,
    MP2RAGE,
    OTHERS,
    PD,
    PD_SURE,
    STEADY_STATE,
    SUSCEPTIBILITY,
    T1,
    T1_NAMES,
    T2,
    T2_STAR,
    UNIFORM,
    WEIGHTED,
    plain,
)

DUAL_ECHO = "PD or T2"
"""Value of a description that names a double echo: the echo time decides."""

_PD_ABOVE, _T2_BELOW = 45.0, 60.0  # ms: echoes of a double echo


def named(text: str) -> Told:
    """Return what a description says: T1 (contrast aside), T2, FLAIR, PD, DWI, SWI, or unknown.

    Unknown with a confidence above 0 is something else, and the evidence says what; with 0 nothing
    is said. Of a double echo the value is `DUAL_ECHO`.
    """
    words = plain(text)
    for reading in (_diffusion, _other, _flair, _susceptibility, _star, _weighting, _vendor):
        told = reading(words)
        if told is not None:
            return told
    return Told()


def by_echo(told: Told, te: float | None) -> Told:
    """Return what a double echo is by its echo time, ms; anything else as it is."""
    if told.value != DUAL_ECHO:
        return told
    if te is None or _PD_ABOVE < te < _T2_BELOW:
        return Told(UNKNOWN, 0.0, (*told.evidence, "no echo time tells which of the two"))
    value = "PD" if te <= _PD_ABOVE else "T2"
    return Told(value, 0.85, (*told.evidence, f"TE {te:.4g}: the echo of {value}"))


def _word(keyword: str) -> tuple[str, ...]:
    return (f"word: {keyword}",)


def _diffusion(words: str) -> Told | None:
    values = {int(found) for found in B_VALUE.findall(words)}
    if DIFFUSION.search(words):  # "b0-1000": only the first has its letter
        values |= {int(found) for found in re.findall(r"(?<![a-z0-9])(\d{2,3}[05]0)(?!\d)", words)}
    values = {value for value in values if value == 0 or 40 <= value <= 10_000}
    if _found_other(words, ("ADC", "FA", "field map", "MIP", "perfusion", "functional")):
        return None
    if not DIFFUSION.search(words):
        if values and re.search(r"(?<![a-z])\*?ep[ 2]", words):
            return _by_b(values, ())
        if values and max(values) >= 400:
            return Told("DWI", 0.7, (f"word: b {max(values)}",))
        return None
    return _by_b(values, _word("diffusion")) if values else Told("DWI", 0.92, _word("diffusion"))


def _by_b(values: set[int], evidence: tuple[str, ...]) -> Told:
    if values == {0}:
        return Told(UNKNOWN, 0.8, (*evidence, "word: b 0: T2-weighted echo-planar, not diffusion"))
    return Told("DWI", 0.92, (*evidence, f"word: b {max(values)}"))


def _found_other(words: str, keywords: tuple[str, ...]) -> bool:
    return any(term.keyword in keywords and term.pattern.search(words) for term in OTHERS)


def _other(words: str) -> Told | None:
    for term in OTHERS:
        if not term.pattern.search(words):
            continue
        if term.keyword == "field map" or not (term.keyword == "phase image" and T1.search(words)):
            return Told(UNKNOWN, term.confidence, (f"word: {term.keyword}: {term.what}",))
    return None


def _flair(words: str) -> Told | None:
    fluid = FLAIR.search(words)
    if not fluid and not DARK_FLUID.search(words):
        return None
    keyword = "FLAIR" if fluid else "dark fluid"
    # An inversion that darkens fluid in a T1-weighted spin echo leaves it T1-weighted.
    if T1.search(words) and not T2.search(words):
        return Told("T1", 0.88, (f"word: T1 {keyword}",))
    return Told("FLAIR", 0.94 if fluid else 0.88, _word(keyword))


def _susceptibility(words: str) -> Told | None:
    return Told("SWI", 0.92, _word("susceptibility")) if SUSCEPTIBILITY.search(words) else None


def _star(words: str) -> Told | None:
    if not T2_STAR.search(words) or T1.search(words):
        return None
    told = "word: T2*: a gradient echo, none of the sequences that are told"
    return Told(UNKNOWN, 0.88, (told,))


def _weighting(words: str) -> Told | None:
    t1, t2, pd = (bool(pattern.search(words)) for pattern in (T1, T2, PD))
    if not t1 and (pd + t2 + bool(DUAL.search(words)) > 1):
        return Told(DUAL_ECHO, 0.0, _word("PD and T2"))
    if t1 and t2:
        return Told(UNKNOWN, 0.0, _word("T1 and T2"))
    sure = bool(WEIGHTED.search(words))
    if t2:
        return _t2(words, sure)
    if t1:
        return Told("T1", 0.9 if sure else 0.75, _word("T1"))
    if pd:  # alone it may be Parkinson's disease
        return Told("PD", 0.88 if PD_SURE.search(words) else 0.65 if sure else 0.4, _word("PD"))
    return None


def _t2(words: str, sure: bool) -> Told:
    if STEADY_STATE.search(words):
        against = ("word: steady state: weighted by T2 and T1 at once",)
        return Told("T2", 0.5, _word("T2"), against)
    if INVERSION.search(words):
        told = "word: inversion recovery: its inversion time tells FLAIR from a dark fat"
        return Told(UNKNOWN, 0.0, (*_word("T2"), told))
    return Told("T2", 0.9 if sure else 0.75, _word("T2"))


def _vendor(words: str) -> Told | None:
    if MP2RAGE.search(words):
        if UNIFORM.search(words):
            return Told("T1", 0.88, _word("MP2RAGE, uniform image"))
        return Told(UNKNOWN, 0.93, ("word: MP2RAGE: one inversion of two, no plain weighting",))
    if STEADY_STATE.search(words):
        told = "word: steady state: weighted by T2 and T1 at once"
        return Told(UNKNOWN, 0.8, (told,))
    for keyword, pattern, confidence in T1_NAMES:
        if pattern.search(words):
            return Told("T1", confidence, _word(keyword))
    return None

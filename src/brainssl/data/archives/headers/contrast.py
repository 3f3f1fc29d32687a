"""Whether a contrast agent was given, by what a header says of it and by words of a description."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from brainssl.data.archives.headers.facts import Header, numbers, words
from brainssl.data.archives.headers.vocabulary import plain, whole

NATIVE = "no contrast agent: "
"""How evidence begins that says that none was given; silence is not evidence."""
GIVEN = "contrast agent: "
"""How evidence begins that says that one was given."""

_AGENT = (
    r"(?:gd|gad|gado\w*|km|kontrast\w*|contrast\w*|mdc|kontrastmittel|cm|ce|inj\w*|injection|c)"
)
_TREATED = (
    r"op\w*|surg\w*|treat\w*|rt|radi\w*|chemo\w*|traum\w*|ictal|mortem|proc\w*|natal|partum|fossa"
    r"|biops\w*|resec\w*|ther\w*|stroke|covid|ecv|dbs|embol\w*"
)
_BOTH = whole(
    r"wwo|plusminus ?\w*|with (?:and|&|\+) ?without\w*|without (?:and|\+) ?with\w*|mit und ohne"
    r"|ohne und mit|(?:sin|con) [ye] (?:con|sin)|(?:sem|com) e (?:com|sem)|avec et sans"
    r"|sans et avec"
    r"|senza e con|pre (?:and|und|e|y|et|\+)? ?post|nativ\w* (?:und|\+) ?(?:km|gd)"
)
_NATIVE = (
    ("without", rf"(?:without|w o|wo|no|non|ohne|vor|sin|sans|avant|senza|sem|zonder|voor)[ -]"
     rf"{_AGENT}(?![a-z])"
     rf"|(?:non|no|un)[ -]?(?:contrast\w*|enhanced)|(?:without|wo|ohne)$"
     rf"|prima (?:del|di) (?:mdc|gd)"
     rf"|antes (?:de[l]? )?(?:contraste|gd)"),
    ("pre", rf"pre[ -]?{_AGENT}(?![a-z])|pre(?![ -]?(?:{_TREATED}))"),
    ("native", r"nativ\w*|natif|plain|blanco|blanko|basal|unenhanced|平扫|造影前|単純"),
    ("C-", r"(?:t1\w*)?c-|-c|-gd|(?:gd|gad|gado|km)-"),
)  # fmt: skip
_POST = (
    ("+C", r"\w*\+ ?c|\w* ?c ?\+|\w*\+ ?(?:gd|gad|gado\w*|km|kontrast|mdc)|(?:gd|gad|km)\+"),
    ("Gd", r"(?:t1w?|post|cor|ax|sag|tra)?[ -]?(?:gd|gad|gado\w*|gadd?|dtpa|dotarem)"),
    ("KM", r"(?:nach|mit|post|n)?[ -]?km|kontrast\w*"),
    ("CE", r"ce|t1w?-?(?:ce|c)|enhanced|cemra|kontrastverst\w*"),
    ("contrast", r"(?:with|con|com|avec|met|na|post|w)?[ -]?(?:contrast\w*|mdc)|civ"
     r"|增强\w*|造影\w*"),
    ("injection", r"(?:post|apres|avec)?[ -]?(?:injecte\w*|injec?tion|inj)"),
    ("post", rf"post(?![ -]?(?:{_TREATED}))|postgad\w*|postcon\w*|post(?:gd|km)"),
)  # fmt: skip
_NATIVE_TERMS = tuple((keyword, whole(pattern)) for keyword, pattern in _NATIVE)
_POST_TERMS = tuple((keyword, whole(pattern)) for keyword, pattern in _POST)
# What looks like an agent and is none.
_NO_AGENT = whole(
    rf"post[ -]?(?:{_TREATED})|pre[ -]?(?:{_TREATED})|c ?-?(?:spine|arm|sp)|phase contrast\w*|pc"
    r"|enhanced mr|swi\w* enhanced|contrast ratio|high contrast|soft tissue contrast"
    r"|(?:t2\*?|magnetization|diffusion|susceptibility) contrast"
)

_NO = re.compile(
    r"(?:no|none|non|nil|null|n|na|n a|0+|nein|ohne\b.*|kein\w*\b.*|without\b.*"
    r"|no\b.*contrast.*|nativ\w*|-+"
    r"|sin\b.*|sans\b.*|senza\b.*|sem\b.*|nao|nee|geen\b.*|aucun\w*|nessun\w*|ningun\w*|not .*"
    r"|unknown"
    r"|false|f|pre)"
)
_AGENTS = re.compile(
    r"gad\w*|gd\b|\w*dota\w*|dotarem|\w*vist\b|multihance|omniscan|prohance|clariscan|elucirem"
    r"|vueway"
    r"|artirem|cyclolux|magnegita|vasovist|ablavar|feraheme|km\b|y\b|yes|ja\b|oui|si\b|sim\b|true|iv\b"
    r"|contrast|\d+(?:[.,]\d+)? ?(?:ml|cc)"
)  # fmt: skip


@dataclass(frozen=True)
class Contrast:
    """What one line of evidence says of a contrast agent.

    Attributes:
        given: whether one was given; None where nothing is said.
        confidence: 0 to 1.
        evidence: in words.
    """

    given: bool | None = None
    confidence: float = 0.0
    evidence: str = ""


def by_words(texts: Iterable[str]) -> Contrast:
    """Return what the first telling of several descriptions says."""
    for text in texts:
        found = _of_words(plain(text))
        if found.given is not None:
            return found
    return Contrast()


def _of_words(text: str) -> Contrast:
    if _BOTH.search(text):  # the name of an examination, not of a series
        return Contrast()
    text = _NO_AGENT.sub(" ", text)
    for keyword, pattern in _NATIVE_TERMS:
        if pattern.search(text):
            return Contrast(False, 0.9, f"{NATIVE}word: {keyword}")
    for keyword, pattern in _POST_TERMS:
        if pattern.search(text):
            return Contrast(True, 0.9, f"{GIVEN}word: {keyword}")
    return Contrast()


def by_agent(header: Header) -> Contrast:
    """Return what a header's fields of the agent say; they are filled in by hand, and may lie."""
    told = words(header.get("ContrastBolusAgent")) + words(header.get("ContrastBolusIngredient"))
    for text in told:
        flat = plain(text).strip(" -+*") or "-"
        if _NO.fullmatch(flat):
            return Contrast(False, 0.6, f"{NATIVE}the header's agent is none")
        if _AGENTS.match(flat):
            return Contrast(True, 0.8, f"{GIVEN}the header names one")
    if told:
        return Contrast(True, 0.6, f"{GIVEN}the header names something that is not known as one")
    if _items(header.get("ContrastBolusAgentSequence")):
        return Contrast(True, 0.75, f"{GIVEN}the header has an entry of one")
    volume = numbers(header.get("ContrastBolusVolume"))
    if volume and 0 < volume[0] < 200:
        return Contrast(True, 0.7, f"{GIVEN}the header's volume is {volume[0]:.4g} ml")
    return Contrast()


def _items(value: object) -> bool:
    """Tell whether a sequence of the header names an agent in one of its items."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        return False
    for item in value:
        meaning = item.get("CodeMeaning") if isinstance(item, Mapping) else None
        meaning = getattr(item, "CodeMeaning", meaning)
        if not (isinstance(meaning, str) and _NO.fullmatch(plain(meaning) or "-")):
            return True
    return False

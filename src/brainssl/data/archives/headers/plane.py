"""The plane of a series, by the cosines of its rows and columns or by words."""

import math
import re
from collections.abc import Sequence

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.combining import MOST
from brainssl.data.archives.headers.facts import numbers
from brainssl.data.archives.headers.vocabulary import plain

PLANES = ("sagittal", "coronal", "axial")
"""In the order of the patient's axes to which they are perpendicular: left, back, head."""

_OBLIQUE = 15.0  # degrees from which a slice is called oblique
_CROOKED = 0.02  # cosine between rows and columns that rounding may make

_GLUED = r"(?:t[12]\w*|flair|[23]d|pd|dwi|swi|tse|fse|se)?"
_AFTER = r"(?:t[12]\w*|flair\w*|pd\w*|dwi\w*|swi\w*|tse|fse|se)?"
_WORDS = {
    "axial": r"(?:obl?|o|para)?(?:ax|axia\w*|axial\w*|assial\w*|tra|trans|trans?axial)"
    r"|(?:obl?|o|para)?tra(?:ns)?vers\w*",
    "coronal": r"(?:obl?|o|para)?(?:[ck]or(?:on\w*)?|frontal\w*)",
    "sagittal": r"(?:obl?|o|para)?sag(?:it\w*)?",
}
_CHINESE = {"axial": "轴位|横断|横轴|軸位|水平断", "coronal": "冠状", "sagittal": "矢状"}
_PATTERNS = {
    plane: re.compile(rf"(?<![a-z0-9]){_GLUED}(?:{words}){_AFTER}(?![a-z])|{_CHINESE[plane]}")
    for plane, words in _WORDS.items()
}
_SEVERAL = re.compile(r"(?<![a-z0-9])(?:3|three|tri)[ -]?(?:pl|plane|planar)(?![a-z])")
_REFORMATTED = re.compile(r"(?<![a-z0-9])(?:mpr|reformat\w*|recon\w*|rekon\w*)(?![a-z])")


def plane_from_orientation(orientation: Sequence[float]) -> Told:
    """Return the plane nearest to a slice by its direction cosines.

    With n the normal of the slice, the nearest plane is that of its largest component, and the
    confidence a² / (a² + b²) of the two largest components: 1 where it lies straight, 1/2 where it
    lies midway between two planes.

    Args:
        orientation: six cosines in the patient's axes (left, back, head): of a row, and of a
            column, as in `ImageOrientationPatient`.

    Returns:
        axial, coronal or sagittal; unknown where the six numbers are no two perpendicular
        directions.
    """
    cosines = numbers(orientation)
    if len(cosines) != 6:
        return Told(evidence=("orientation: not six numbers",) if cosines else ())
    row, column = cosines[:3], cosines[3:]
    lengths = math.hypot(*row), math.hypot(*column)
    along = sum(a * b for a, b in zip(row, column, strict=True))
    if not all(0.9 < length < 1.1 for length in lengths) or abs(along) > _CROOKED:
        return Told(evidence=("orientation: no two perpendicular directions",))
    normal = [
        row[1] * column[2] - row[2] * column[1],
        row[2] * column[0] - row[0] * column[2],
        row[0] * column[1] - row[1] * column[0],
    ]
    size = math.hypot(*normal)
    parts = sorted(((abs(one) / size, name) for one, name in zip(normal, PLANES, strict=True)))
    (second, other), (first, plane) = parts[1:]
    degrees = math.degrees(math.acos(min(1.0, first)))
    against: tuple[str, ...] = ()
    if degrees > _OBLIQUE:
        away = math.degrees(math.acos(min(1.0, second)))
        against = (f"orientation: oblique, {away:.0f} degrees from {other}",)
    return Told(
        plane,
        round(min(MOST, first**2 / (first**2 + second**2)), 4),
        (f"orientation: {degrees:.0f} degrees from {plane}",),
        against,
    )


def plane_from_words(words: str) -> Told:
    """Return the plane that a description names, in the languages of `vocabulary`.

    Of two planes the later one stands, with little confidence, where a reformatting is named; else
    neither does.
    """
    text = plain(words) if isinstance(words, str) else ""
    if _SEVERAL.search(text):
        return Told(evidence=("word: three planes",))
    found = {
        plane: [match.start() for match in pattern.finditer(text)]
        for plane, pattern in _PATTERNS.items()
    }
    named = [plane for plane, places in found.items() if places]
    if not named:
        return Told()
    if len(named) == 1:
        return Told(named[0], 0.85, (f"word: {named[0]}",))
    evidence = tuple(f"word: {plane}" for plane in named)
    if not _REFORMATTED.search(text):
        return Told(UNKNOWN, 0.0, evidence)
    last = max(named, key=lambda plane: found[plane][-1])
    others = tuple(f"word: {plane}" for plane in named if plane != last)
    return Told(last, 0.6, (f"word: {last}", "word: reformatted"), others)

"""Words by which hospitals and vendors name what a series is, in the languages they write."""

import re
import unicodedata
from dataclasses import dataclass

from brainssl.data.archives.archive import UNKNOWN

MOST_LETTERS = 400  # of one field that are read


@dataclass(frozen=True)
class Term:
    """A word that was looked for.

    Attributes:
        keyword: how it is quoted as evidence.
        pattern: finds it in text of `plain`.
        value: the sequence that it means; `UNKNOWN` where it is none of those that are told.
        what: what it means, in words.
        confidence: 0 to 1, where nothing else speaks.
    """

    keyword: str
    pattern: re.Pattern[str]
    value: str
    what: str
    confidence: float


def plain(text: str) -> str:
    """Return text without accents, capitals and separators: words with a space between.

    `+`, `*` and hyphens stay. `w/o`, `w/`, `s/` and `c/` are spelt out.
    """
    text = unicodedata.normalize("NFKD", text[:MOST_LETTERS])
    text = "".join(letter for letter in text if not unicodedata.combining(letter))
    text = re.sub(r"(?<![A-Za-z])m(in)?IP", r"M\1IP", text)
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).casefold()
    text = re.sub(r"\+\s*/\s*-|±|-\s*/\s*\+", " plusminus ", text)
    text = re.sub(r"(?<![a-z0-9])w\s*[/+&]?\s*(?:and)?\s*w\s*[/\s]?\s*o(?![a-z])", " wwo ", text)
    text = re.sub(r"(?<![a-z0-9])w\s*/\s*o(?![a-z])", " without ", text)
    text = re.sub(r"(?<![a-z0-9])w\s*/", " with ", text)
    text = re.sub(r"(?<![a-z0-9])s\s*/\s*(?=c|g)", " sem ", text)
    text = re.sub(r"(?<![a-z0-9])c\s*/\s*(?=c|g)", " com ", text)
    text = re.sub(r"[^\w+*-]|_", " ", text)
    return " ".join(text.split())


def whole(pattern: str) -> re.Pattern[str]:
    """Compile a pattern that matches whole words."""
    return re.compile(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])")


def _term(keyword: str, pattern: str, what: str, confidence: float = 0.9) -> Term:
    return Term(keyword, whole(pattern), UNKNOWN, what, confidence)


OTHERS = (
    _term(
        "localiser",
        r"(?:aa|ge)?\w*scout\w*|locali[sz]\w*|loc|survey|lokal\w*|reperage|pilote?(?! study)"
        r"|plan ?scan"
        r"|(?:3|three|tri)[ -]?(?:pl|plane|planar)(?: loc\w*)?|smart ?brain|topogram\w*|定位\w*"
        r"|位置決め\w*|ubersicht\w*",
        "a localiser",
        0.95,
    ),
    _term("calibration", r"calib\w*|cal|ref ?scan|asset\w*|shim\w*|pre ?scan|coil ?sens\w*"
          r"|kalib\w*", "a calibration"),
    _term("ADC", r"[ed]?adc\w*|apparent diffusion\w*|\w+ adc", "an ADC map", 0.95),
    _term("FA", r"(?:col)?fa(?: map)?(?! ?\d)|fractional aniso\w*|(?<!diffusion )tensor(?! imag)"
          r"|tracto\w*"
          r"|exp(?:onential)? ?(?:apparent|adc)\w*",
          "a map of diffusion", 0.85),
    _term("MIP", r"\w*mip|min ?ip|max ?ip|proje[ck]tion\w*|proyeccion", "a projection"),
    _term("subtraction", r"sub(?![ -]?\w)|subtra\w*|soustraction|sustrac\w*|sottraz\w*",
          "a subtraction"),
    _term("perfusion", r"perf|\w*perfu\w*|q?perf\w*|dsc|dce|[pc]*asl|(?:rel|r)? ?cb[fv]\w*|mtt|ttp"
          r"|tmax|pbp|gbp"
          r"|灌注\w*|灌流\w*", "perfusion"),
    _term("functional", r"(?<!ven )bold|fmri|rs ?fmri|resting(?: state)?|func|functional"
          r"|funktionell\w*"
          r"|fonction\w*|mo ?co(?: series)?", "functional"),
    _term("angiography", r"angio|\w*angiog\w*|tof|[23]d ?tof|m?tof ?\w*|mra|mrv|ce ?mra|cow|pc ?a"
          r"|pcmra"
          r"|venograph\w*|venograf\w*|phlebo\w*|[23]d ?pc|phase contrast|fl pc\w*|inhance\w*"
          r"|tricks|twist|血管\w*", "angiography"),
    _term("spectroscopy", r"mrs|svs\w*|csi\w*|spe[ck]tro\w*|espectro\w*|spettro\w*"
          r"|probe[ -]?[psi]\w*|mrsi|波谱", "spectroscopy"),
    _term("field map", r"field ?map\w*|gre field\w*|b[01] ?map\w*|fmap|phasediff",
          "a field map", 0.95),
    _term("quantitative map", r"q?t[12]\*? ?map\w*|r2\*? ?map|[tr][12] ?images|relaxo\w*|qsm\w*"
          r"|mapping|qt[12]", "a quantitative map"),
    _term("phase image", r"pha(?:se)?|pha images|filt ?pha|phase ?mask",
          "an image of phases", 0.85),
    _term("magnitude of SWI", r"mag ?images\w*", "the magnitude of a susceptibility scan", 0.8),
    _term("mask", r"mask|seg|segm\w*|label|dseg", "a mask", 0.85),
    _term("screen capture", r"screen ?sav\w*|screen ?shot\w*|sec(?:ondary)? ?capture|phoenix\w*"
          r"|report", "no image of a scan", 0.95),
    _term("STIR", r"\w*stir\w*", "a short inversion time: fat is dark"),
    _term("DIR", r"dir|double inversion\w*|[23]d ?dir", "double inversion recovery"),
)  # fmt: skip
"""What a series is where it is none of the sequences that are told; the first that speaks."""

_BEFORE = (
    r"(?:o?ax(?:i?al)?|o?cor(?:onal)?|o?sag(?:ittal)?|tra(?:ns)?|obl|[23]d|s|e|se|tse|fse|ir|gre|wip"
    r"|ffe)?"
)
T1 = re.compile(rf"(?<![a-z0-9]){_BEFORE}-?t ?1(?![0-9])")
T2 = re.compile(rf"(?<![a-z0-9]){_BEFORE}-?t ?2(?![0-9])")
T2_STAR = re.compile(
    rf"(?<![a-z0-9]){_BEFORE}-?t2 ?(?:w ?)?(?:\*|-?star|s(?![a-z])|[ -]?gre\b|[ -]?ffe\b"
    r"|[ -]?fl[23]d|[ -]?me(?:dic|rge)\b)|(?<![a-z0-9])(?:ha?emo(?!r)\w*|gre t2|medic|merge)"
    r"(?![a-z0-9])"
)
PD = re.compile(
    r"(?<![a-z0-9])(?:(?:ax|cor|sag|tra|s|e)?-?(?:pd|dp)(?:w|wi)?(?![a-z0-9])|pdt2|pdw\w*|proton\w*"
    r"|densi\w+ (?:de )?proton\w*|pd ?(?:tse|fse|se|fs|spair)(?![a-z])|质子\w*|プロトン\w*)"
)
PD_SURE = re.compile(r"pdw|proton|densi|pd ?(?:tse|fse|se|fs|spair)|pdt2|pd[ +-]*t2|t2\w*[ +-]*pd")
DUAL = whole(r"dual|double|doppel\w*")
FLAIR = re.compile(r"flair|fluid[ -]?att\w*|水抑制")
DARK_FLUID = whole(r"dark[ -]?(?:fluid|fl)|da[ -]?fl")
INVERSION = whole(r"\w*tirm\w*|tir\w*|spc ?ir\w*|ir ?tse|ir")
DIFFUSION = re.compile(
    r"(?<![a-z0-9])(?:[a-z]{0,3}dwi\w*|dw|dti\w*|diff(?:us\w*)?|difu\w*|ep2d ?diff\w*|resolve"
    r"|trace\w*|dwibs|isodwi|re ?b ?\d{2,4}\w*|hardi|noddi|dki|dwi)(?![a-z])|弥散|扩散|拡散"
)
B_VALUE = re.compile(r"(?<![a-z0-9])(?:ep ?|re ?)?b ?-?=? ?(\d{1,5})(?=[^0-9.]|$)")
SUSCEPTIBILITY = whole(
    r"\w*swi\w*|swan\w*|swip|ven ?bold|sus[cz]ept\w*|esusceptib\w*|磁敏感\w*|磁化率\w*|fsbb|bsi"
)
STEADY_STATE = whole(r"ciss\w*|fiesta\w*|true? ?fisp\w*|trufi\w*|b ?ffe\w*|balanced\w*|bssfp")
MP2RAGE = whole(r"mp2rage\w*")
UNIFORM = whole(r"uni\w*")

T1_NAMES = (
    ("MPRAGE", whole(r"\w*mp ?-?rage\w*"), 0.88),
    ("BRAVO", whole(r"\w*bravo\w*"), 0.88),
    ("MDEFT", whole(r"\w*mdeft\w*"), 0.88),
    ("TFL", re.compile(r"(?<![a-z0-9])\*?tfl(?:[23]d\w*)?(?![a-z])"), 0.75),
    ("SPGR", whole(r"\w*spgr\w*|\w*efgre3d\w*"), 0.7),
    ("VIBE", whole(r"\w*vibe\w*|lava\w*|e?thrive\w*"), 0.7),
    ("TFE", whole(r"[23]?d?[ -]?tfe\w*|quick ?3d\w*"), 0.6),
)
"""Names of T1-weighted gradient echoes, where nothing else is said."""

WEIGHTED = whole(
    r"\w*t[12](?:w|wi|gd|c|ce|tse|fse|se|ffe|tfe|fl\w*|spc|n|f)\w*|tse\w*|fse\w*|se|frfse|blade"
    r"|propeller|multivane|jet|radar|space|spc|cube|vista|brainview|isofse|mvox|haste|ssfse|fs|fatsat"
    r"|spair|tra|ax|axial|cor|coronal|sag|sagittal|transversal|[23]d|frfse\w*|mprage|bravo|ffe|fl2d"
    r"|fl3d|flash|spgr|weighted|gewichtet|pondere\w*|ponderad\w*|pesat\w*|gewogen|\w*wi|km|gd|c\+"
    r"|lava|vibe|iso"
)
"""Words that only descriptions of scans hold: `T1` beside one of them is no time point."""

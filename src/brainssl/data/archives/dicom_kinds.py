"""What a DICOM object is, and why it is no series of slices to learn from.

Words are those of lists that stand here; none is taken from a header.
"""

import re
from collections.abc import Mapping

MODALITIES = {
    "CR": "computed radiography",
    "CT": "CT",
    "DX": "digital radiography",
    "ECG": "electrocardiogram",
    "KO": "key object selection",
    "MG": "mammography",
    "NM": "nuclear medicine",
    "OT": "another modality",
    "PR": "presentation state",
    "PT": "PET",
    "RF": "fluoroscopy",
    "RTDOSE": "radiotherapy dose",
    "RTPLAN": "radiotherapy plan",
    "RTSTRUCT": "radiotherapy structures",
    "SC": "secondary capture",
    "SEG": "segmentation",
    "SR": "structured report",
    "US": "ultrasound",
    "XA": "angiography",
}
_ROOT = "1.2.840.10008.5.1.4.1.1."
_MR = {f"{_ROOT}4", f"{_ROOT}4.1", f"{_ROOT}4.3", f"{_ROOT}4.4"}
_OBJECTS = (
    (f"{_ROOT}7", "secondary capture"),
    (f"{_ROOT}88.59", "key object selection"),
    (f"{_ROOT}88", "structured report"),
    (f"{_ROOT}104", "document"),
    (f"{_ROOT}11", "presentation state"),
    (f"{_ROOT}9", "waveform"),
    (f"{_ROOT}66.4", "segmentation"),
    (f"{_ROOT}66", "raw data"),
    (f"{_ROOT}4.2", "spectroscopy"),
    (f"{_ROOT}30", "parametric map"),
    (f"{_ROOT}481", "radiotherapy object"),
)
DICOMDIR = "1.2.840.10008.1.3.10"

_SCOUT = re.compile(
    r"(?<![a-z])(locali[sz]er|[a-z_]*scout|survey|(3|three)[ _-]?pl(ane)?|loc|planscan"
    r"|smartbrain)(?![a-z])",
    re.IGNORECASE,
)
_MAPS = {
    "ADC": "ADC map",
    "EADC": "exponential ADC map",
    "FA": "anisotropy map",
    "DTI COLOR": "anisotropy map",
    "RELCBF": "perfusion map",
    "RELCBV": "perfusion map",
    "RELMTT": "perfusion map",
    "RELTTP": "perfusion map",
    "CBF": "perfusion map",
    "CBV": "perfusion map",
    "MTT": "perfusion map",
    "TTP": "perfusion map",
    "T1 MAP": "relaxation map",
    "T2 MAP": "relaxation map",
    "T2_STAR MAP": "relaxation map",
    "MPR": "reformatted",
    "CSA MPR": "reformatted",
    "REFORMATTED": "reformatted",
    "MIP": "projection",
    "MNIP": "projection",
    "MINIP": "projection",
    "MAX_IP": "projection",
    "MIN_IP": "projection",
    "CSA MIP": "projection",
    "PROJECTION IMAGE": "projection",
    "MEAN_IP": "projection",
    "SUBTRACTION": "subtraction",
    "SUB": "subtraction",
    "T-MAP": "activation map",
    "SPIN MAP": "activation map",
    "MOSAIC_T-MAP": "activation map",
    "P": "phase image",
    "PHASE MAP": "phase image",
    "P_FFE": "phase image",
    "P_SE": "phase image",
    "PHASE": "phase image",
    "CSA REPORT": "report as an image",
    "SCREEN SAVE": "screen save",
    "SCREENSAVE": "screen save",
    "CSA BLACK IMAGE": "report as an image",
}
_NAMED = (
    (re.compile(r"(?<![a-z])mi?n?ip(?![a-z])", re.IGNORECASE), "projection"),
    (re.compile(r"screen[ _-]?sav", re.IGNORECASE), "screen save"),
)
# Originals are called so, too, where a name tells all that a protocol yields.
_NAMED_IF_COMPUTED = (
    (re.compile(r"(?<![a-z])[de]?adc(?![a-z])", re.IGNORECASE), "ADC map"),
    (re.compile(r"(?<![a-z])(rel)?(cbf|cbv|mtt|ttp)(?![a-z])", re.IGNORECASE), "perfusion map"),
)


def object_of(header: Mapping[str, object]) -> str | None:
    """Return what an object other than an image is, such as "structured report"; None of images."""
    uid = str(header.get("SOPClassUID", "")).strip(" \0")
    for root, words in _OBJECTS:
        if uid == root or uid.startswith(f"{root}."):
            return words
    return None


def exclusion_of(header: Mapping[str, object], *, has_pixels: bool = True) -> str | None:
    """Return why an object is no series of slices to learn from; None if it is one.

    Args:
        header: as `brainssl.data.volumes.dicom_headers.header_of` gives it.
        has_pixels: whether its header says how large its images are.
    """
    kind = object_of(header)
    modality = str(header.get("Modality", "")).strip().upper()
    if not has_pixels:
        kind = kind or MODALITIES.get(modality, "unknown object")
        return f"no pixels: {kind}"
    if kind:
        return kind
    uid = str(header.get("SOPClassUID", "")).strip(" \0")
    if modality != "MR" and not (not modality and uid in _MR):
        return f"no MR: {MODALITIES.get(modality, 'unknown modality')}"
    return _derived(header)


def is_derived(header: Mapping[str, object]) -> bool:
    """Tell whether an image says that it was computed from others, of whatever kind."""
    types = _types(header)
    return bool(types) and types[0] == "DERIVED"


def _derived(header: Mapping[str, object]) -> str | None:
    types = _types(header)
    described = " ".join(
        str(header.get(word, "")) for word in ("SeriesDescription", "ProtocolName")
    )
    if "LOCALIZER" in types or _SCOUT.search(described):
        return "localiser"
    for word in types:
        if word in _MAPS:
            return f"derived: {_MAPS[word]}"
    described = str(header.get("SeriesDescription", ""))
    computed = () if types[0] == "ORIGINAL" else _NAMED_IF_COMPUTED
    for pattern, words in (*_NAMED, *computed):
        if pattern.search(described):
            return f"derived: {words}"
    return None


def _types(header: Mapping[str, object]) -> list[str]:
    value = header.get("ImageType")
    parts = value if isinstance(value, list) else str(value or "").split("\\")
    return [str(part).strip().upper() for part in parts]

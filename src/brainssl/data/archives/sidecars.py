"""JSON files beside volumes, as dcm2niix and BIDS write them.

They may name patients. What goes on is a short list of numbers and words of ours.
"""

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from brainssl.data.read import UnreadableImage, file_bytes

_MOST = 2**22  # bytes
_SECONDS = (
    "RepetitionTime",
    "EchoTime",
    "EchoTime1",
    "EchoTime2",
    "InversionTime",
    "RepetitionTimeExcitation",
    "RepetitionTimePreparation",
)
_VENDORS = {
    "siemens": "siemens",
    "ge": "ge",
    "general electric": "ge",
    "philips": "philips",
    "toshiba": "toshiba",
    "canon": "canon",
    "hitachi": "hitachi",
    "fujifilm": "fujifilm",
    "united imaging": "united imaging",
    "uih": "united imaging",
    "hyperfine": "hyperfine",
    "neusoft": "neusoft",
    "esaote": "esaote",
    "mindray": "mindray",
    "bruker": "bruker",
    "varian": "varian",
    "agilent": "agilent",
}
_OLDEST = 90
# Column: keyword, and the values that can be.
_NUMBERS = {
    "field_strength": ("MagneticFieldStrength", 0.01, 25.0),
    "repetition_time": ("RepetitionTime", 0.1, 60_000.0),
    "echo_time": ("EchoTime", 0.01, 2_000.0),
    "inversion_time": ("InversionTime", 0.1, 20_000.0),
    "flip_angle": ("FlipAngle", 0.1, 360.0),
    "slice_thickness": ("SliceThickness", 0.01, 100.0),
}
_SEX = {"m": "M", "male": "M", "f": "F", "female": "F", "o": "O", "other": "O"}


def read_sidecars(files: Iterable[Path]) -> tuple[dict[str, object], list[Path]]:
    """Read JSON objects, of which later ones stand before earlier ones.

    Returns:
        Values by DICOM keyword, times in milliseconds; and the files that are no JSON objects.
    """
    held: dict[str, object] = {}
    bad = []
    for file in files:
        try:
            read = header_of(file_bytes(file, max_bytes=_MOST))
        except UnreadableImage:
            read = None
        if read is None:
            bad.append(file)
        else:
            held |= read
    return in_milliseconds(held), bad


def header_of(data: bytes) -> dict[str, object] | None:
    """Return the JSON object that a file holds; None where it holds none."""
    try:
        read = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    return read if isinstance(read, dict) else None


def in_milliseconds(header: dict[str, object]) -> dict[str, object]:
    """Return a header whose times are in milliseconds, as DICOM's are, instead of seconds."""
    return header | {key: _milliseconds(header[key]) for key in _SECONDS if key in header}


def _milliseconds(value: object) -> object:
    if isinstance(value, list):
        return [_milliseconds(one) for one in value[:64]]
    number = _number(value)
    return None if number is None else number * 1000


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def columns_of(header: Mapping[str, object]) -> dict[str, str]:
    """Return the facts that go on: scanner, times in ms, degrees, mm, sex and age in years."""
    found = {}
    if vendor := _vendor(header.get("Manufacturer")):
        found["manufacturer"] = vendor
    for column, (key, least, most) in _NUMBERS.items():
        number = _number(header.get(key))
        if number is not None and least <= number <= most:
            found[column] = f"{number:.6g}"
    if sex := sex_of(header.get("PatientSex")):
        found["sex"] = sex
    if age := age_of(header.get("PatientAge")):
        found["age"] = age
    return found


def _vendor(value: object) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    told = " ".join(value[:100].casefold().replace("_", " ").split())
    known = (
        name for key, name in _VENDORS.items() if f"{told} ".startswith((f"{key} ", f"{key},"))
    )
    return next(known, "other")


def sex_of(value: object) -> str | None:
    """Return M, F or O."""
    return _SEX.get(value.strip().casefold()) if isinstance(value, str) else None


def age_of(value: object) -> str | None:
    """Return whole years, from 90 on `90+`: of a number, or of DICOM's `045Y`, `018M`."""
    text = "" if isinstance(value, bool) else str(value).strip().upper()
    per_year = {"Y": 1, "M": 12, "W": 52.18, "D": 365.25}.get(text[-1:])
    number = _number(text[:-1] if per_year else text)
    if number is None or not 0 <= number / (per_year or 1) <= 130:
        return None
    years = int(number / (per_year or 1) + 1e-9)
    return f"{_OLDEST}+" if years >= _OLDEST else str(years)

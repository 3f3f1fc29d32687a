"""Which facts of a header may leave it: those of this list, in these forms, and nothing else."""

import re
from collections.abc import Callable, Mapping

from brainssl.data.archives.pseudonyms import Pseudonyms

_VENDORS = {
    "siemens": "siemens",
    "ge medical": "ge",
    "ge healthcare": "ge",
    "general electric": "ge",
    "philips": "philips",
    "toshiba": "toshiba",
    "canon": "canon",
    "hitachi": "hitachi",
    "fujifilm": "fujifilm",
    "uih": "united imaging",
    "united imaging": "united imaging",
    "bruker": "bruker",
    "hyperfine": "hyperfine",
    "esaote": "esaote",
    "neusoft": "neusoft",
    "mindray": "mindray",
    "marconi": "marconi",
    "picker": "picker",
    "varian": "varian",
    "agilent": "agilent",
    "synaptive": "synaptive",
    "paramed": "paramed",
    "alltech": "alltech",
}
_MODELS = frozenset(
    re.findall(
        r"\S+",
        "achieva aera allegra allegro altea ambition amira aperto architect artist avanto biograph"
        " biograph_mmr brainpet brivo cima centauri concerto creator discovery echelon elan elition"
        " espree essenza evolution excelart excite expert explorer fit flow free galan genesis"
        " gyroscan harmony hd hdx hdxt hero horizon impression impact infinion infinity ingenia"
        " ingenuity intera lumina lx magna magnetom mr mri mmr mobility numaris oasis"
        " omega open opart optima orian oval panorama pet pioneer plus premier prisma"
        " prisma_fit profile pro prodiva rembra saturn seca signa skyra skyra_fit sola sonata"
        " spectra swoop symphony symphonytim systems terra titan trio triotim uhp umr ultra"
        " vantage verio vida vision voyager xr x xt",
    )
)
_CODE = re.compile(r"[a-z]{0,3}\d{1,4}(\.\d{1,2})?[a-z]{0,2}")
_AGE = re.compile(r"(\d{1,3})\s*([DWMY]?)")
_OLDEST = 90

_NUMBERS = {
    "field_strength": ("MagneticFieldStrength", 30.0),
    "repetition_time": ("RepetitionTime", 1e6),
    "echo_time": ("EchoTime", 1e5),
    "inversion_time": ("InversionTime", 1e6),
    "flip_angle": ("FlipAngle", 360.0),
    "slice_thickness": ("SliceThickness", 1e3),
    "spacing_between_slices": ("SpacingBetweenSlices", 1e3),
}
_IN_GAUSS = 100.0  # a field of more than 100 is told in gauss


def columns_of(header: Mapping[str, object], pseudonyms: Pseudonyms) -> dict[str, str]:
    """Return the facts that may leave a header; what it does not say has no entry.

    Args:
        header: as `brainssl.data.volumes.dicom_headers.header_of` gives it.
        pseudonyms: for the institution.

    Returns:
        manufacturer: one of a fixed list, else `other`.
        model: where every word of it is a known one or a short code with a number.
        field_strength: tesla. repetition_time, echo_time, inversion_time: ms. flip_angle: degrees.
        slice_thickness, spacing_between_slices: mm.
        sex: M, F or O. age: whole years, from 90 on `90+`.
        site: keyed pseudonym of the institution's name.
    """
    found = {name: _number(header, word, most) for name, (word, most) in _NUMBERS.items()}
    rules: dict[str, Callable[[Mapping[str, object]], str | None]] = {
        "manufacturer": _manufacturer,
        "model": _model,
        "sex": _sex,
        "age": _age,
    }
    found |= {name: rule(header) for name, rule in rules.items()}
    site = " ".join(_text(header, "InstitutionName").casefold().split())
    found["site"] = pseudonyms.of("site", site) if site else None
    return {name: value for name, value in sorted(found.items()) if value is not None}


def _text(header: Mapping[str, object], word: str) -> str:
    value = header.get(word)
    return value.strip(" \0") if isinstance(value, str) else ""


def _number(header: Mapping[str, object], word: str, most: float) -> str | None:
    value = header.get(word)
    value = value[0] if isinstance(value, list) and value else value
    if not isinstance(value, int | float):
        return None
    number = abs(float(value))
    if word == "MagneticFieldStrength" and number > _IN_GAUSS:
        number /= 1e4
    return f"{number:.6g}" if number <= most else None


def _manufacturer(header: Mapping[str, object]) -> str | None:
    told = _text(header, "Manufacturer").casefold()
    if told == "ge":
        return "ge"
    found = next((vendor for word, vendor in _VENDORS.items() if told.startswith(word)), "other")
    return found if told else None


def _model(header: Mapping[str, object]) -> str | None:
    """Return a scanner's model; a word that is not known might be anybody's name."""
    words = _text(header, "ManufacturerModelName").casefold().replace("-", " ").split()
    known = [word for word in words if word in _MODELS or _CODE.fullmatch(word)]
    return " ".join(words) if words and len(known) == len(words) <= 4 else None


def _sex(header: Mapping[str, object]) -> str | None:
    told = _text(header, "PatientSex").upper()
    return told if told in ("M", "F", "O") else None


def _age(header: Mapping[str, object]) -> str | None:
    found = _AGE.fullmatch(_text(header, "PatientAge").upper())
    if not found:
        return None
    days = {"D": 1.0, "W": 7.0, "M": 30.44}.get(found[2], 365.25)
    years = int(int(found[1]) * days / 365.25 + 1e-9)
    return f"{_OLDEST}+" if years >= _OLDEST else str(years)

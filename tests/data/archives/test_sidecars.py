"""Of a sidecar a short list goes on, and nothing that names anybody."""

import json
from pathlib import Path

import pytest

from brainssl.data.archives.sidecars import age_of, columns_of, read_sidecars, sex_of

HELD = {
    "PatientName": "Doe^Jane",
    "PatientID": "12345",
    "PatientBirthDate": "19500101",
    "InstitutionName": "St Elsewhere",
    "SeriesDescription": "t1 Doe",
    "Manufacturer": "SIEMENS Healthineers Doe",
    "MagneticFieldStrength": 2.89362,
    "RepetitionTime": 2.3,
    "EchoTime": 0.00298,
    "InversionTime": 0.9,
    "FlipAngle": 9,
    "SliceThickness": 1.2,
    "PatientSex": "F",
    "PatientAge": "045Y",
}


def write(path: Path, held: object) -> Path:
    path.write_text(json.dumps(held))
    return path


def test_what_goes_on(tmp_path: Path) -> None:
    header, bad = read_sidecars([write(tmp_path / "x.json", HELD)])
    assert bad == []
    columns = columns_of(header)
    assert columns == {
        "manufacturer": "siemens",
        "field_strength": "2.89362",
        "repetition_time": "2300",
        "echo_time": "2.98",
        "inversion_time": "900",
        "flip_angle": "9",
        "slice_thickness": "1.2",
        "sex": "F",
        "age": "45",
    }
    for word in ("Doe", "12345", "1950", "Elsewhere"):
        assert word not in " ".join(columns.values())


def test_later_ones_stand_before_earlier_ones(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "far.json", {"EchoTime": 0.1, "RepetitionTime": 2}),
        write(tmp_path / "near.json", {"EchoTime": 0.003}),
    ]
    header, _ = read_sidecars(files)
    assert (header["EchoTime"], header["RepetitionTime"]) == (3.0, 2000.0)


@pytest.mark.parametrize("content", ["", "[1]", "{", "[" * 100_000, '{"a": NaN', "\udcff"])
def test_what_is_no_object_is_told(tmp_path: Path, content: str) -> None:
    file = tmp_path / "x.json"
    file.write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read_sidecars([file]) == ({}, [file])
    assert read_sidecars([tmp_path / "none.json"]) == ({}, [tmp_path / "none.json"])


@pytest.mark.parametrize(
    "held",
    [
        {"Manufacturer": 5, "EchoTime": "a", "FlipAngle": None, "PatientAge": [1]},
        {"Manufacturer": " ", "EchoTime": float("inf"), "FlipAngle": True, "PatientSex": "Jane"},
        {"EchoTime": {"a": 1}, "RepetitionTime": -4, "MagneticFieldStrength": 1e300},
    ],
)
def test_values_that_cannot_be_are_left_out(tmp_path: Path, held: dict[str, object]) -> None:
    header, _ = read_sidecars([write(tmp_path / "x.json", held)])
    assert columns_of(header) == {}


@pytest.mark.parametrize(
    ("told", "vendor"),
    [
        ("GE MEDICAL SYSTEMS", "ge"),
        ("Philips", "philips"),
        ("Geneva Scanners", "other"),
        ("TOSHIBA_MEC", "toshiba"),
        ("Jane Doe", "other"),
    ],
)
def test_vendors_are_those_of_a_list(told: str, vendor: str) -> None:
    assert columns_of({"Manufacturer": told}) == {"manufacturer": vendor}


@pytest.mark.parametrize(
    ("told", "years"),
    [
        ("045Y", "45"),
        ("018M", "1"),
        (33, "33"),
        ("33.7", "33"),
        ("095Y", "90+"),
        (89.9, "89"),
        (None, None),
        ("Y", None),
        ("-3", None),
        ("300", None),
        (True, None),
        ("Jane", None),
    ],
)
def test_ages_are_whole_years(told: object, years: str | None) -> None:
    assert age_of(told) == years


@pytest.mark.parametrize(
    ("told", "sex"), [("M", "M"), ("female", "F"), (" o ", "O"), ("Jane", None), (3, None)]
)
def test_sex_is_a_letter(told: object, sex: str | None) -> None:
    assert sex_of(told) == sex

"""What may leave a header, and in which form."""

import pytest

from brainssl.data.archives.dicom_columns import columns_of
from brainssl.data.archives.pseudonyms import Pseudonyms

PSEUDONYMS = Pseudonyms(b"1" * 32)


@pytest.mark.parametrize(
    ("word", "value", "expected"),
    [
        ("PatientAge", "033Y", {"age": "33"}),
        ("PatientAge", "42", {"age": "42"}),
        ("PatientAge", "018M", {"age": "1"}),
        ("PatientAge", "012M", {"age": "1"}),
        ("PatientAge", "300D", {"age": "0"}),
        ("PatientAge", "089Y", {"age": "89"}),
        ("PatientAge", "090Y", {"age": "90+"}),
        ("PatientAge", "Jane", {}),
        ("PatientSex", "f", {"sex": "F"}),
        ("PatientSex", "Jane", {}),
        ("Manufacturer", "SIEMENS", {"manufacturer": "siemens"}),
        ("Manufacturer", "Siemens Healthineers", {"manufacturer": "siemens"}),
        ("Manufacturer", "GE MEDICAL SYSTEMS", {"manufacturer": "ge"}),
        ("Manufacturer", "Philips Medical Systems", {"manufacturer": "philips"}),
        ("Manufacturer", "Doe and sons", {"manufacturer": "other"}),
        ("ManufacturerModelName", "MAGNETOM Skyra", {"model": "magnetom skyra"}),
        ("ManufacturerModelName", "Discovery MR750w", {"model": "discovery mr750w"}),
        ("ManufacturerModelName", "Scanner of Doe", {}),
        ("ManufacturerModelName", "Doe123", {"model": "doe123"}),
        ("ManufacturerModelName", "Doering123", {}),
        ("MagneticFieldStrength", 1.5, {"field_strength": "1.5"}),
        ("MagneticFieldStrength", 30000.0, {"field_strength": "3"}),
        ("EchoTime", "Doe", {}),
        ("EchoTime", 12.5, {"echo_time": "12.5"}),
        ("PatientName", "Doe", {}),
        ("SeriesDescription", "Doe", {}),
    ],
)
def test_facts_leave_in_the_forms_of_the_list(
    word: str, value: object, expected: dict[str, str]
) -> None:
    assert columns_of({word: value}, PSEUDONYMS) == expected


def test_an_institution_leaves_as_a_pseudonym() -> None:
    one = columns_of({"InstitutionName": "Saint  Elsewhere "}, PSEUDONYMS)
    same = columns_of({"InstitutionName": "SAINT ELSEWHERE"}, PSEUDONYMS)
    assert one == same == {"site": PSEUDONYMS.of("site", "saint elsewhere")}

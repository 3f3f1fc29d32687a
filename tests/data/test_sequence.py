"""Sequences at the end of names, in all their spellings, and what is left without them."""

import pytest

from brainssl.data.sequence import SEQUENCES, as_sequence, family_and_sequence, in_order


@pytest.mark.parametrize(
    ("name", "family", "sequence"),
    [
        ("Other lesion T1C+", "Other lesion", "T1C+"),
        ("Glioma_t1ce", "Glioma", "T1C+"),
        ("Glioma T1 Gd", "Glioma", "T1C+"),
        ("HGG-t1n", "HGG", "T1"),
        ("HGG-t2f", "HGG", "FLAIR"),
        ("Glioma T2-FLAIR", "Glioma", "FLAIR"),
        ("Glioma (T2)", "Glioma", "T2"),
        ("Stroke dwi", "Stroke", "DWI"),
        ("Stroke ADC", "Stroke", "ADC"),
        ("Bleeding SWI", "Bleeding", "SWI"),
        ("MS PD", "MS", "PD"),
        ("PD", "PD", ""),
        ("FLAIR", "FLAIR", ""),
        ("Normal", "Normal", ""),
        ("Glioma T3", "Glioma T3", ""),
    ],
)
def test_names_fall_into_family_and_sequence(name: str, family: str, sequence: str) -> None:
    assert family_and_sequence(name) == (family, sequence)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("t1ce", "T1C+"),
        ("T1w", "T1"),
        ("t2f", "FLAIR"),
        ("pd", "PD"),
        ("MRA", "MRA"),
        ("early T1", "early T1"),
        ("", ""),
    ],
)
def test_the_name_of_a_sequence_has_one_spelling(name: str, told: str) -> None:
    assert as_sequence(name) == told


def test_sequences_have_an_order_and_others_follow_by_name() -> None:
    assert in_order(["MRA", "CT", *reversed(SEQUENCES), "T1"]) == [*SEQUENCES, "CT", "MRA"]

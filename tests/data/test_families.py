"""Families and sequences of classes: from a table, from names, and in a store."""

import unicodedata
from pathlib import Path

import pytest

from brainssl.data.families import pairs_of, read_families
from brainssl.foundation.errors import BrainsslError


def table(folder: Path, *rows: str, header: str = "label,family,sequence") -> Path:
    file = folder / "families.csv"
    file.write_text("\n".join([header, *rows]) + "\n", "utf-8")
    return file


def test_a_table_knows_sequences_that_no_name_ends_in(tmp_path: Path) -> None:
    rows = ["a,Glioma,FLAIR", "b,Glioma,T1ce", "c,Normal,dwi", "d,Normal,MRA", "e,MS,pd"]
    assert read_families(table(tmp_path, *rows), "abcde") == {
        "a": ["Glioma", "FLAIR"],
        "b": ["Glioma", "T1C+"],
        "c": ["Normal", "DWI"],
        "d": ["Normal", "MRA"],
        "e": ["MS", "PD"],
    }


def test_families_stay_where_sequences_are_not_known(tmp_path: Path) -> None:
    file = table(tmp_path, "LGG,Glioma,", "HGG,Glioma,T1", "none,Normal,NA")
    classes = ["HGG", "LGG", "none"]
    told = read_families(file, classes)
    assert pairs_of(classes, told) == [("Glioma", "T1"), ("Glioma", ""), ("Normal", "")]


def test_a_table_stands_against_the_name_and_names_stand_where_there_is_none() -> None:
    names = ["Glioma T1ce", "Normal"]
    assert pairs_of(names) == [("Glioma", "T1C+"), ("Normal", "")]
    assert pairs_of(names, {"Glioma T1ce": ["Tumour", ""]}) == [("Tumour", ""), ("Normal", "")]


def test_names_of_a_table_may_be_composed_otherwise(tmp_path: Path) -> None:
    name = "Tumör"
    file = table(tmp_path, f"{unicodedata.normalize('NFD', name)},A,")
    for form in ("NFC", "NFD"):
        spelt = unicodedata.normalize(form, name)
        assert read_families(file, [spelt]) == {spelt: ["A", ""]}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (("HGG,G,", "LGG,G,", "HGG,H,"), "has the label 'HGG' twice"),
        (("HGG,G,", "LGG,G,", "HGGs,G,"), r"label 'HGGs' is not among .*nearest: 'HGG'"),
        (("HGG,G,",), "has no row for the class 'LGG'"),
        (("HGG,G,", "LGG,,T1"), "label 'LGG' has no family"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, rows: tuple[str, ...], told: str
) -> None:
    with pytest.raises(BrainsslError, match=rf"families\.csv: {told}"):
        read_families(table(tmp_path, *rows), ["HGG", "LGG"])


def test_a_table_without_families_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="needs the columns label,family,sequence"):
        read_families(table(tmp_path, "HGG,T1", header="label,sequence"), ["HGG"])

"""Labels of series: by pseudonym or the hospital's identifier, and never one in an error."""

from pathlib import Path

import pytest

from brainssl.data.archives.archive import Archive, Series, Told
from brainssl.data.archives.labels import SeriesLabels, labels_of
from brainssl.data.volumes.volume import VolumeRef
from brainssl.foundation.errors import BadUseError, BrainsslError


def series(
    name: str, patient: str | None, sequence: str = "T1", label: str | None = None
) -> Series:
    ref = VolumeRef("dicom", (Path(name),), name)
    told = Told(sequence, 1.0)
    return Series(name, ref, patient, f"s-{name}", f"r-{name}", (3, 4, 5), None, told, label=label)


@pytest.fixture
def archive() -> Archive:
    """Patient 4711 is one, 007 is two of different hospitals, r-b is of p-2 alone."""
    held = [series("a", "p-1"), series("b", "p-2", "T2"), series("c", "p-3"), series("d", None)]
    originals = {
        ("patient", "4711"): frozenset({"p-1"}),
        ("patient", "007"): frozenset({"p-2", "p-3"}),
        ("study", "ACC9"): frozenset({"s-b"}),
    }
    return Archive("dicom", Path("/archive"), held, originals=originals)  # type: ignore[arg-type]


def joined(archive: Archive, tmp_path: Path, table: str) -> SeriesLabels:
    file = tmp_path / "labels.csv"
    file.write_text(table, "utf-8")
    return labels_of(archive, archive.series, labels=file)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("patient,label\n4711,Glioma\n", {"a": "Glioma"}),
        ("patient,label\np-2,Glioma\n4711,\n", {"b": "Glioma"}),
        ("patient,label\n4711,Glioma\np-1,Glioma\n", {"a": "Glioma"}),
        ("study;label\nACC9;x\ns-d;y\n", {"b": "x", "d": "y"}),
        ("series,label\nr-c,Normal\n", {"c": "Normal"}),
        ("patient,series,label\n4711,r-c,Normal\n", {"c": "Normal"}),
    ],
)
def test_rows_find_their_series(
    archive: Archive, tmp_path: Path, table: str, expected: dict[str, str]
) -> None:
    found = joined(archive, tmp_path, table).labels
    assert found == {name: expected.get(name) for name in "abcd"}


def test_further_columns_are_kept_but_for_names_of_people(archive: Archive, tmp_path: Path) -> None:
    told = joined(
        archive, tmp_path, "patient,label,site,Surname,group\n4711,x,Tartu,Tamm,4\np-3,y,,Kask,5\n"
    )
    assert told.further == {"site": {"a": "Tartu"}}
    assert "surname" in " ".join(told.notes)
    assert not any(name in " ".join(told.notes) for name in ("Tamm", "Kask", "4711", "p-3"))


def test_unknown_rows_and_series_without_row_are_counted_and_not_named(
    archive: Archive, tmp_path: Path
) -> None:
    notes = joined(archive, tmp_path, "patient,label\n4711,x\n99,y\n98,z\n").notes
    assert "2 rows of labels.csv are of nothing in the source." in notes
    assert "3 series have no row in labels.csv: unlabelled." in notes
    assert not any("99" in note or "98" in note for note in notes)


@pytest.mark.parametrize(
    ("table", "fault"),
    [
        ("patient,label\n4711,x\n007,y\n", "row 2 below the header: its patient means 2 different"),
        ("patient,label\n4711,x\np-1,y\n", "row 2 below the header gives a patient a second label"),
        ("patient,label\n,x\n", "row 1 below the header has no patient"),
        ("patient,label\n99,x\n", "none of its 1 identifiers is one of a patient"),
        ("path,label\na,x\n", "needs the columns patient,label, or study,label or series,label"),
        ("patient,class\n4711,x\n", "needs the columns patient,label"),
    ],
)
def test_faults_name_the_table_and_no_patient(
    archive: Archive, tmp_path: Path, table: str, fault: str
) -> None:
    with pytest.raises(BrainsslError, match=fault) as caught:
        joined(archive, tmp_path, table)
    told = str(caught.value)
    assert "labels.csv" in told
    assert "\n" not in told
    assert not any(name in told for name in ("4711", "007", "99"))


def test_without_a_table_the_source_says_it(archive: Archive) -> None:
    archive.series.append(series("e", "p-4", label="pituitary"))
    assert labels_of(archive, archive.series).labels["e"] == "pituitary"


def test_the_sequence_can_be_the_label(archive: Archive) -> None:
    archive.series.append(series("e", "p-4", "unknown", label="pituitary"))
    told = labels_of(archive, archive.series, label_by="sequence")
    assert told.labels == {"a": "T1", "b": "T2", "c": "T1", "d": "T1", "e": None}
    assert told.notes == [
        "The label of 5 series is their sequence; of 1 it is unknown: unlabelled."
    ]


def test_two_ways_to_label_are_one_too_many(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(BadUseError, match="omit one"):
        labels_of(archive, archive.series, labels=tmp_path / "l.csv", label_by="plane")

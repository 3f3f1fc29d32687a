"""What a source holds by names and headers: counted against hand-made archives."""

from dataclasses import replace
from pathlib import Path

import pytest
from oracles.heads import bids, brats

from brainssl.data.archives.archive import Archive, Told
from brainssl.data.archives.find import find_archive
from brainssl.data.archives.reading import Reading
from brainssl.data.inventory import inventory_of, text_of
from brainssl.data.layout import read_layout
from brainssl.data.volumes.choice import Choice


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """Three patients with T1 and T2: one localiser, one of unknown, one of doubtful sequence."""
    found = find_archive(bids(tmp_path / "bids", 3))
    assert found is not None
    doubtful = Told("T2", 0.6, ("echo time 12 ms",), ("the word T1",))
    changes = [{"exclusion": "localiser"}, {"sequence": Told()}, {"sequence": doubtful}]
    for at, change in enumerate(changes):
        found.series[at] = replace(found.series[at], **change)  # type: ignore[arg-type]
    return found


def test_series_are_counted_by_sequence_and_plane(archive: Archive) -> None:
    held = inventory_of(archive, reading=Reading(Choice(5)))
    cells = {(row["sequence"], row["plane"]): row for row in held["table"]}
    assert cells.keys() == {("T1", "axial"), ("T2", "axial"), ("unknown", "axial")}
    assert list(cells["T2", "axial"].values())[2:] == [3, 2, 72]
    assert (held["series"], held["series_read"], held["images"]) == (6, 5, 25)
    assert held["slices"] == 120
    assert held["patients"] == 3
    assert held["excluded"] == {"localiser": 1}
    assert held["unknown"] == {"sequence": 1, "plane": 0}
    assert held["against"] == {"sequence": 1, "plane": 0}
    assert held["unlabelled"] == 5


def test_what_is_doubtful_is_told_with_its_evidence(archive: Archive) -> None:
    text = text_of(inventory_of(archive, reading=Reading(label_by="sequence")))
    for said in (
        "6 series of 3 patients (bids)",
        "To be read: 5 series, at most 120 slices.",
        "Not to be read: 1 localiser.",
        "Unknown sequence: 1 series.",
        "Contradictory sequence: 1 series, such as",
        "T2 by echo time 12 ms; against it the word T1",
        "Without label: 1 series.",
    ):
        assert said in text


def test_labels_are_counted_before_anything_is_read(archive: Archive, tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("patient,label\nsub-01,Glioma\nsub-03,Normal\n")
    held = inventory_of(archive, labels=tmp_path / "l.csv")
    assert held["labels"] == {
        "Glioma": {"series": 1, "patients": 1},
        "Normal": {"series": 2, "patients": 1},
    }
    assert held["unlabelled"] == 2


def test_series_whose_pixels_are_not_square_are_counted(archive: Archive) -> None:
    assert not any("square" in note for note in inventory_of(archive)["notes"])
    odd = (0, (1.0, 2.0), True), (3, (2.0, 1.0), True), (4, None, True), (5, (2.0, 1.0), False)
    for at, pixel, placed in odd:  # 0 is not read
        archive.series[at] = replace(archive.series[at], pixel=pixel, placed=placed)
    notes = inventory_of(archive)["notes"]
    assert "The pixels of 1 of 5 series are not square: they are made so." in notes
    assert sum("1 of 5 series are not square: whole slices stay so" in note for note in notes) == 1


def test_pixels_and_slices_are_told_in_millimetres(archive: Archive) -> None:
    """Of the five series that are read: by hand, and of one nothing is known."""
    sizes = [(9.0, 9.0), (0.5, 0.5), (1.0, 1.04), (2.0, 2.0), None, (1.5, 1.5)]  # 0 is not read
    for at, mm in enumerate(sizes):
        archive.series[at] = replace(archive.series[at], pixel=mm, shape=(24, 100, 90))
    held = inventory_of(archive)
    told = held["millimetres"]
    assert told["unknown"] == 1
    assert told["pixel"] == {"least": 0.5, "p5": 0.575, "median": 1.25, "p95": 1.925, "most": 2.0}
    assert told["longer_side"]["least"] == 50
    assert told["longer_side"]["median"] == 125
    assert told["longer_side"]["most"] == 200
    text = text_of(held)
    assert "Unknown millimetres: 1 series." in text
    [line] = [one for one in text.splitlines() if "longer side" in one]
    assert line.split()[-5:] == ["50", "57.5", "125", "192.5", "200"]


def test_masks_are_counted(tmp_path: Path) -> None:
    found = find_archive(brats(tmp_path / "brats", 2))
    assert found is not None
    held = inventory_of(found)
    assert held["masks"] == 4
    assert "Masks of lesions: of 4 series." in text_of(held)


def test_pictures_are_counted_by_class(image_folder: Path) -> None:
    (image_folder / "notes.txt").write_text("not an image")
    held = inventory_of(read_layout(image_folder))
    assert held["kind"] == "pictures"
    assert held["images"] == 24
    assert held["labels"]["Glioma T1"] == {"images": 8, "patients": 0}
    assert held["patients"] is None
    text = text_of(held)
    assert "24 files that may be pictures, of unknown patients" in text
    assert "1 .txt" in text

"""Links under names of ours are refused or told, never followed or passed over in silence."""

from pathlib import Path

import pytest
from PIL import Image

from brainssl.data.layout import read_layout
from brainssl.foundation.errors import BrainsslError

PATIENTS = "path,patient\nA/1.png,p\nB/1.png,q\n"


def put(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


@pytest.fixture(params=["outside", "inside"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path]:
    """A source with two images, and where the links lead: beside it, or into it."""
    home = tmp_path / "home"
    for name in "AB":
        put(home / "images" / name / "1.png")
    elsewhere = (tmp_path if request.param == "outside" else home) / "elsewhere"
    elsewhere.mkdir()
    return home, elsewhere


@pytest.mark.parametrize("name", ["images", "Images", "masks"])
def test_a_linked_folder_of_ours_is_refused(places: tuple[Path, Path], name: str) -> None:
    home, elsewhere = places
    kept = home / name
    if name != "masks":
        (home / "images").rename(elsewhere / "real")
    put(elsewhere / "real" / "A" / "1.png")
    kept.symlink_to(elsewhere / "real")
    with pytest.raises(
        BrainsslError, match=rf"{name}: is a link; put the folder itself there"
    ) as caught:
        read_layout(home)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("leads", [True, False])
def test_a_linked_table_of_patients_is_refused(places: tuple[Path, Path], leads: bool) -> None:
    home, elsewhere = places
    if leads:
        (elsewhere / "table.csv").write_text(PATIENTS)
    (home / "patients.csv").symlink_to(elsewhere / "table.csv")
    with pytest.raises(
        BrainsslError, match=r"patients\.csv: is a link; put the table itself there"
    ):
        read_layout(home)
    told = " ".join(read_layout(home / "images").notes)
    assert "patients.csv beside images/ was not read" in told


def test_a_linked_table_of_labels_is_told_and_not_read(places: tuple[Path, Path]) -> None:
    home, elsewhere = places
    (elsewhere / "table.csv").write_text("path,label\nA/1.png,x\nB/1.png,y\n")
    (home / "labels.csv").symlink_to(elsewhere / "table.csv")
    layout = read_layout(home)
    assert set(layout.labels.values()) == {"A", "B"}
    assert [note for note in layout.notes if "labels.csv is a link" in note]
    named = read_layout(home, labels=home / "labels.csv")
    assert set(named.labels.values()) == {"x", "y"}, "a table that is named may lie anywhere"

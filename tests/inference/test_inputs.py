"""What is classified, and whose it is: by a table, by folders, or not known."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.inference.inputs import Inputs, collect


def slices(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(root / name)
    return root


def table(file: Path, *rows: str, header: str = "path,patient") -> Path:
    file.write_text("\n".join([header, *rows]))
    return file


def whose(found: Inputs) -> dict[str, str]:
    return {found.images[at].file.name: name for at, name in found.patients.items()}


def test_a_folder_is_all_its_images_in_order_litter_aside(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "b/2.png", "b/1.png", "a.png", ".hidden/x.png")
    (root / "notes.txt").write_text("none")
    (root / "away.png").symlink_to(tmp_path / "elsewhere.png")
    found = collect([root, root / "a.png"])
    names = [image.file.relative_to(root).as_posix() for image in found.images]
    assert names == ["a.png", "away.png", "b/1.png", "b/2.png"]
    assert [bool(image.refusal) for image in found.images] == [False, True, False, False]
    assert "1 .txt" in "".join(found.notes)
    assert found.patients == {}
    assert "--patients" in found.notes[-1]


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="holds nothing to judge"):
        collect([tmp_path])


@pytest.mark.parametrize("prefix", ["", "new/"])
def test_a_table_names_patients_and_sequences(tmp_path: Path, prefix: str) -> None:
    root = slices(tmp_path / "new", "a/1.png", "a/2.png", "b/3 T2.png", "b/4.png")
    rows = [f"{prefix}a/1.png,x,t1ce", f"{prefix}a/2.png,y,", "3 T2.png,y,MRA"]
    file = table(tmp_path / "who.csv", *rows, header="path,patient,sequence")
    found = collect([root], file)
    assert whose(found) == {"1.png": "x", "2.png": "y", "3 T2.png": "y"}
    assert found.sequences == {0: "T1C+", 2: "MRA"}
    assert found.patients_from == "Patients are those of who.csv."
    assert "The patient of 1 file is unknown: it is in no patient." in found.notes


def test_paths_of_a_table_may_begin_where_the_files_do(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "a/1.png", "b/1.png")
    file = table(tmp_path / "who.csv", "a/1.png,x", "b/1.png,y")
    assert collect([root / "a", root / "b/1.png"], file).patients == {0: "x", 1: "y"}


def test_a_table_beside_the_images_is_found(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "images/1.png", "images/2.png")
    table(root / "patients.csv", "1.png,x", "2.png,y")
    found = collect([root])
    assert whose(found) == {"1.png": "x", "2.png": "y"}
    assert str(root / "patients.csv") in str(found.patients_from)


def test_folders_named_as_patients_are_patients(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "P1/T1/1.png", "P1/T2/2.png", "P2/3.png", "other/4.png")
    found = collect([root])
    assert whose(found) == {"1.png": "P1", "2.png": "P1", "3.png": "P2"}
    assert {found.images[at].file.name: s for at, s in found.sequences.items()} == {
        "1.png": "T1",
        "2.png": "T2",
    }
    assert "P1" in str(found.patients_from)
    assert whose(collect([root / "P1"])) == {"1.png": "P1", "2.png": "P1"}


def test_nobody_knows_whether_folders_of_one_name_are_one_patient(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "site1/P1/1.png", "site2/P1/2.png")
    found = collect([root])
    assert (found.patients, found.patients_from) == ({}, None)
    assert "Several folders are named P1" in found.notes[0]
    with pytest.raises(BadUseError, match="have one name"):
        collect([root / "site1/P1", root / "site2/P1"], Path("folders"))


def test_every_folder_is_a_patient_where_that_is_said(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "anna/T1/1.png", "anna/2.png", "bert/3.png", "4.png")
    found = collect([root], Path("folders"))
    assert whose(found) == {"1.png": "anna", "2.png": "anna", "3.png": "bert", "4.png": "new"}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["images/P1/a.png", "images/P2/T1/b.png", "images/c.png"], ["P1", "P2", "new"]),
        (["wrap/Anna/a.png", "wrap/Bert/b.png"], ["Anna", "Bert"]),
        (["one/two/Anna/a.png", "one/two/Bert/b.png", "one/two/c.png"], ["Anna", "Bert", "new"]),
        (["P1/scan1/a.png", "P1/scan2/b.png"], ["P1", "P1"]),
    ],
)
def test_folders_of_patients_may_be_wrapped(
    tmp_path: Path, names: list[str], told: list[str]
) -> None:
    root = slices(tmp_path / "new", *names)
    found = whose(collect([root], Path("folders")))
    assert [found[Path(name).name] for name in names] == told


def test_nobody_knows_whether_an_id_of_two_tables_is_one_patient(tmp_path: Path) -> None:
    for name, rows in (("x", ["1.png,p1", "2.png,p2"]), ("y", ["3.png,p1", "4.png,p3"])):
        root = slices(tmp_path / name, *(row.split(",")[0] for row in rows))
        table(root / "patients.csv", *(f"{row},T1" for row in rows), header="path,patient,sequence")
    found = collect([tmp_path / "x", tmp_path / "y"])
    assert (found.patients, found.patients_from) == ({}, None)
    files = [str(tmp_path / name / "patients.csv") for name in "xy"]
    assert f"{files[0]} and {files[1]} both name p1" in found.notes[-2]
    assert "--patients FILE.csv" in found.notes[-1]
    assert found.sequences == dict.fromkeys(range(4), "T1"), "these are of files, not of patients"
    table(tmp_path / "y/patients.csv", "3.png,p4", "4.png,p3")
    apart = collect([tmp_path / "x", tmp_path / "y"])
    assert apart.patients == {0: "p1", 1: "p2", 2: "p4", 3: "p3"}
    assert all(file in str(apart.patients_from) for file in files)


def test_a_table_that_is_found_twice_is_one(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "wrap/a/1.png", "wrap/b/2.png")
    table(root / "wrap/patients.csv", "a/1.png,x", "b/2.png,x")
    assert collect([root, root / "wrap"]).patients == {0: "x", 1: "x"}


def test_a_table_that_names_no_file_is_refused(tmp_path: Path) -> None:
    root = slices(tmp_path / "new", "1.png")
    with pytest.raises(BrainsslError, match="names none of the images"):
        collect([root], table(tmp_path / "who.csv", "7.png,x"))
    with pytest.raises(BrainsslError, match="needs the columns path,patient"):
        collect([root], table(tmp_path / "who.csv", "1.png,x", header="path,person"))

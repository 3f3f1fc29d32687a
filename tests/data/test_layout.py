"""What a folder's arrangement says: our own names in any case, litter, tables of others."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brainssl.data.layout import Layout, read_layout, take_families
from brainssl.data.levels import is_patient
from brainssl.data.listing import masks_beside
from brainssl.data.scan import scan
from brainssl.data.sequence import sequence_of
from brainssl.foundation.errors import BadUseError, BrainsslError


def slices(root: Path, *folders: str, count: int = 3) -> None:
    """Write noise into class folders."""
    generator = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            pixels = generator.integers(0, 255, (48, 48), dtype=np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.png")


@pytest.mark.parametrize(
    "names", [("images", "masks", "patients.csv"), ("Images", "MASKS", "Patients.CSV")]
)
def test_folders_of_ours_may_be_written_in_any_case(tmp_path: Path, names: tuple[str, ...]) -> None:
    images, masks, patients = names
    slices(tmp_path, f"{images}/glioma", f"{images}/meningioma", f"{masks}/glioma")
    rows = [f"glioma/{n}.png,P{n}" for n in range(3)]
    (tmp_path / patients).write_text("\n".join(["path,patient", *rows]), "utf-8")
    layout = read_layout(tmp_path)
    assert set(layout.labels.values()) == {"glioma", "meningioma"}
    assert layout.patients["glioma/2.png"] == "P2"
    assert masks_beside(tmp_path) == tmp_path / masks
    assert not any("not scanned" in note for note in layout.notes)


@pytest.mark.parametrize(
    "litter",
    [
        "@eaDir",
        "$RECYCLE.BIN",
        "lost+found",
        ".Trash-1000",
        "#recycle",
        "__MACOSX",
        "__pycache__",
        "@Recycle",
    ],
)
def test_litter_of_file_servers_is_left_out(tmp_path: Path, litter: str) -> None:
    slices(tmp_path, "glioma", "meningioma", litter, f"glioma/{litter}")
    layout = read_layout(tmp_path)
    assert len(layout.paths) == 6
    assert set(layout.labels.values()) == {"glioma", "meningioma"}


def test_a_table_of_somebody_else_is_a_note(tmp_path: Path) -> None:
    slices(tmp_path, "glioma", "meningioma")
    (tmp_path / "scanners.csv").write_bytes("site,hersteller\n1,Müller\n".encode("latin-1"))
    layout = read_layout(tmp_path)
    assert len(layout.paths) == 6
    [note] = [note for note in layout.notes if "scanners.csv" in note]
    assert note.startswith("scanners.csv was not looked into: ")


def classes(root: Path, **options: Any) -> set[str | None]:
    return set(read_layout(root, **options).labels.values())


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("Training", "Testing"),
        ("train_images", "test_images"),
        ("trainImages", "testImages"),
        ("training-set", "Test Set"),
        ("imagesTr", "imagesTs"),
        ("train/train", "test/test"),
        ("TrainData", "TestData"),
        ("dataset_train", "dataset_test"),
    ],
)
def test_splits_are_found_in_their_usual_spellings(tmp_path: Path, train: str, test: str) -> None:
    slices(tmp_path, f"{train}/glioma", f"{train}/meningioma", f"{test}/glioma")
    layout = read_layout(tmp_path)
    assert set(layout.labels.values()) == {"glioma", "meningioma"}
    assert Counter(layout.given.values()) == {"train": 6, "test": 3}
    assert not layout.questions


@pytest.mark.parametrize("parts", [("train", "val"), ("Training", "Validation"), ("train_images",)])
def test_a_split_without_a_test_part_is_divided_anew(
    tmp_path: Path, parts: tuple[str, ...]
) -> None:
    slices(tmp_path, *(f"{part}/{name}" for part in parts for name in ("glioma", "meningioma")))
    (tmp_path / "loose.png").write_bytes((tmp_path / parts[0] / "glioma/0.png").read_bytes())
    layout = read_layout(tmp_path)
    assert set(layout.labels.values()) == {"glioma", "meningioma", None}
    assert set(layout.given.values()) == {None}
    assert any("divided anew" in note for note in layout.notes)


def test_a_class_may_be_called_as_a_part_is_beside_others(tmp_path: Path) -> None:
    slices(tmp_path, "glioma", "test")
    assert classes(tmp_path) == {"glioma", "test"}


def test_folders_of_the_same_names_below_several_are_asked_about(tmp_path: Path) -> None:
    slices(tmp_path, *(f"{site}/{name}" for site in ("site1", "site2") for name in ("a", "b")))
    [question] = read_layout(tmp_path).questions
    assert "--classes-at 1 for site1, site2, or --classes-at 2 for a, b" in question
    with pytest.raises(BrainsslError, match="--classes-at 2"):
        scan(tmp_path).refuse_questions()
    assert classes(tmp_path, classes_at=2) == {"a", "b"}
    assert classes(tmp_path, classes_at=1) == {"site1", "site2"}
    assert not read_layout(tmp_path, classes_at=2).questions


@pytest.mark.parametrize(
    "below", [("T1", "T2"), ("P1", "P2"), ("1", "2"), ("axial", "sagittal"), ("images", "images")]
)
def test_sequences_patients_planes_and_numbers_are_no_question(
    tmp_path: Path, below: tuple[str, str]
) -> None:
    slices(tmp_path, *(f"{name}/{inner}" for name in ("glioma", "normal") for inner in below))
    assert not read_layout(tmp_path).questions


def test_patients_are_no_classes(tmp_path: Path) -> None:
    slices(tmp_path, *(f"glioma/P{n}" for n in range(3)), *(f"normal/P{n}" for n in range(3, 6)))
    layout = read_layout(tmp_path)
    assert set(layout.labels.values()) == {"glioma", "normal"}
    assert layout.patients["normal/P4/0.png"] == "P4"
    assert any("6 folders are taken for patients" in note for note in layout.notes)


@pytest.mark.parametrize(
    "names", [("P1", "P2", "P3"), ("001", "002", "010"), ("BraTS20_1", "BraTS20_2")]
)
def test_patients_of_a_class_alone_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    slices(tmp_path, *(f"glioma/{name}" for name in names))
    assert classes(tmp_path) == {"glioma"}


@pytest.mark.parametrize(
    "name",
    ["P12", "patient_3", "sub-07", "case 4", "TCGA_CS_4941", "BraTS20_Training_001", "IXI001"],
)
def test_patients_are_known_by_their_names(name: str) -> None:
    assert is_patient(name)


@pytest.mark.parametrize(
    "name",
    ["part1", "phase1", "p53x", "pituitary2", "subtype1", "post2020", "caseous1", "axial", "T1"],
)
def test_other_names_are_no_patients(name: str) -> None:
    assert not is_patient(name)


def test_patients_below_a_plane_or_above_the_classes_are_found(tmp_path: Path) -> None:
    slices(tmp_path / "a", "glioma/axial/P1", "normal/axial/P2")
    assert set(read_layout(tmp_path / "a").patients.values()) == {"P1", "P2"}
    slices(tmp_path / "b", *(f"P{n}/{name}" for n in range(4) for name in ("glioma", "normal")))
    layout = read_layout(tmp_path / "b", classes_at=2)
    assert set(layout.labels.values()) == {"glioma", "normal"}
    assert layout.patients["P3/glioma/0.png"] == "P3"


def test_patients_with_a_class_each_are_asked_about(tmp_path: Path) -> None:
    slices(tmp_path, "P1/glioma", "P2/normal", "P3/glioma")
    [question] = read_layout(tmp_path).questions
    assert "named as patients are: say --classes-at 2" in question


def test_numbers_that_begin_anew_in_each_class_are_no_patients(tmp_path: Path) -> None:
    slices(tmp_path, *(f"{name}/P{n}" for n in range(3) for name in ("glioma", "normal")))
    layout = read_layout(tmp_path)
    assert set(layout.patients.values()) == {None}
    assert any("whether they are the same patients is not known" in n for n in layout.notes)


def test_a_class_inside_a_split_may_be_called_as_a_part_is(tmp_path: Path) -> None:
    slices(tmp_path, *(f"{part}/{name}" for part in ("train", "test") for name in ("TS", "glioma")))
    assert classes(tmp_path) == {"TS", "glioma"}


def test_images_below_a_part_say_no_more(tmp_path: Path) -> None:
    slices(tmp_path, *(f"{p}/images/{n}" for p in ("train", "test") for n in ("a", "b")))
    assert classes(tmp_path) == {"a", "b"}


def test_folds_are_no_given_split(tmp_path: Path) -> None:
    slices(tmp_path, *(f"{p}{n}/glioma" for p in ("train", "test") for n in (1, 2)))
    layout = read_layout(tmp_path)
    assert set(layout.given.values()) == {None}
    assert layout.questions


@pytest.mark.parametrize(
    "name",
    ["0_gt", "0_lesion_mask", "0-groundtruth", "0_annotation", "mask_0", "seg_0", "0_mask_1"],
)
def test_masks_are_known_by_their_usual_names(tmp_path: Path, name: str) -> None:
    slices(tmp_path, "glioma", "normal")
    image = tmp_path / "glioma" / "0.png"
    image.with_name(f"{name}.png").write_bytes(image.read_bytes())
    assert len(read_layout(tmp_path).paths) == 6


@pytest.mark.parametrize("tops", [("fold_0", "fold_1"), ("glioma", "normal")])
def test_parts_of_a_split_below_what_would_be_classes_are_asked_about(
    tmp_path: Path, tops: tuple[str, str]
) -> None:
    inner = ("train/a", "train/b", "val/a") if tops[0] == "fold_0" else ("train", "test")
    slices(tmp_path, *(f"{top}/{below}" for top in tops for below in inner))
    [question] = read_layout(tmp_path).questions
    assert question.startswith(f"{tops[0]}/ and {tops[1]}/ hold folders of the same names")


@pytest.mark.parametrize("twin", ["glioma\u200b", "GLIOMA ", "glio\x00ma"])
def test_names_that_look_alike_in_a_table_are_asked_about(tmp_path: Path, twin: str) -> None:
    slices(tmp_path, "x")
    rows = ["path,label", "0.png,glioma", f"1.png,{twin}", "2.png,1", "0.png,glioma"]
    (tmp_path / "labels.csv").write_text("\n".join(rows), "utf-8")
    assert "differ in case" in read_layout(tmp_path).questions[0]


def test_a_folder_of_masks_beside_one_of_images_is_left_out(tmp_path: Path) -> None:
    slices(tmp_path, "tumor/images", "tumor/masks", "normal/images")
    layout = read_layout(tmp_path)
    assert len(layout.paths) == 6
    assert not any("masks/" in path for path in layout.paths)


def test_a_table_answers_what_folders_leave_open(tmp_path: Path) -> None:
    slices(tmp_path, *(f"{site}/{name}" for site in ("s1", "s2") for name in ("a", "b")))
    paths = [p.relative_to(tmp_path).as_posix() for p in sorted(tmp_path.rglob("*.png"))]
    rows = [f"{path},{path.split('/')[1]}" for path in paths]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]), "utf-8")
    layout = read_layout(tmp_path)
    assert set(layout.labels.values()) == {"a", "b"}
    assert not layout.questions


def test_levels_are_counted_from_the_source_as_it_is_named(tmp_path: Path) -> None:
    slices(tmp_path, *(f"archive/{site}/{name}" for site in ("s1", "s2") for name in ("a", "b")))
    [question] = read_layout(tmp_path).questions
    assert "--classes-at 3 for a, b" in question
    assert classes(tmp_path, classes_at=3) == {"a", "b"}
    for level in (1, 9):
        with pytest.raises(BadUseError, match=f"--classes-at {level}"):
            read_layout(tmp_path, classes_at=level)


def test_a_class_alone_keeps_its_sequences(tmp_path: Path) -> None:
    slices(tmp_path, "Glioma/T1", "Glioma/T2")
    assert classes(tmp_path) == {"Glioma T1", "Glioma T2"}


def test_names_of_brats_and_bids_are_sequences(tmp_path: Path) -> None:
    slices(tmp_path, *(f"Glioma/{name}" for name in ("flair", "T1ce", "t1n", "t2f", "T2w", "t1c")))
    assert classes(tmp_path) == {"Glioma FLAIR", "Glioma T1C+", "Glioma T1", "Glioma T2"}
    assert not any("name no sequence" in note for note in scan(tmp_path).notes)
    slices(tmp_path / "mixed", "Glioma/T1", "Normal/T1", "Abscess")
    [note] = [note for note in scan(tmp_path / "mixed").notes if "name no sequence" in note]
    assert note == "1 of 3 classes name no sequence, and others do: Abscess."
    slices(tmp_path / "other", "PD", "Normal")
    assert classes(tmp_path / "other") == {"PD", "Normal"}
    assert sequence_of("PD") is None
    assert sequence_of("Glioma PD") == "PD"


def test_a_wrapping_folder_is_looked_through_and_said(tmp_path: Path) -> None:
    slices(tmp_path, "archive/glioma", "archive/meningioma")
    (tmp_path / "README.md").write_text("about", "utf-8")
    layout = read_layout(tmp_path)
    assert set(layout.labels.values()) == {"glioma", "meningioma"}
    assert "Looked through archive/, which holds everything." in layout.notes


def test_masks_beside_their_images_are_no_slices(tmp_path: Path) -> None:
    slices(tmp_path, "glioma", "normal")
    for number in range(3):
        image = tmp_path / "glioma" / f"{number}.png"
        (image.with_name(f"{number}_mask.png")).write_bytes(image.read_bytes())
    (tmp_path / "normal" / "lone_mask.png").write_bytes(image.read_bytes())
    layout = read_layout(tmp_path)
    assert [path for path in layout.paths if "mask" in path] == ["normal/lone_mask.png"]
    assert any("3 masks beside their images" in note for note in layout.notes)


def test_classes_that_differ_in_case_or_spaces_are_asked_about(tmp_path: Path) -> None:
    slices(tmp_path, "Training/Glioma", "Training/Normal", "Testing/glioma", "Testing/Normal ")
    layout = read_layout(tmp_path)
    [question] = layout.questions
    assert "'Glioma' and 'glioma' differ in case" in question
    mapping = tmp_path / "labels.csv"
    mapping.write_text("folder,label\nGlioma,G\nglioma ,G\nNormal,N\n", "utf-8")
    assert classes(tmp_path, labels=mapping) == {"G", "N"}


def test_links_that_lead_in_a_circle_or_nowhere_are_listed(tmp_path: Path) -> None:
    slices(tmp_path, "glioma", "normal")
    (tmp_path / "x").symlink_to("x")
    (tmp_path / "glioma" / "gone.png").symlink_to("nothing.png")
    layout = read_layout(tmp_path)
    assert len(layout.paths) == 6
    assert {path for path, reason in layout.unreadable if "leads nowhere" in reason} == {
        "x",
        "glioma/gone.png",
    }


def test_classes_that_end_in_parts_of_a_split_are_asked_about(tmp_path: Path) -> None:
    slices(tmp_path, "glioma_train", "glioma_test", "normal_train", "normal_test")
    [question] = read_layout(tmp_path).questions
    assert question.startswith("The classes glioma_test, glioma_train, normal_test end in parts")
    slices(tmp_path / "other", "hand_test", "glioma")
    assert not read_layout(tmp_path / "other").questions


@pytest.mark.parametrize("name", ["Glioma_mask", "Glioma GT", "masks-Glioma"])
def test_a_class_of_masks_is_asked_about(tmp_path: Path, name: str) -> None:
    slices(tmp_path, "Glioma", "Normal", name)
    [question] = read_layout(tmp_path).questions
    assert question.startswith(f"The class {name} looks like masks of others.")


@pytest.mark.parametrize(
    ("folders", "answer"),
    [
        (("siteA/glioma", "siteB/normal"), "--classes-at 1 for siteA, siteB, or --classes-at 2"),
        (
            ("Tumor/Glioma", "Tumor/Meningioma", "Healthy"),
            "or --classes-at 2 for Glioma, Meningioma (images of Healthy then have no class)",
        ),
        (("glioma/Smith", "glioma/Jones", "normal/Lee"), "--classes-at 1 for glioma, normal"),
    ],
)
def test_other_folders_below_what_would_be_classes_are_asked_about(
    tmp_path: Path, folders: tuple[str, ...], answer: str
) -> None:
    slices(tmp_path, *folders)
    [question] = read_layout(tmp_path).questions
    assert answer in question
    level = len(folders[0].split("/"))
    assert not read_layout(tmp_path, classes_at=level).questions


@pytest.mark.parametrize("below", ["series_{}", "study {}", "1.2.840.{}", "{}", "P{}", "IMG-{}"])
def test_folders_that_differ_in_numbers_alone_are_no_question(tmp_path: Path, below: str) -> None:
    slices(
        tmp_path,
        *(f"{name}/{below.format(10 * n + k)}" for k, name in enumerate("ab") for n in range(3)),
    )
    assert not read_layout(tmp_path).questions
    assert classes(tmp_path) == {"a", "b"}


def test_planes_alone_are_asked_about(tmp_path: Path) -> None:
    slices(tmp_path, "axial", "coronal", "Sagittal")
    [question] = read_layout(tmp_path).questions
    assert question.startswith("The classes Sagittal, axial, coronal are planes.")
    assert classes(tmp_path, classes_at=1) == {"axial", "coronal", "Sagittal"}


@pytest.mark.parametrize("masks", ["Segmentations", "GT", "ground_truth"])
def test_a_folder_of_masks_beside_classes_is_asked_about(tmp_path: Path, masks: str) -> None:
    slices(tmp_path, "Glioma", "Normal", f"{masks}/Glioma", f"{masks}/Normal")
    [question] = read_layout(tmp_path).questions
    assert question.startswith(f"The class {masks} looks like masks of others.")


def test_a_table_of_patients_that_is_a_link_is_refused(tmp_path: Path) -> None:
    slices(tmp_path / "src", "images/glioma", "images/normal")
    (tmp_path / "there.csv").write_text("path,patient\nglioma/0.png,P1\n", "utf-8")
    link = tmp_path / "src" / "patients.csv"
    link.symlink_to(tmp_path / "there.csv")
    with pytest.raises(BrainsslError, match=r"patients.csv: is a link; put the table itself"):
        read_layout(tmp_path / "src")


def test_a_label_table_that_is_a_link_is_not_looked_into(tmp_path: Path) -> None:
    slices(tmp_path / "src", "x")
    (tmp_path / "there.csv").write_text("path,label\n0.png,glioma\n", "utf-8")
    (tmp_path / "src" / "labels.csv").symlink_to(tmp_path / "there.csv")
    layout = read_layout(tmp_path / "src")
    assert "labels.csv is a link and was not looked into." in layout.notes
    assert "glioma" not in layout.labels.values()


def test_a_link_named_images_is_told(tmp_path: Path) -> None:
    slices(tmp_path / "there", "glioma", "normal")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "images").symlink_to(tmp_path / "there", target_is_directory=True)
    with pytest.raises(BrainsslError, match="images: is a link; put the folder itself there"):
        scan(tmp_path / "src")


def test_the_class_of_a_folder_that_cannot_be_opened_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slices(tmp_path, "glioma", "normal", "abscess")
    look = os.scandir

    def refuse(folder: Any) -> Any:
        if Path(folder).name == "abscess":
            raise PermissionError(13, "Permission denied")
        return look(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    found = scan(tmp_path)
    assert found.lost == ["abscess"]
    assert found.losses[1].startswith("left out: 1, e.g. abscess: is a folder that cannot be")


def test_further_columns_are_kept_where_they_are_asked_for(tmp_path: Path) -> None:
    slices(tmp_path, "images/a", "images/b")
    rows = ["path,patient,site", "a/0.png,P1,north", "b/1.png,P2,"]
    (tmp_path / "patients.csv").write_text("\n".join(rows), "utf-8")
    assert read_layout(tmp_path).further == {}
    assert read_layout(tmp_path, columns=["site"]).further == {"site": {"a/0.png": "north"}}
    manifest = scan(tmp_path, columns=["site"]).manifest.set_index("path")
    assert manifest["site"]["a/0.png"] == "north"
    assert manifest["site"]["b/1.png"] is None
    assert "site" not in scan(tmp_path).manifest


def with_families(source: Path, labels: Path | None = None, given: Path | None = None) -> Layout:
    layout = read_layout(source, labels)
    take_families(layout, given, relabelled=labels is not None)
    return layout


def test_a_table_of_families_beside_the_images_is_read(tmp_path: Path) -> None:
    slices(tmp_path, "images/hgg", "images/none")
    (tmp_path / "Families.csv").write_text("label,family,sequence\nhgg,Glioma,t2f\nnone,No,\n")
    layout = with_families(tmp_path)
    assert layout.families == {"hgg": ["Glioma", "FLAIR"], "none": ["No", ""]}
    assert "taken from Families.csv" in "".join(layout.notes)
    found = scan(tmp_path)
    assert found.manifest.groupby("label")["sequence"].first().to_dict() == {
        "hgg": "FLAIR",
        "none": None,
    }
    given = tmp_path / "other.csv"
    given.write_text("label,family,sequence\nhgg,Tumour,DWI\nnone,No,\n")
    told = with_families(tmp_path, given=given).families
    assert told == {"hgg": ["Tumour", "DWI"], "none": ["No", ""]}


def test_a_table_of_families_that_does_not_fit_is_refused_unless_labels_are_others(
    tmp_path: Path,
) -> None:
    slices(tmp_path, "images/hgg", "images/none")
    (tmp_path / "families.csv").write_text("label,family,sequence\nhgg,Glioma,\n")
    with pytest.raises(BrainsslError, match="no row for the class 'none'"):
        with_families(tmp_path)
    labels = tmp_path / "map.csv"
    labels.write_text("folder,label\nhgg,tumour\nnone,normal\n")
    layout = with_families(tmp_path, labels)
    assert layout.families is None
    assert "families.csv was not used, as other labels were given" in "".join(layout.notes)
    with pytest.raises(BrainsslError, match="'hgg' is not among the classes"):
        with_families(tmp_path, labels, tmp_path / "families.csv")


@pytest.mark.parametrize("held", [(), ("families.csv",), ("patients.csv", "Families.csv", "masks")])
def test_what_lies_beside_images_alone_is_told(tmp_path: Path, held: tuple[str, ...]) -> None:
    slices(tmp_path, "new/images/a")
    for name in held:
        path = tmp_path / "new" / name
        path.write_text("") if path.suffix else path.mkdir()
    layout = read_layout(tmp_path / "new/images")
    notes = layout.notes
    assert layout.overlooked == notes  # what a study says on the terminal, too
    told = [note.split(" beside images/ was not read")[0] for note in notes]
    assert told == [{"masks": "masks/"}.get(name, name.lower()) for name in held]
    assert all("name the folder that holds both, new/" in note for note in notes)

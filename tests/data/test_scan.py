import os
import unicodedata
from pathlib import Path
from zlib import crc32

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brainssl.data.leakage import Leakage
from brainssl.data.read import read_slice
from brainssl.data.scan import MANIFEST_COLUMNS, scan
from brainssl.data.sequence import sequence_of
from brainssl.foundation.errors import BrainsslError

PORTUGUESE = "Outros Tipos de Lesões (Abscessos, Cistos, Encefalopatias Diversas) T1C+"


def put(path: Path, seed: int | None = None, size: int = 24) -> Path:
    """Write a picture that no other resembles; the same seed gives the same pixels."""
    seed = crc32(os.fsencode(path)) if seed is None else seed
    levels = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels).save(path)
    return path


def column(manifest: pd.DataFrame, name: str) -> dict[str, object]:
    return dict(zip(manifest["path"], manifest[name], strict=True))


def test_class_folders(tmp_path: Path) -> None:
    put(tmp_path / "Glioma T1" / "b.png")
    put(tmp_path / "Glioma T1" / "a.png")
    put(tmp_path / "Normal T2" / "a.bmp", size=30)
    found = scan(tmp_path)
    manifest = found.manifest
    assert tuple(manifest.columns) == MANIFEST_COLUMNS
    assert manifest["path"].tolist() == ["Glioma T1/a.png", "Glioma T1/b.png", "Normal T2/a.bmp"]
    assert manifest["label"].tolist() == ["Glioma T1", "Glioma T1", "Normal T2"]
    assert manifest["sequence"].tolist() == ["T1", "T1", "T2"]
    assert manifest["width"].tolist() == manifest["height"].tolist() == [24, 24, 30]
    assert manifest["given"].isna().all()
    assert manifest["patient"].isna().all()
    assert manifest["image_id"].is_unique
    assert manifest["group"].nunique() == 3
    assert found.root == tmp_path
    assert found.unreadable == []
    assert all((found.root / path).is_file() for path in manifest["path"])


def test_parquet_keeps_the_manifest(tmp_path: Path) -> None:
    put(tmp_path / "A" / "a.png")
    manifest = scan(tmp_path).manifest
    manifest.to_parquet(tmp_path / "m.parquet")
    back = pd.read_parquet(tmp_path / "m.parquet")
    assert back["label"].tolist() == ["A"]
    assert back["patient"].isna().all()
    assert back["group"].dtype == np.int64


def test_identifiers_do_not_depend_on_the_place_or_on_unicode_form(tmp_path: Path) -> None:
    identifiers = []
    for place, form in (("one", "NFC"), ("two", "NFD")):
        folder = tmp_path / place / unicodedata.normalize(form, PORTUGUESE)
        put(folder / "a.png")
        put(tmp_path / place / "Other T1" / "b.png")
        manifest = scan(tmp_path / place).manifest
        assert set(manifest["label"]) == {PORTUGUESE, "Other T1"}
        assert column(manifest, "sequence")[f"{folder.name}/a.png"] == "T1C+"
        identifiers.append(sorted(manifest["image_id"]))
    assert identifiers[0] == identifiers[1]


def test_both_spellings_of_one_folder_are_one_class_with_two_images(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        put(tmp_path / unicodedata.normalize(form, "Lesões T1") / "a.png")
    manifest = scan(tmp_path).manifest
    assert manifest["label"].tolist() == ["Lesões T1"] * 2
    assert manifest["image_id"].is_unique


@pytest.mark.parametrize(
    ("train", "test"), [("Training", "Testing"), ("train", "test"), ("TRAIN", "Test")]
)
def test_a_given_split_is_kept(tmp_path: Path, train: str, test: str) -> None:
    put(tmp_path / train / "A" / "1.png")
    put(tmp_path / train / "B" / "1.png")
    put(tmp_path / test / "A" / "1.png")
    put(tmp_path / "val" / "A" / "1.png")
    put(tmp_path / "extra" / "1.png")
    found = scan(tmp_path)
    given = {f"{train}/A/1.png": "train", f"{train}/B/1.png": "train", "val/A/1.png": "train"}
    given |= {f"{test}/A/1.png": "test", "extra/1.png": None}
    assert column(found.manifest, "given") == given
    labels = column(found.manifest, "label")
    assert labels.pop("extra/1.png") is None
    assert labels == {path: path.split("/")[1] for path in labels}
    assert any("extra" in note for note in found.notes)
    assert any("validation is drawn anew" in note for note in found.notes)


def test_classes_named_like_one_part_are_no_split(tmp_path: Path) -> None:
    put(tmp_path / "test" / "1.png")
    put(tmp_path / "Glioma" / "1.png")
    manifest = scan(tmp_path).manifest
    assert manifest["given"].isna().all()
    assert set(manifest["label"]) == {"test", "Glioma"}


def test_nested_sequence_folders_join_the_class_and_others_do_not(tmp_path: Path) -> None:
    put(tmp_path / "Glioma" / "T1" / "1.png")
    put(tmp_path / "Glioma" / "T1C+" / "1.png")
    put(tmp_path / "Normal T2" / "somebody" / "1.png")
    found = scan(tmp_path)
    assert found.manifest["label"].tolist() == ["Glioma T1", "Glioma T1C+", "Normal T2"]
    assert found.manifest["patient"].isna().all()
    assert any("path,label,patient" in note for note in found.notes)


def test_one_wrapping_folder_is_looked_through(tmp_path: Path) -> None:
    put(tmp_path / "archive" / "A" / "1.png")
    put(tmp_path / "archive" / "B" / "1.png")
    found = scan(tmp_path)
    assert found.root == tmp_path / "archive"
    assert found.manifest["label"].tolist() == ["A", "B"]


def test_flat_folder_with_its_table(tmp_path: Path) -> None:
    for name in ("1.png", "2.png", "3.png"):
        put(tmp_path / name)
    (tmp_path / "labels.csv").write_text(
        "path,label,patient\n1.png,Glioma T1,p1\n2.png,,p2\ngone.png,x,p3\n"
    )
    found = scan(tmp_path)
    assert found.manifest["label"].tolist() == ["Glioma T1", None, None]
    assert found.manifest["patient"].tolist() == ["p1", "p2", None]
    notes = " ".join(found.notes)
    assert "gone.png" in notes
    assert "1 image has no row" in notes


def test_flat_folder_without_table_is_unlabelled(tmp_path: Path) -> None:
    put(tmp_path / "1.png")
    put(tmp_path / "2.png")
    assert scan(tmp_path).manifest["label"].isna().all()


def test_folder_labels_rename_and_unlabel(tmp_path: Path) -> None:
    source = tmp_path / "source"
    put(source / "Training" / unicodedata.normalize("NFD", "Lesões T2") / "1.png")
    put(source / "Testing" / "Carcinoma T1" / "1.png")
    table = tmp_path / "labels.csv"
    table.write_text("\ufefffolder;label\nLesões T2;Other T2\nCarcinoma T1;\nAbsent;x\n", "utf-8")
    found = scan(source, labels=table)
    assert found.manifest["label"].tolist() == [None, "Other T2"]
    assert found.manifest["sequence"].tolist() == ["T1", "T2"]
    assert any("Absent" in note for note in found.notes)


def test_a_folder_without_label_row_is_told(tmp_path: Path) -> None:
    put(tmp_path / "A" / "1.png")
    put(tmp_path / "B" / "1.png")
    table = tmp_path / "map.csv"
    table.write_text("folder,label\nA,a\n")
    with pytest.raises(BrainsslError, match=r"map\.csv.*'B'.*pretraining"):
        scan(tmp_path, labels=table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "needs the columns"),
        ("path,label\n1.png,x\n1.png,y\n", "two values"),
        ("path,label\n1.png\n", "line 2"),
        ("path,label\nnowhere.png,x\n", "none of the images"),
    ],
)
def test_tables_that_do_not_fit_are_told(tmp_path: Path, text: str, message: str) -> None:
    put(tmp_path / "pictures" / "1.png")
    table = tmp_path / "t.csv"
    table.write_text(text)
    with pytest.raises(BrainsslError, match=message) as caught:
        scan(tmp_path / "pictures", labels=table)
    assert "t.csv" in str(caught.value)


def test_images_folder_with_patients_and_masks_beside_it(tmp_path: Path) -> None:
    for name in ("A T1/1.png", "A T1/2.png", "B T2/1.png"):
        put(tmp_path / "images" / name)
        put(tmp_path / "masks" / name)
    (tmp_path / "patients.csv").write_text(
        "path,patient,family\nA T1/1.png,p1,A\nA T1/2.png,p1,A\nB T2/1.png,p2,B\n"
    )
    found = scan(tmp_path)
    assert found.root == tmp_path / "images"
    assert found.manifest["patient"].tolist() == ["p1", "p1", "p2"]
    assert found.manifest["group"].tolist() == [0, 0, 1]
    assert found.manifest["label"].tolist() == ["A T1", "A T1", "B T2"]


def test_planes_are_kept_where_a_table_tells_them(tmp_path: Path) -> None:
    for name in ("A/1.png", "A/2.png", "B/1.png"):
        put(tmp_path / name)
    assert scan(tmp_path).manifest["plane"].isna().all()
    table = tmp_path / "patients.csv"
    table.write_text("path,patient,plane\nA/1.png,p1,Axial\nA/2.png,p1,\nB/1.png,p2,coronal\n")
    assert scan(tmp_path).manifest["plane"].tolist() == ["axial", None, "coronal"]
    table.unlink()
    # A table of labels may tell them too, with patients or without.
    for columns, cells in (("path,label,plane", ""), ("path,label,patient,plane", "p1,")):
        labels = tmp_path / "labels.csv"
        labels.write_text(f"{columns}\nA/1.png,A,{cells}sagittal\nB/1.png,B,{cells}axial\n")
        assert scan(tmp_path, labels=labels).manifest["plane"].tolist() == [
            "sagittal",
            None,
            "axial",
        ]


def test_patients_beside_the_named_images_folder_are_not_lost_silently(tmp_path: Path) -> None:
    home = tmp_path / "phantom"
    put(home / "images" / "A" / "1.png")
    put(home / "images" / "B" / "1.png")
    (home / "patients.csv").write_text("path,patient\nA/1.png,p1\nB/1.png,p2\n")
    inside, whole = scan(home / "images"), scan(home)
    assert inside.manifest["patient"].isna().all()
    assert [note for note in inside.notes if "patients.csv" in note and "phantom/" in note]
    assert whole.manifest["patient"].tolist() == ["p1", "p2"]
    assert not [note for note in whole.notes if "patients.csv" in note]


def test_identical_pixels_share_a_group_across_formats_and_merge_patients(tmp_path: Path) -> None:
    put(tmp_path / "A" / "1.png", seed=1)
    put(tmp_path / "B" / "1.bmp", seed=1)
    put(tmp_path / "B" / "2.png", seed=2)
    (tmp_path / "patients.csv").write_text("path,patient\nA/1.png,p1\nB/1.bmp,p2\nB/2.png,p2\n")
    found = scan(tmp_path)
    pixels = found.manifest["pixels"]
    assert pixels[0] == pixels[1] != pixels[2]
    assert found.file_digests[0] != found.file_digests[1]
    assert found.manifest["group"].nunique() == 1
    assert any("p1, p2" in note for note in found.notes)


def put_levels(path: Path, levels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(levels.astype(np.uint8)).save(path)


@pytest.mark.parametrize("known", [True, False])
def test_blank_slices_join_nobody(tmp_path: Path, known: bool) -> None:
    """Black ends of two volumes, one with a letter in its corner, with noise, or nothing at all."""
    lettered = np.zeros((40, 40))
    lettered[1:5, 1:5] = 255
    noise = np.random.default_rng(0).integers(0, 6, (40, 40))
    for patient in "pq":
        put(tmp_path / "A" / f"{patient}.png")
        for number, levels in enumerate((np.zeros((40, 40)), lettered, noise)):
            put_levels(tmp_path / "A" / f"{patient}{number}.png", levels)
    rows = [f"A/{p}{n}.png,{p}" for p in "pq" for n in ("", 0, 1, 2)]
    if known:
        (tmp_path / "patients.csv").write_text("\n".join(["path,patient", *rows]) + "\n")
    found = scan(tmp_path)
    flags = column(found.manifest, "flags")
    assert [flags[f"A/p{n}.png"] for n in ("", 0, 1, 2)] == ["", "blank", *["nearly blank"] * 2]
    assert found.manifest["pixels"].nunique() == 5
    assert found.manifest["group"].nunique() == (2 if known else 8)
    assert not [note for note in found.notes if "p, q" in note]
    assert "Images that show hardly anything join no group: 6." in " ".join(found.notes)
    leakage = Leakage.of(found.manifest, found.pairs)
    seen = leakage.seen(np.arange(4), np.arange(4, 8))
    assert not seen["identical"].any()
    assert not seen["near_duplicate"].any()


def test_the_same_slice_in_8_and_in_16_bits_is_one_picture(tmp_path: Path) -> None:
    shallow = np.random.default_rng(0).integers(0, 200, (24, 24), dtype=np.uint8)
    for name, samples in (("a", shallow), ("b", shallow.astype(np.uint16) * 257)):
        Image.fromarray(samples).save(tmp_path / f"{name}.png")
    manifest = scan(tmp_path).manifest
    assert manifest["pixels"].nunique() == manifest["group"].nunique() == 1
    assert scan(tmp_path, reader=1).manifest["pixels"].nunique() == 2


def test_a_corrupt_file_is_listed_and_left_out(tmp_path: Path) -> None:
    put(tmp_path / "A" / "good.png")
    whole = put(tmp_path / "A" / "cut.png").read_bytes()
    (tmp_path / "A" / "cut.png").write_bytes(whole[:200])
    (tmp_path / "A" / "empty.jpg").touch()
    (tmp_path / "A" / "scan.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "notes.txt").write_text("not an image")
    found = scan(tmp_path)
    assert found.manifest["path"].tolist() == ["A/good.png"]
    reasons = dict(found.unreadable)
    assert list(reasons) == ["A/cut.png", "A/empty.jpg", "A/scan.dcm"]
    assert reasons["A/empty.jpg"] == "is empty"
    assert all(str(tmp_path) not in reason for reason in reasons.values())
    assert any(".txt" in note for note in found.notes)


def test_litter_is_ignored(tmp_path: Path) -> None:
    put(tmp_path / "A" / "1.png")
    put(tmp_path / "B" / "1.png")
    for name in ("Thumbs.db", ".DS_Store", "._1.png", "desktop.ini"):
        (tmp_path / "A" / name).write_bytes(b"x")
    put(tmp_path / "__MACOSX" / "A" / "1.png")
    put(tmp_path / ".cache" / "1.png")
    found = scan(tmp_path)
    assert len(found.manifest) == 2
    assert found.unreadable == []


def test_links_do_not_leave_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    outside = put(tmp_path / "outside" / "1.png")
    put(source / "A" / "1.png", seed=5)
    put(source / "B" / "1.png", seed=6)
    (source / "A" / "away.png").symlink_to(outside)
    (source / "A" / "within.png").symlink_to(source / "B" / "1.png")
    (source / "away").symlink_to(outside.parent)
    (source / "loop").symlink_to(source)
    (source / "A" / "broken.png").symlink_to(source / "nowhere.png")
    found = scan(source)
    assert found.manifest["path"].tolist() == ["A/1.png", "A/within.png", "B/1.png"]
    reasons = dict(found.unreadable)
    assert set(reasons) == {"A/away.png", "away", "loop", "A/broken.png"}
    assert "leaves the source" in reasons["A/away.png"]
    assert "leaves the source" in reasons["away"]


def test_a_name_that_is_not_utf8_is_listed(tmp_path: Path) -> None:
    put(tmp_path / "A" / "1.png")
    try:
        (tmp_path / "A" / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system refuses such names")
    found = scan(tmp_path)
    assert [reason for _, reason in found.unreadable] == ["its name is not valid UTF-8; rename it"]


@pytest.mark.parametrize("content", [None, b"nonsense"])
def test_nothing_readable_is_an_error_with_its_mend(tmp_path: Path, content: bytes | None) -> None:
    if content:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(BrainsslError, match="name a folder with PNG") as caught:
        scan(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_such_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="is not a folder"):
        scan(tmp_path / "missing")


def test_flags_bits_and_digests_come_from_the_reader(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 4096, (20, 30)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    colour = np.zeros((20, 20, 4), np.uint8)
    colour[..., 0] = 200
    Image.fromarray(colour).save(tmp_path / "colour.png")
    found = scan(tmp_path)
    assert found.manifest["source_bits"].tolist() == [8, 16]
    assert found.manifest["flags"].tolist() == ["coloured;alpha ignored;blank", ""]
    pixels = read_slice(tmp_path / "deep.png").pixels
    assert pixels.shape == (found.manifest["height"][1], found.manifest["width"][1])


def test_progress_counts_every_file_once_and_order_does_not_change_results(tmp_path: Path) -> None:
    for number in range(40):
        put(tmp_path / "AB"[number % 2] / f"{number}.png", seed=number)
    (tmp_path / "A" / "bad.png").write_bytes(b"x")
    told: list[tuple[int, int]] = []
    first = scan(tmp_path, progress=lambda done, total: told.append((done, total)))
    assert told == [(done, 41) for done in range(1, 42)]
    pd.testing.assert_frame_equal(first.manifest, scan(tmp_path).manifest)


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("Glioma T1", "T1"),
        ("Glioma T1C+", "T1C+"),
        ("glioma_t1ce", "T1C+"),
        ("Glioma T1 Gd", "T1C+"),
        ("Meningioma-T2", "T2"),
        ("Glioma T2 FLAIR", "FLAIR"),
        ("x flair", "FLAIR"),
        ("Normal (T1)", "T1"),
        ("T2", "T2"),
        ("BRATS dwi", "DWI"),
        ("Glioma", None),
        ("ST1", None),
        ("T1 Glioma", None),
        ("", None),
    ],
)
def test_sequences_are_read_from_the_end_of_names(name: str, sequence: str | None) -> None:
    assert sequence_of(name) == sequence
    assert sequence_of(None, name) == sequence

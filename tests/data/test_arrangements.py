"""Folders as people have them: each is understood, or asked about, or said."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from brainssl.data.layout import Layout, read_layout


@dataclass(frozen=True)
class Case:
    """Files of a source, one a word, and what is made of them."""

    files: str
    classes: set[str | None]
    asked: str = ""
    noted: str = ""
    given: tuple[int, int] = (0, 0)
    patients: int = 0


TUMOURS = "glioma/1.png glioma/2.png normal/1.png normal/2.png"
CASES = {
    "class folders": Case(TUMOURS, {"glioma", "normal"}),
    "with a README and a licence": Case(f"{TUMOURS} README.md LICENSE.txt", {"glioma", "normal"}),
    "in a folder of the archive": Case(
        "brain/glioma/1.png brain/normal/1.png", {"glioma", "normal"}, noted="Looked through brain/"
    ),
    "in two folders of the archive": Case(
        "a/b/glioma/1.png a/b/normal/1.png", {"glioma", "normal"}, noted="Looked through a/b/"
    ),
    "class and sequence in one name": Case(
        "glioma_T1/1.png glioma_T2/1.png", {"glioma_T1", "glioma_T2"}
    ),
    "a sequence below the class": Case(
        "glioma/T1/1.png glioma/T1ce/1.png", {"glioma T1", "glioma T1C+"}
    ),
    "planes below the class": Case("glioma/axial/1.png normal/sag/1.png", {"glioma", "normal"}),
    "patients below the class": Case(
        "glioma/P1/1.png normal/P2/1.png", {"glioma", "normal"}, noted="taken for", patients=2
    ),
    "patients, then sequences": Case(
        "glioma/P1/T1/1.png normal/P2/T1/1.png", {"glioma", "normal"}, patients=2
    ),
    "a given test set": Case(
        "Training/glioma/1.png Training/normal/1.png Testing/glioma/2.png",
        {"glioma", "normal"},
        given=(2, 1),
    ),
    "three parts": Case(
        "train/glioma/1.png train/normal/1.png valid/glioma/3.png test/glioma/2.png",
        {"glioma", "normal"},
        noted="counts as training data",
        given=(3, 1),
    ),
    "folders beside the parts": Case(
        "train/a/1.png train/b/1.png test/a/2.png more/3.png",
        {"a", "b", None},
        noted="kept unlabelled: more",
        given=(2, 1),
    ),
    "sites": Case("s1/a/1.png s1/b/1.png s2/a/1.png", {"s1", "s2"}, asked="--classes-at 2"),
    "folds": Case("fold1/a/1.png fold2/a/1.png", {"fold1", "fold2"}, asked="--classes-at 2"),
    "patients above the classes": Case(
        "P1/glioma/1.png P2/normal/1.png P3/normal/1.png", {"P1", "P2", "P3"}, asked="as patients"
    ),
    "names of people": Case("a/Smith/1.png b/Jones/1.png", {"a", "b"}, asked="--classes-at 1"),
    "kinds of tumours": Case("t/g/1.png t/m/1.png n/1.png", {"t", "n"}, asked="--classes-at 2"),
    "planes above": Case("axial/1.png coronal/1.png", {"axial", "coronal"}, asked="are planes"),
    "parts in names": Case(
        "a_train/1.png a_test/1.png", {"a_train", "a_test"}, asked="end in parts of a split"
    ),
    "names in two cases": Case("A/1.png a /1.png", {"A", "a"}, asked="differ in case"),
    "masks in files": Case(
        "a/1.tif a/1_mask.tif b/2.tif b/2_mask.tif", {"a", "b"}, noted="2 masks beside"
    ),
    "masks in a folder of the class": Case(
        "a/images/1.png a/masks/1.png b/images/2.png", {"a", "b"}
    ),
    "masks in a class": Case("a/1.png b/1.png a_mask/1.png", {"a", "b", "a_mask"}, asked="masks"),
    "masks beside images": Case("images/a/1.png images/b/1.png masks/a/1.png", {"a", "b"}),
    "folders beside images": Case(
        "images/a/1.png images/b/1.png old/a/1.png", {"a", "b"}, noted="were not scanned: old"
    ),
    "litter": Case(f"{TUMOURS} @eaDir/1.png glioma/.DS_Store Thumbs.db", {"glioma", "normal"}),
    "images loose beside the classes": Case(f"{TUMOURS} 1.png", {"glioma", "normal", None}),
    "no folder at all": Case("1.png 2.png", {None}),
    "classes that are numbers": Case("0/a.png 1/a.png 2/a.png", {"0", "1", "2"}),
    "a backslash of Windows in a name": Case("gli\\oma/1.png b/1.png", {"gli\\oma", "b"}),
}


def read(root: Path, case: Case) -> Layout:
    for file in case.files.replace("a /", "a\0/").split():
        path = root / file.replace("\0", " ")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return read_layout(root)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_arrangement_is_understood_or_asked_about(tmp_path: Path, case: Case) -> None:
    layout = read(tmp_path, case)
    assert set(layout.labels.values()) == case.classes
    parts = list(layout.given.values())
    assert (parts.count("train"), parts.count("test")) == case.given
    assert len({patient for patient in layout.patients.values() if patient}) == case.patients
    if case.asked:
        assert case.asked in layout.questions[0]
    else:
        assert not layout.questions
    assert any(case.noted in note for note in layout.notes) or not case.noted

"""Patients and series of new files: the answers are those of an independent calculation."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import brainssl
from brainssl.inference import predict
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

CLASSES = ("glioma f", "glioma d", "healthy")
FAMILIES = {"glioma f": ["Glioma", "FLAIR"], "glioma d": ["Glioma", "DWI"], "healthy": ["No", ""]}
RULES = {
    "patient": {"scores": "logits", "surest": None},
    "series": {"scores": "probabilities", "surest": 2},
}
SERIES = ("P1/FLAIR", "P1/DWI", "P2/FLAIR")


def saved(folder: Path, **facts: Any) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    head = nn.Linear(encoder.dim, 3)
    with torch.no_grad():
        head.weight.mul_(20)  # so that slices are answered otherwise than their neighbours
    Classifier(encoder, head, CLASSES, {"reader": 2, **facts}).save(
        folder / "classifier.safetensors"
    )
    return folder


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three slices in each of three series, and one that cannot be read."""
    generator = np.random.default_rng(0)
    for name in SERIES:
        folder = tmp_path / "new" / name
        folder.mkdir(parents=True)
        for number in range(3):
            pixels = generator.integers(0, 256, (32, 32), dtype=np.uint8)
            pixels[: 8 * number] //= 3
            Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "new/P2/FLAIR/broken.png").write_bytes(b"no picture")
    return tmp_path / "new"


def shares(answer: dict[str, Any], below: str) -> np.ndarray:
    rows = [row for row in answer["predictions"] if below in row["file"] and "error" not in row]
    return np.array([[row["probabilities"][name] for name in CLASSES] for row in rows])


def test_answers_are_those_of_the_rules_that_the_classifier_holds(
    people: Path, tmp_path: Path
) -> None:
    classifier = saved(tmp_path / "c", families=FAMILIES, rules=RULES)
    answer = brainssl.predict(classifier, people)
    assert [one["patient"] for one in answer["patients"]] == ["P1", "P2"]
    for one, slices in zip(answer["patients"], (6, 3), strict=True):
        p = shares(answer, f"/{one['patient']}/")
        families = np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1)
        product = np.prod(families, axis=0) ** (1 / len(families))
        expected = product / product.sum()
        assert one["probabilities"] == pytest.approx(
            dict(zip(("Glioma", "No"), expected, strict=True)), abs=1e-5
        )
        assert one["label"] == ("Glioma", "No")[expected.argmax()]
        assert one["slices"] == len(one["files"]) == slices
    assert [Path(file).name for file in answer["patients"][1]["left_out"]] == ["broken.png"]
    keys = [(one["patient"], one["sequence"]) for one in answer["series"]]
    assert keys == [("P1", "DWI"), ("P1", "FLAIR"), ("P2", "FLAIR")]
    for one in answer["series"]:
        p = shares(answer, f"/{one['patient']}/{one['sequence']}/")
        surest = p[np.argsort(-p.max(axis=1))[:2]].mean(axis=0)
        assert list(one["probabilities"].values()) == pytest.approx(surest, abs=1e-5)
    assert answer["rules"]["patient"] == {"rule": "mean of logits", "chosen": True}
    assert "not chosen" not in "".join(answer["notes"])


def test_without_a_rule_it_is_the_mean_and_that_is_said(people: Path, tmp_path: Path) -> None:
    """As of a file of an earlier version, whose classes are known by their names alone."""
    answer = brainssl.predict(saved(tmp_path / "c"), people)
    first = answer["patients"][0]
    assert list(first["probabilities"]) == list(CLASSES)
    assert list(first["probabilities"].values()) == pytest.approx(
        shares(answer, "/P1/").mean(axis=0), abs=1e-5
    )
    assert answer["rules"]["patient"] == {"rule": "mean of probabilities", "chosen": False}
    told = " ".join(answer["notes"])
    assert "earlier version" in told
    assert "patients and series was not chosen on validation" in told
    assert answer.text.startswith("Patients, by the mean of probabilities (not chosen on valid")
    assert answer.text.index("P1:") < answer.text.index("P1 · DWI:") < answer.text.index("0.png:")


def test_tables_of_patients_and_series_lie_beside_that_of_files(
    people: Path, tmp_path: Path
) -> None:
    classifier = saved(tmp_path / "c", families=FAMILIES, rules=RULES)
    answer = brainssl.predict(classifier, people, out=tmp_path / "said.csv")
    patients = pd.read_csv(tmp_path / "said-patients.csv")
    assert patients["patient"].tolist() == ["P1", "P2"]
    assert patients["label"].tolist() == [one["label"] for one in answer["patients"]]
    assert patients["probability:No"].tolist() == pytest.approx(
        [one["probabilities"]["No"] for one in answer["patients"]]
    )
    assert (patients["slices"].tolist(), patients["left_out"].tolist()) == ([6, 3], [0, 1])
    assert set(patients["rule"]) == {"mean of logits"}
    series = pd.read_csv(tmp_path / "said-series.csv")
    assert series["sequence"].tolist() == ["DWI", "FLAIR", "FLAIR"]
    assert len(pd.read_csv(tmp_path / "said.csv")) == 10
    brainssl.predict(classifier, people / "P1/DWI/0.png", out=tmp_path / "one.csv")
    assert not (tmp_path / "one-patients.csv").exists()


def test_a_patient_of_whom_nothing_can_be_read_is_named(people: Path, tmp_path: Path) -> None:
    for file in people.glob("P2/*/?.png"):
        file.write_bytes(b"gone")
    answer = brainssl.predict(saved(tmp_path / "c", families=FAMILIES, rules=RULES), people)
    lost = answer["patients"][1]
    assert lost["error"] == "none of 4 files could be read"
    assert "label" not in lost
    assert "P2: none of 4 files could be read" in answer.text


@pytest.mark.parametrize(
    ("good", "bad", "kind"),
    [
        ("0_stray.png", "P1/b.png", "patients"),
        ("P1/0.png", "P1/T1/b.png", "series"),
    ],
)
def test_nobody_answers_for_whom_nothing_could_be_read(
    tmp_path: Path, good: str, bad: str, kind: str
) -> None:
    """Not even where all that could be read is of nobody."""
    for name in (good, bad):
        (tmp_path / "n" / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(tmp_path / "n" / good)
    (tmp_path / "n" / bad).write_bytes(b"no picture")
    answer = brainssl.predict(saved(tmp_path / "c", families=FAMILIES, rules=RULES), tmp_path / "n")
    (lost,) = answer[kind]
    assert lost["error"] == "its only file could not be read"
    assert "label" not in lost
    assert sum("label" in row for row in answer["predictions"]) == 1


def test_the_order_of_files_does_not_matter_to_a_patient(people: Path, tmp_path: Path) -> None:
    classifier = saved(tmp_path / "c", families=FAMILIES, rules=RULES)
    files = sorted(people.glob("P1/*/*.png"))
    one, other = (
        brainssl.predict(classifier, own, patients="folders") for own in (files, files[::-1])
    )
    own = {p["patient"]: p["probabilities"] for p in one["patients"]}
    for unit in other["patients"]:
        assert unit["probabilities"] == pytest.approx(own[unit["patient"]], abs=1e-6)


def test_many_files_are_answered_as_each_alone(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(predict, "TOGETHER", 4)  # the last batch is shorter
    seen: list[int] = []
    seeing = Classifier.seen

    def counted(self: Classifier, images: np.ndarray, rows: Any = None) -> Any:
        seen.append(len(images))
        return seeing(self, images, rows)

    monkeypatch.setattr(Classifier, "seen", counted)
    classifier = saved(tmp_path / "c")
    together = brainssl.predict(classifier, people)["predictions"]
    assert seen == [4, 4, 1]
    for row in together:
        (alone,) = brainssl.predict(classifier, row["file"])["predictions"]
        if "error" in row:
            assert alone == {name: row[name] for name in ("file", "error")}
        else:
            assert alone["probabilities"] == pytest.approx(row["probabilities"], abs=1e-6)
            assert alone["label"] == row["label"]

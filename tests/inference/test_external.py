"""Another collection: labels are mapped, probabilities summed, the drop is of the same labels."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import brainssl
from brainssl.api.summaries import external_text
from brainssl.data.archives.reading import Reading
from brainssl.data.marks import marks
from brainssl.data.prepare import write_store
from brainssl.data.read import read_slice
from brainssl.data.store import ImageStore, letterbox
from brainssl.data.volumes.choice import Choice
from brainssl.evaluation.predictions import Predictions
from brainssl.foundation.errors import BrainsslError
from brainssl.inference.external import evaluate_external
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder
from brainssl.simulation import simulate_archive

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1")


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A classifier with predictions on its own test set: right on 18 of 24 images."""
    folder = tmp_path / "trained"
    folder.mkdir()
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    facts = {"method": "simclr", "stage": "linear", "seed": 0}
    Classifier(encoder, nn.Linear(encoder.dim, 3), CLASSES, facts).save(
        folder / "classifier.safetensors"
    )
    labels = np.arange(24) % 3
    said = np.where(np.arange(24) < 18, labels, (labels + 1) % 3)
    Predictions.build(
        [f"own-{i}" for i in range(24)],
        np.arange(24) // 2,
        ["test"] * 24,
        labels,
        np.eye(3)[said] * 3.0,
        CLASSES,
    ).save(folder / "predictions.parquet")
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """Ten pictures in each of the folders `gl`, `no` and `odd`."""
    generator = np.random.default_rng(0)
    for name in ("gl", "no", "odd"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(10):
            pixels = generator.integers(0, 255, (20, 24), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


def test_the_classifier_runs_where_there_is_a_gpu(
    trained: Path, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved: list[torch.device] = []

    def to(self: Classifier, device: torch.device) -> Classifier:
        moved.append(device)
        return self

    monkeypatch.setattr(Classifier, "to", to)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    labels = table(tmp_path, gl="Glioma T1", no="Normal T1", odd="")
    evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)
    assert moved == [torch.device("cuda")]


def table(tmp_path: Path, **labels: str) -> Path:
    file = tmp_path / "map.csv"
    lines = [f"{folder},{label}" for folder, label in labels.items()]
    file.write_text("\n".join(["folder,label", *lines]))
    return file


def test_classes_are_measured_and_set_against_the_own_test_set(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    labels = table(tmp_path, gl="Glioma T1", no="Normal T1", odd="")
    told = evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)
    assert (told["labels"], told["images"], told["unlabelled"]) == ("class", 20, 10)
    saved = Predictions.load(tmp_path / "out" / "predictions.parquet")
    assert saved.classes == CLASSES
    accuracy = (saved.predicted == saved.labels).mean()
    assert told["row"]["metrics"]["accuracy"] == accuracy == told["drop"]["here"]
    # Of the own test set, images of the classes that occur here alone.
    own = Predictions.load(trained / "predictions.parquet").frame
    alike = own[own["label"].isin(["Glioma T1", "Normal T1"])]
    right = [int(i.removeprefix("own-")) < 18 for i in alike["image_id"]]
    assert told["drop"]["own"] == np.mean(right)
    assert told["drop"]["images"] == len(alike) == 16
    assert told["drop"]["difference"] == pytest.approx(np.mean(right) - accuracy)
    assert json.loads((tmp_path / "out" / "external.json").read_text())["drop"] == told["drop"]


def test_families_sum_the_probabilities_of_their_classes(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    labels = table(tmp_path, gl="Glioma", no="Normal", odd="")
    told = evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)
    assert told["labels"] == "family"
    saved = Predictions.load(tmp_path / "out" / "predictions.parquet")
    assert saved.classes == ("Glioma", "Normal")
    store = ImageStore.open(tmp_path / "out" / "store")
    rows = np.flatnonzero(store.manifest["label"].notna())
    logits = Classifier.load(trained).logits(store.images, rows).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1)
    assert saved.probabilities() == pytest.approx(expected, abs=1e-5)
    assert told["drop"]["images"] == 24


def test_without_own_predictions_there_is_no_drop(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    (trained / "predictions.parquet").unlink()
    labels = table(tmp_path, gl="Glioma", no="Normal", odd="")
    assert evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)["drop"] is None


def refused(path: Path, source: Path, tmp_path: Path, labels: Path | None = None) -> str:
    with pytest.raises(BrainsslError) as error:
        evaluate_external(path, source, tmp_path / "out", labels=labels)
    assert not (tmp_path / "out").exists()
    return str(error.value)


def test_labels_that_do_not_fit_are_refused(trained: Path, elsewhere: Path, tmp_path: Path) -> None:
    mixed = table(tmp_path, gl="Glioma", no="Normal T1", odd="")
    assert "'Glioma' is not among the classifier's classes" in refused(
        trained, elsewhere, tmp_path, mixed
    )
    misspelt = table(tmp_path, gl="Gliom", no="Normal", odd="")
    assert "(nearest: 'Glioma')" in refused(trained, elsewhere, tmp_path, misspelt)
    none = table(tmp_path, gl="", no="", odd="")
    assert "no labelled image" in refused(trained, elsewhere, tmp_path, none)


def learning(trained: Path, images: np.ndarray) -> None:
    """Let the classifier have marks of these images."""
    classifier = Classifier.load(trained)
    classifier.learnt = marks(images)
    classifier.save(trained / "classifier.safetensors")


def test_images_that_it_learnt_are_left_out_with_their_groups(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    rows = [f"gl/{i}.png,Glioma T1,p{i // 2}" for i in range(10)]
    rows += [f"no/{i}.png,Normal T1,q{i}" for i in range(10)]
    labels = tmp_path / "table.csv"
    labels.write_text("\n".join(["path,label,patient", *rows]))
    before = evaluate_external(trained, elsewhere, tmp_path / "before", labels=labels)
    assert before["learnt"] is None
    assert "cannot be told" in external_text(before, tmp_path)
    store = ImageStore.open(tmp_path / "before" / "store")
    paths = store.manifest["path"]
    seen = paths.isin(["gl/0.png", "gl/4.png", "gl/5.png", "no/3.png", "odd/1.png"]).to_numpy()
    learning(trained, store.images[seen])
    told = evaluate_external(trained, elsewhere, tmp_path / "after", labels=labels)
    assert told["learnt"] == {"images": 4, "left_out": 5}
    assert "trained on 4 of the images: they are left out, with all of their groups 5" in (
        external_text(told, tmp_path)
    )
    assert (told["images"], told["groups"], told["unlabelled"]) == (15, 12, 10)
    kept = set(Predictions.load(tmp_path / "after" / "predictions.parquet").frame["image_id"])
    out = paths.isin(["gl/0.png", "gl/1.png", "gl/4.png", "gl/5.png", "no/3.png"])
    labelled = store.manifest["label"].notna()
    assert kept == set(store.manifest["image_id"][labelled & ~out])


def test_its_own_collection_is_no_other(trained: Path, elsewhere: Path, tmp_path: Path) -> None:
    labels = table(tmp_path, gl="Glioma T1", no="Normal T1", odd="")
    evaluate_external(trained, elsewhere, tmp_path / "before", labels=labels)
    store = ImageStore.open(tmp_path / "before" / "store")
    learning(trained, store.images[:14])  # and not its test set
    told = refused(trained, elsewhere, tmp_path, labels)
    assert "14 of 20 labelled images are among those that the classifier was trained on" in told
    assert "14 of 20" in refused(trained, store.path, tmp_path)


@pytest.mark.parametrize(
    ("size", "facts", "told"),
    [
        (16, {}, "holds images of 16 px"),
        (32, {"reader": 2}, "read by version 2 of the reader, .*with --reader 1"),
    ],
)
def test_a_store_of_other_images_is_refused(
    trained: Path, size: int, facts: dict[str, int], told: str, tmp_path: Path
) -> None:
    manifest = pd.DataFrame({"image_id": ["a"], "label": ["Glioma T1"], "group": [0]})
    images: Any = np.zeros((1, size, size), np.uint8)
    store = write_store(tmp_path / "store", manifest, iter(images), size=size, facts=facts)
    assert re.search(told, refused(trained, store.path, tmp_path))


def test_files_are_read_as_those_of_the_training(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    labels = table(tmp_path, gl="Glioma T1", no="Normal T1", odd="")
    for reader in (1, 2):
        classifier = Classifier.load(trained)
        assert classifier.reader == 1
        classifier.facts["reader"] = reader
        path = tmp_path / f"{reader}.safetensors"
        classifier.save(path)
        evaluate_external(path, elsewhere, tmp_path / f"{reader}", labels=labels)
        store = ImageStore.open(tmp_path / f"{reader}" / "store")
        assert store.reader == reader
        files = [read_slice(elsewhere / file, reader=reader) for file in store.manifest["path"]]
        assert (store.images == [letterbox(file.pixels, 32) for file in files]).all()


RULES = {
    "patient": {"scores": "logits", "surest": None},
    "series": {"scores": "probabilities", "surest": 1},
}


def of_patients(tmp_path: Path, normal: str = "Normal T1", glioma: str = "Glioma T1") -> Path:
    """Two patients of five slices with a glioma, ten with one slice, one of both, one unknown."""
    rows = [f"gl/{i}.png,{glioma},{'x' if i == 9 else f'p{i // 5}'}" for i in range(10)]
    rows += [
        f"no/{i}.png,{normal},{'x' if i == 9 else '' if i == 8 else f'q{i}'}" for i in range(10)
    ]
    labels = tmp_path / "table.csv"
    labels.write_text("\n".join(["path,label,patient", *rows]))
    return labels


def test_patients_and_series_are_measured_by_the_classifiers_rules(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    classifier = Classifier.load(trained)
    classifier.facts["rules"] = RULES
    classifier.save(trained / "classifier.safetensors")
    labels = of_patients(tmp_path)
    told = evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)
    people, series = told["units"]
    assert (people["unit"], people["asked"], people["rule"]) == (
        "patient",
        "family",
        "mean of logits",
    )
    assert (people["n"], people["conflicting"], people["unknown"], people["chosen"]) == (
        10,
        1,
        1,
        True,
    )
    saved = Predictions.load(tmp_path / "out" / "predictions.parquet")
    store = ImageStore.open(tmp_path / "out" / "store").manifest.set_index("image_id")
    patient = store["patient"][saved.frame["image_id"]].to_numpy(object)
    p = saved.probabilities()
    families = np.stack([p[:, 0] + p[:, 1], p[:, 2]], axis=1)
    right = [
        np.log(families[patient == name]).mean(axis=0).argmax() == name.startswith("q")
        for name in ("p0", "p1", *(f"q{i}" for i in range(8)))
    ]
    assert people["metrics"]["accuracy"] == pytest.approx(np.mean(right))
    assert (series["unit"], series["n"], series["conflicting"]) == ("series", 10, 1)
    assert series["rule"] == "mean of probabilities of the surest slice"
    page = (Path(__file__).parents[2] / "docs/reference/files.md").read_text("utf-8")
    (part,) = [part for part in page.split("\n\n") if part.startswith("`brainssl external`")]
    rows = told["row"].keys()  # have a page of their own
    documented = told.keys() | told["drop"].keys() | people.keys() - rows
    assert [key for key in sorted(documented) if f"`{key}`" not in part] == []
    assert "10 patients, by the mean of logits (chosen on validation): accuracy" in (
        external_text(told, tmp_path)
    )


def test_patients_are_asked_of_families_that_are_named(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    labels = of_patients(tmp_path, "Normal", "Glioma")
    (people,) = evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)["units"]
    assert (people["asked"], people["n"], people["conflicting"]) == ("family", 10, 1)
    assert (people["rule"], people["chosen"]) == ("mean of probabilities", False)


def test_families_of_the_classifier_count_not_the_names_of_its_classes(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    classifier = Classifier.load(trained)
    families = dict(
        zip(CLASSES, (["Tumour", "FLAIR"], ["Tumour", "DWI"], ["None", ""]), strict=True)
    )
    classifier.facts["families"] = families
    classifier.save(trained / "classifier.safetensors")
    labels = table(tmp_path, gl="Tumour", no="None", odd="")
    told = evaluate_external(trained, elsewhere, tmp_path / "out", labels=labels)
    assert told["labels"] == "family"
    assert told["units"] == []


def test_the_page_sets_the_own_score_beside_the_one_elsewhere(
    trained: Path, elsewhere: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text("folder,label\ngl,Glioma T1\nno,Normal T1\nodd,\n", encoding="utf-8")
    answer = brainssl.external(trained, elsewhere, tmp_path / "out", labels=labels)
    assert answer.page == tmp_path / "out" / "external.html"
    text = answer.page.read_text("utf-8")
    drop = answer["drop"]
    assert drop["row"]["metrics"]["accuracy"] == pytest.approx(drop["own"])
    assert drop["row"]["n"] == drop["images"]
    for number in (drop["own"], drop["here"]):
        assert f"{100 * number:.1f}" in text
    assert "SimCLR, linear probe is right on" in text
    assert text.index('id="figure-1"') < text.index('id="figure-1-2"') < text.index('id="external"')
    assert "Whether it was trained on some of these images cannot be told" in text


def test_an_archive_is_measured_by_the_labels_of_its_patients(
    trained: Path, tmp_path: Path
) -> None:
    """Accuracies are counted here anew, from what `predict` says of the same slices."""
    source = tmp_path / "archive"
    simulate_archive(source, format="bids", patients=3, size=64, slices=8, workers=1)
    loaded = Classifier.load(trained)
    loaded.facts |= {"reader": 2}
    loaded.save(trained / "classifier.safetensors")
    labels = tmp_path / "labels.csv"
    truth = {"sub-p001": "Glioma", "sub-p002": "Normal", "sub-p003": ""}
    rows = "".join(f"{name},{family}\n" for name, family in truth.items())
    labels.write_text(f"patient,label\n{rows}")
    told = evaluate_external(
        trained, source, tmp_path / "out", labels=labels, reading=Reading(Choice(3))
    )
    answer = brainssl.predict(trained, source, slices=3)
    known = [row for row in answer["predictions"] if truth[row["file"].partition("/")[0]]]
    right = [row["family"]["label"] == truth[row["file"].partition("/")[0]] for row in known]
    assert told["labels"] == "family"
    unlabelled = len(answer["predictions"]) - len(known)
    assert (told["images"], told["unlabelled"]) == (len(known), unlabelled)
    assert told["row"]["metrics"]["accuracy"] == pytest.approx(np.mean(right))
    (unit,) = told["units"]
    assert (unit["unit"], unit["n"]) == ("patient", 2)
    told_right = [
        one["label"] == truth[one["patient"]] for one in answer["patients"] if truth[one["patient"]]
    ]
    assert unit["metrics"]["accuracy"] == pytest.approx(np.mean(told_right))
    with pytest.raises(BrainsslError, match="prepared store and has its labels: omit --slices"):
        brainssl.external(trained, tmp_path / "out/store", tmp_path / "again", slices=3)


def test_an_archive_is_cut_as_the_classifier_learnt_and_another_plane_is_told(
    trained: Path, tmp_path: Path
) -> None:
    source, labels = tmp_path / "archive", tmp_path / "labels.csv"
    simulate_archive(source, format="bids", patients=2, size=64, slices=8, workers=1)
    labels.write_text("patient,label\nsub-p001,Glioma\nsub-p002,Normal\n")
    loaded = Classifier.load(trained)
    loaded.facts |= {"reader": 2, "plane": "sagittal"}
    loaded.save(trained / "classifier.safetensors")
    own = brainssl.external(trained, source, tmp_path / "own", labels=labels, slices=2)
    assert own["notes"] == []
    assert ImageStore.open(tmp_path / "own/store").plane == "sagittal"
    other = brainssl.external(
        trained, source, tmp_path / "other", labels=labels, slices=2, plane="axial"
    )
    assert "--plane sagittal is its own" in other["notes"][0]
    assert "--plane sagittal is its own" in (tmp_path / "other/external.html").read_text("utf-8")

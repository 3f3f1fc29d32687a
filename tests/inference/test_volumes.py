"""Volumes that are classified: the pixels of the store, one answer a series, and no names."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from oracles.cheng_files import write_cheng
from oracles.heads import bids, brats, head, save
from oracles.pictures import picture
from oracles.scans import NAME, NUMBER, scan
from scipy.special import softmax
from torch import nn
from typer.testing import CliRunner

import brainssl
from brainssl.cli import app
from brainssl.data.archives.pseudonyms import make_key
from brainssl.data.archives.reading import Reading
from brainssl.data.normalisation import READER
from brainssl.data.prepare import prepare
from brainssl.data.scan import scan as scanned
from brainssl.data.volumes.choice import Choice
from brainssl.evaluation.limits import Limits
from brainssl.evaluation.sequences import Fusion
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.inference.given import parted
from brainssl.inference.volumes import Cut, Cutting, cuts
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder

CLASSES = ("Glioma T1", "Glioma T2", "Normal T1", "Normal T2")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    head_ = nn.Linear(encoder.dim, len(CLASSES))
    with torch.no_grad():
        head_.weight.mul_(20)  # so that slices are answered otherwise than their neighbours
    folder = tmp_path_factory.mktemp("classifier")
    Classifier(encoder, head_, CLASSES, {"seed": 0, "reader": READER}).save(
        folder / "classifier.safetensors"
    )
    return folder


def dicom(root: Path) -> Path:
    scan(root / "a", seed=1)
    scan(root / "b", seed=2, series="1.2.3.5", SeriesDescription="t2_tse_tra")
    return root


def few_bids(root: Path) -> Path:
    return bids(root, patients=2)


def few_brats(root: Path) -> Path:
    return brats(root, patients=2)


def cheng(root: Path) -> Path:
    for number in range(1, 4):
        write_cheng(root / f"{number}.mat", head(number)[12].astype(np.int16), patient="100360")
    return root


@pytest.mark.parametrize("make", [dicom, few_bids, few_brats, cheng])
@pytest.mark.parametrize(
    "reading", [Reading(), Reading(Choice(3), "sagittal"), Reading(Choice(2), field_of_view=130)]
)
def test_pixels_and_logits_are_those_of_the_store(
    make: Callable[[Path], Path], reading: Reading, saved: Path, tmp_path: Path
) -> None:
    """The store goes by scan and origins, prediction by its own way: bit for bit the same."""
    if make is cheng and (reading.plane != "native" or reading.field_of_view):
        pytest.skip("nothing says how these slices lie, and how large their pixels are")
    source, key = make(tmp_path / "in"), tmp_path / "key"
    make_key(key)
    reading = replace(reading, key=key)
    bits = 8 if reading.plane == "native" else 16
    if bits == 16:
        deep = Classifier.load(saved)
        deep.facts["bits"] = bits
        saved = tmp_path / "deep.safetensors"
        deep.save(saved)
    field = reading.field_of_view
    if field:
        seeing = Classifier.load(saved)
        seeing.facts["field_of_view"] = field
        saved = tmp_path / "seeing.safetensors"
        seeing.save(saved)
    store = prepare(scanned(source, reading=reading), tmp_path / "store", size=32, bits=bits)
    assert store.field_of_view == field
    paths = store.manifest["path"].tolist()

    pictures, volumes = parted([source], key)
    assert not pictures
    cutting = Cutting(reading.slices, reading.plane, key)
    found = list(
        cuts(volumes.series, cutting, reader=READER, size=32, bits=bits, field_of_view=field)
    )
    names = []
    for one, cut in zip(volumes.series, found, strict=True):
        assert isinstance(cut, Cut)
        own = [f"{one.name}/{number:04}" for number in cut.numbers]
        rows = [paths.index(name) for name in own]
        np.testing.assert_array_equal(cut.pixels, store.images[rows], strict=True)
        names += own
    assert sorted(names) == sorted(paths)

    answer = brainssl.predict(
        saved, source, slices=str(reading.slices), plane=reading.plane, key=key
    )
    classifier = Classifier.load(saved)
    assert [row["file"] for row in answer["predictions"]] == names
    for one in answer["series"]:
        said = [row for row in answer["predictions"] if row["file"] in one["files"]]
        logits = classifier.logits(store.images, np.array([paths.index(f) for f in one["files"]]))
        expected = softmax(logits.astype(np.float64), axis=1)
        got = np.array([list(row["softmax"].values()) for row in said])
        np.testing.assert_array_equal(got, expected)
        mean = expected.mean(axis=0)
        assert list(one["probabilities"].values()) == pytest.approx(mean, abs=1e-6)
        place = int(np.argmax(expected[:, mean.argmax()]))
        assert one["decided_by"]["file"] == one["files"][place]
        assert one["decided_by"]["probability"] == pytest.approx(expected[place, mean.argmax()])


def test_volumes_are_cut_in_the_plane_of_the_training_unless_another_is_named(
    saved: Path, tmp_path: Path
) -> None:
    file = save(tmp_path / "x.nii.gz", head(0))
    loaded = Classifier.load(saved)
    loaded.facts |= {"plane": "sagittal"}
    loaded.save(tmp_path / "classifier.safetensors")
    own = brainssl.predict(tmp_path / "classifier.safetensors", file)
    expected = brainssl.predict(saved, file, plane="sagittal")
    assert own["predictions"] == expected["predictions"]
    assert own["series"][0]["held"] != 24
    assert any("resampled to sagittal, as in the classifier's" in note for note in own["notes"])
    assert any("that the classifier learnt are as they were" in note for note in expected["notes"])
    other = brainssl.predict(tmp_path / "classifier.safetensors", file, plane="native")
    assert other["predictions"] == brainssl.predict(saved, file)["predictions"]
    assert any("--plane sagittal is its own" in note for note in other["notes"])
    assert not any("--plane" in note for note in brainssl.predict(saved, file)["notes"])


def test_slices_without_brain_are_not_judged_and_that_is_said(saved: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "x.nii.gz", head(0))
    answer = brainssl.predict(saved, file)
    [one] = answer["series"]
    judged = [row["slice"] for row in answer["predictions"]]
    assert one["held"] == 24
    assert sorted(judged + one["without_brain"]) == list(range(1, 25))
    assert {1, 24} <= set(one["without_brain"])
    assert f"{len(judged)} of 24 slices, {len(one['without_brain'])} without brain" in answer.text
    air = save(tmp_path / "air.nii.gz", np.zeros((6, 20, 20), np.int16))
    [row] = brainssl.predict(saved, air)["predictions"]
    assert row["error"].startswith(f"{air}: shows no brain")


def test_nothing_personal_of_a_dicom_file_is_told_but_the_file_that_was_given(
    saved: Path, tmp_path: Path
) -> None:
    files = scan(tmp_path / "in")
    answer = brainssl.predict(saved, files, out=tmp_path / "said.csv")
    told = json.dumps(dict(answer)) + answer.text
    told += "".join(file.read_text() for file in tmp_path.glob("said*.csv"))
    for secret in (NAME, NUMBER, "1.2.3.4", "t1_se"):
        assert secret not in told
    first = answer["predictions"][0]
    assert first["source"].startswith(str(tmp_path / "in"))
    assert first["source"].endswith(f"and {len(files) - 1} more")
    [one] = answer["series"]
    assert one["patient"].startswith("p-")
    assert one["sequence"] == "T1"
    again = brainssl.predict(saved, files)["series"][0]
    assert again["patient"] != one["patient"]  # each time another key
    single = brainssl.predict(saved, files[12])
    assert [row["slice"] for row in single["predictions"]] == [1]
    assert single["predictions"][0]["source"] == str(files[12])


def test_what_a_header_says_against_the_class_is_told_and_decides_nothing(
    saved: Path, tmp_path: Path
) -> None:
    for name in ("T1w", "T2w", "FLAIR"):
        save(tmp_path / f"in/{name}.nii.gz", head(3))  # one picture under three names
    series = brainssl.predict(saved, tmp_path / "in")["series"]
    by_name = {one["series"]: one for one in series}
    assert len({one["label"] for one in series}) == 1
    own = series[0]["label"][-2:]
    other = "T1" if own == "T2" else "T2"
    assert "note" not in by_name[f"{own}w"]
    assert by_name[f"{other}w"]["note"] == (
        f"Header or name say {other}, the answer is a class of {own}: one of them is wrong."
    )
    assert "has learnt no FLAIR." in by_name["FLAIR"]["note"]


def test_a_patient_is_answered_by_all_his_sequences(saved: Path, tmp_path: Path) -> None:
    """Two volumes of one sequence are one witness; the product is calculated here anew."""
    root = tmp_path / "in"
    for at, name in enumerate(("run-1_T1w", "run-2_T1w", "T2w")):
        save(root / f"sub-01/anat/sub-01_{name}.nii.gz", head(at))
    (root / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    loaded = Classifier.load(saved)
    loaded.limits = Limits(fusion=Fusion()).facts()
    loaded.save(tmp_path / "c/classifier.safetensors")
    answer = brainssl.predict(tmp_path / "c", root)
    p = {
        name: np.array(
            [
                list(row["softmax"].values())
                for row in answer["predictions"]
                if f"{name}/" in row["file"]
            ]
        )
        for name in ("run-1_T1w", "run-2_T1w", "T2w")
    }
    first = np.concatenate([p["run-1_T1w"], p["run-2_T1w"]]).mean(axis=0)
    second = p["T2w"].mean(axis=0)
    families = np.array([[one[:2].sum(), one[2:].sum()] for one in (first, second)])
    product = np.sqrt(families.prod(axis=0))
    [patient] = answer["patients"]
    assert list(patient["probabilities"].values()) == pytest.approx(product / product.sum(), 1e-5)
    assert [one["sequence"] for one in patient["sequences"]] == ["T1", "T2"]
    assert len(answer["series"]) == 3


def test_pictures_and_volumes_go_together(saved: Path, tmp_path: Path) -> None:
    png = tmp_path / "P1/a.png"
    png.parent.mkdir()
    png.write_bytes(picture(0))
    volume, bad = save(tmp_path / "v.nii.gz", head(1)), tmp_path / "bad.nii.gz"
    bad.write_bytes(volume.read_bytes()[:200])
    files = [volume, png, bad, *scan(tmp_path / "dicom")]
    answer = brainssl.predict(saved, files)
    alone = brainssl.predict(saved, volume)
    rows = answer["predictions"]
    assert rows[0] == brainssl.predict(saved, png)["predictions"][0]
    assert [row for row in rows if row.get("source") == str(volume)] == alone["predictions"]
    [error] = [row["error"] for row in rows if "error" in row]
    assert error.startswith(f"{bad}: ")
    assert {one.get("series") for one in answer["series"]} >= {"v"}


def test_patients_of_one_name_in_two_places_are_not_put_together(
    saved: Path, tmp_path: Path
) -> None:
    one, two = bids(tmp_path / "one", patients=1), bids(tmp_path / "two", patients=1)
    answer = brainssl.predict(saved, [one, two], slices=1)
    assert answer["patients"] == []
    assert "Several sources name sub-01" in " ".join(answer["notes"])
    names = [one["series"] for one in answer["series"]]
    assert len(set(names)) == 4


def test_what_is_excluded_is_told_with_its_reason(saved: Path, tmp_path: Path) -> None:
    scan(tmp_path / "in/a")
    described = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "loc"}
    localiser = scan(tmp_path / "in/b", series="1.2.3.9", **described)
    answer = brainssl.predict(saved, tmp_path / "in", slices=2)
    assert [one["reason"] for one in answer["excluded"]] == ["localiser"]
    assert "localiser" in answer.text
    assert len(answer["predictions"]) == 2
    with pytest.raises(BrainsslError, match=r"nothing to judge.*localiser"):
        brainssl.predict(saved, localiser)


def test_maps_and_tables_of_slices(saved: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "x.nii.gz", head(0))
    answer = brainssl.predict(saved, file, slices=2, maps=True, out=tmp_path / "said.csv")
    maps = [Path(row["map"]) for row in answer["predictions"]]
    assert [one.name for one in maps] == [
        f"{at:04}-x-{row['slice']:04}.png" for at, row in enumerate(answer["predictions"], start=1)
    ]
    assert all(one.is_file() for one in maps)
    lines = (tmp_path / "said-series.csv").read_text().splitlines()
    assert lines[0].endswith("rule,error,decided_by,series,source,held,note,without_brain")
    assert len(lines) == 2


def test_options_that_cannot_be(saved: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "x.nii.gz", head(0))
    with pytest.raises(BadUseError, match="--slices"):
        brainssl.predict(saved, file, slices="some")
    with pytest.raises(BadUseError, match="none of native"):
        brainssl.predict(saved, file, plane="oblique")
    with pytest.raises(BadUseError, match="--patients is of pictures"):
        brainssl.predict(saved, file, patients=tmp_path / "p.csv")
    (tmp_path / "bad").write_text("no key")
    (tmp_path / "bad").chmod(0o600)
    with pytest.raises(BrainsslError, match="is no key of pseudonyms"):
        brainssl.predict(saved, file, key=tmp_path / "bad")


def test_the_command_takes_volumes(saved: Path, tmp_path: Path) -> None:
    file = save(tmp_path / "x.nii.gz", head(0))
    asked: list[Any] = ["predict", str(saved), str(file), "--slices", "3", "--plane", "coronal"]
    told = CliRunner().invoke(app, [*asked, "--format", "table"])
    assert told.exit_code == 0, told.output
    assert f"x ({file})" in told.stdout
    assert "3 of " in told.stdout

"""`predict --maps-as dicom`: a folder a series, named by numbers; one line where it cannot be."""

from pathlib import Path

import pydicom
import pytest
import torch
from oracles.pictures import picture
from oracles.scans import NAME, scan
from torch import nn

import brainssl
from brainssl.foundation.errors import BadUseError
from brainssl.models.classifier import Classifier
from brainssl.models.encoder import build_encoder


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    encoder = build_encoder("test_resnet", image_size=32, seed=0)
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("classifier")
    head = nn.Linear(encoder.dim, 2)
    Classifier(encoder, head, ("Glioma T1", "Normal T1"), {"seed": 0, "reader": 2}).save(
        folder / "classifier.safetensors"
    )
    return folder


def test_each_series_has_a_folder_of_its_map_and_pictures(saved: Path, tmp_path: Path) -> None:
    scan(tmp_path / NAME / "a", seed=1, FrameOfReferenceUID="1.2.9")
    scan(tmp_path / NAME / "b", seed=2, series="1.2.3.5")  # in no frame of reference
    out = tmp_path / "said.json"
    answer = brainssl.predict(saved, tmp_path / NAME, maps=True, maps_as="dicom", slices=2, out=out)
    with_maps = [one for one in answer["series"] if "parametric_map" in one]
    assert len(answer["series"]) == 2
    [series] = with_maps
    rows = [row for row in answer["predictions"] if row["file"] in series["files"]]
    made = {Path(series["parametric_map"]), *(Path(row["map"]) for row in rows)}
    folder = tmp_path / "said-maps"
    assert made == {file for file in folder.rglob("*") if file.is_file()}
    names = {file.relative_to(folder).as_posix() for file in made}
    overlays = {f"overlay-{row['slice']:04}.dcm" for row in rows}
    [home] = {name.partition("/")[0] for name in names}
    assert home in ("series-0001", "series-0002")
    assert names == {f"{home}/{name}" for name in {"parametric-map.dcm", *overlays}}
    raw = pydicom.dcmread(series["parametric_map"])
    assert raw.PatientName == NAME
    assert series["label"] in raw.ContentDescription
    others = [row for row in answer["predictions"] if row not in rows]
    assert {row["map"] for row in others} == {None}
    assert "has no FrameOfReferenceUID" in others[0]["map_error"]
    assert any(note.startswith("There are no maps of ") for note in answer["notes"])
    assert any("bear the names and numbers" in note for note in answer["notes"])


def test_what_is_not_dicom_is_refused_before_it_is_read(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(picture(0))
    out = tmp_path / "said.json"
    with pytest.raises(BadUseError, match=r"x\.png is not DICOM.*--maps-as png$"):
        brainssl.predict(saved, tmp_path / "x.png", maps=True, maps_as="dicom", out=out)
    with pytest.raises(BadUseError, match="give --maps, too"):
        brainssl.predict(saved, tmp_path / "x.png", maps_as="dicom", out=out)
    with pytest.raises(BadUseError, match="--maps-as"):
        brainssl.predict(saved, tmp_path / "x.png", maps=True, maps_as="tiff", out=out)

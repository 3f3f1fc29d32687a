"""A map of an uploaded slice as DICOM: what the library writes, of the slice that was asked for."""

import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from oracles.pictures import picture
from oracles.scans import NAME, NUMBER, scan
from oracles.services import Inside

from brainssl.serving.engine import Engine
from brainssl.serving.limits import Limits


@pytest.fixture(scope="module")
def patient(engine: Engine) -> Iterator[Inside]:
    """A service that waits for decoders of a busy machine."""
    with Inside(engine, Limits(decode_seconds=120, answer_seconds=120)) as service:
        yield service


def sent(files: list[Path]) -> list[tuple[str, bytes]]:
    return [(f"{at:04}.dcm", file.read_bytes()) for at, file in enumerate(sorted(files))]


def opened(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as held:
        return {name: pydicom.dcmread(io.BytesIO(held.read(name))) for name in held.namelist()}


def test_one_slice_comes_as_a_map_and_a_picture_of_its_own_file(
    patient: Inside, tmp_path: Path
) -> None:
    files = scan(tmp_path, seed=4, FrameOfReferenceUID="1.2.9")
    form = sent(files)
    number = 12  # axial slices hang as they lie: the twelfth by position
    explained = patient.predict(*form, path="/explain", label="Glioma T2").json()["explanations"]
    peak = next(one["peak"] for one in explained if one["slice"] == number)
    answer = patient.predict(*form, path="/dicom", label="Glioma T2", slice=str(number))
    assert answer.headers["content-type"] == "application/zip"
    found = opened(answer)
    assert list(found) == ["parametric-map.dcm", "overlay-0012.dcm"]
    own = pydicom.dcmread(files[number - 1])
    for one in found.values():
        assert (str(one.PatientName), one.PatientID) == (NAME, NUMBER)
        assert one.StudyInstanceUID == own.StudyInstanceUID
        [source] = one.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == own.SOPInstanceUID
    raw = found["parametric-map.dcm"]
    assert raw.pixel_array.shape == own.pixel_array.shape
    assert raw.pixel_array.max() == pytest.approx(peak, rel=0.05)
    place = raw.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    np.testing.assert_allclose(place.ImagePositionPatient, own.ImagePositionPatient)
    assert NAME not in "".join(patient.log)


@pytest.mark.parametrize(
    ("fields", "elements", "status", "why"),
    [
        ({}, {"FrameOfReferenceUID": "1.2.9"}, 422, "several slices: name one by `slice`"),
        ({"slice": "99"}, {}, 422, "no slice that was judged has this"),
        ({"slice": "12"}, {}, 422, "has no FrameOfReferenceUID"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    fields: dict[str, str], elements: dict[str, str], status: int, why: str,
    patient: Inside, tmp_path: Path,
) -> None:  # fmt: skip
    answer = patient.predict(*sent(scan(tmp_path, **elements)), path="/dicom", **fields)
    assert answer.status_code == status
    assert why in answer.json()["error"]
    assert NAME not in answer.text


def test_pictures_are_refused_and_so_is_who_lacks_the_writer(
    patient: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = patient.predict(("a.png", picture(0)), path="/dicom")
    assert answer.status_code == 415
    assert "DICOM files alone" in answer.json()["error"]
    monkeypatch.setitem(sys.modules, "highdicom", None)
    answer = patient.predict(("a.png", picture(0)), path="/dicom")
    assert answer.status_code == 501
    assert "pip install 'brainssl[scans]'" in answer.json()["error"]

"""Slices at their own resolution: what the classifier sees can be made of them."""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.dicom_files import AXIAL, made, positions, write
from oracles.heads import head
from oracles.nifti_volumes import write_nifti
from oracles.pictures import encoded, noise, picture
from oracles.services import Inside
from PIL import Image

from brainssl.data.letterbox import Place, letterbox
from brainssl.serving.limits import Limits
from brainssl.serving.own_slices import LONGEST, OwnSlice, listed, unlisted


def levels(one: dict[str, Any]) -> np.ndarray:
    """Return what was sent, as it says that it is read."""
    shape = one["height"], one["width"]
    return np.frombuffer(base64.b64decode(one["pixels"]), "<u2").reshape(shape)


def values(one: dict[str, Any]) -> np.ndarray:
    return one["slope"] * levels(one).astype(np.float64) + one["intercept"]


def agree(inside: Inside, *files: tuple[str, bytes]) -> list[dict[str, Any]]:
    """Window and letterbox slices by what is told of them: the classifier's own pictures."""
    own = inside.predict(*files, path="/slices").json()["slices"]
    seen = inside.predict(*files, path="/explain").json()["explanations"]
    assert [(one["file"], one["slice"]) for one in own] == [
        (one["file"], one["slice"]) for one in seen
    ]
    for one, other in zip(own, seen, strict=True):
        shown = (values(one) - one["black"]) / (one["white"] - one["black"])
        square = np.asarray(Image.open(io.BytesIO(base64.b64decode(other["image"]))))
        mine = letterbox(shown.clip(0, 1).astype(np.float32), one["size"])
        assert np.abs(mine.astype(int) - square).max() <= 1
        place = {name: int(value) for name, value in one["place"].items()}
        outside = square.copy()
        rows = slice(place["top"], place["top"] + place["height"])
        outside[rows, place["left"] : place["left"] + place["width"]] = 0
        assert not outside.any()
    return own  # type: ignore[no-any-return]


def marked(shape: tuple[int, int, int] = (9, 40, 64)) -> np.ndarray:
    """A head with a bright mark on the patient's left, at the front: (slices, rows, columns)."""
    volume = head(1, shape).astype(np.int16)
    volume[3:6, 10:14, 44:50] = 3000
    return volume


def test_a_nifti_volume_is_told_as_it_is_hung(inside: Inside, tmp_path: Path) -> None:
    # Axes of the file: head to foot, back to front, left to right; the rest is for the reader.
    file = tmp_path / "x.nii.gz"
    stored = marked()[::-1, ::-1, ::-1].transpose(2, 1, 0)
    affine = np.diag([2.0, 2.0, -5.0, 1.0])
    write_nifti(file, stored, affine, scl_slope=0.5, scl_inter=-20.0)
    own = agree(inside, ("x", file.read_bytes()))
    one = next(one for one in own if one["slice"] == 5)
    assert (one["width"], one["height"], one["units"]) == (64, 40, "rescaled")
    assert one["spacing"] == pytest.approx([2, 2])
    found = values(one)
    assert found.max() == pytest.approx(0.5 * 3000 - 20, abs=0.1)
    rows, columns = np.nonzero(found > 0.9 * found.max())
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 13, 44, 49)


def test_values_of_dicom_are_those_after_rescaling(inside: Inside, tmp_path: Path) -> None:
    volume, files = np.clip(marked(), 0, None).astype(np.uint16), []
    for at, position in enumerate(positions(AXIAL, len(volume))):
        facts = {"ImagePositionPatient": position, "RescaleSlope": 2.0, "RescaleIntercept": -100.0}
        file = write(made(volume[at], **facts), tmp_path / f"{at}.dcm")
        files.append((f"{at}", file.read_bytes()))
    for one in agree(inside, *files):
        np.testing.assert_allclose(values(one), 2.0 * volume[one["slice"] - 1] - 100, atol=0.06)
    asked = inside.predict(*files, path="/slices", slices="4-5").json()
    assert [one["slice"] for one in asked["slices"]] == [4, 5]
    maps = inside.predict(*files, path="/explain", slices="4", method="all").json()["explanations"]
    assert {one["slice"] for one in maps} == {4}
    assert [one["method"] for one in maps] == inside.service.engine.methods
    for wrong, told in (("0", "`slices` is"), ("5-4", "`slices` is"), ("900", "no slice of the")):
        answer = inside.predict(*files, path="/slices", slices=wrong)
        assert answer.status_code == 422
        assert told in answer.json()["error"]


def test_pictures_are_told_in_shares_and_large_ones_reduced(inside: Inside) -> None:
    large = np.tile(noise(0, 70, 50), (30, 30))  # 2100 × 1500
    small, big = agree(inside, ("a.png", picture(0)), ("b.png", encoded(large)))
    assert (small["units"], small["black"], small["white"]) == ("share", 0, 1)
    assert (big["height"], big["width"]) == (LONGEST, round(1500 * LONGEST / 2100))


def test_what_has_no_room_is_left_out_and_can_be_asked_for(
    inside: Inside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.nii"
    write_nifti(file, marked().transpose(2, 1, 0))
    data = file.read_bytes()
    monkeypatch.setattr(inside.service, "limits", Limits(max_shown=40 * 64 * 2 + 1))
    assert inside.ask("GET", "/model").json()["bounds"]["max_shown"] == 40 * 64 * 2 + 1
    told = inside.predict(("x", data), ("y", data), path="/slices", slices="3-6").json()
    assert (len(told["slices"]), told["left_out"]) == (2, 6)


def test_a_decoder_is_not_believed() -> None:
    pixels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    own = OwnSlice(pixels, 1.0, 0.0, 0.0, 1.0, "share", None, Place(0, 0, 3, 2))
    data = memoryview(pixels.tobytes())
    told = listed(own)
    assert told is not None
    np.testing.assert_array_equal(unlisted(told, data).pixels, pixels)
    for at, wrong in (
        (0, [9999, 3]),
        (0, [4, 4]),
        (1, float("nan")),
        (5, "<b>"),
        (7, [0]),
        (7, [0, 0, float("inf"), 2]),
    ):
        with pytest.raises((ValueError, TypeError)):
            unlisted([*told[:at], wrong, *told[at + 1 :]], data)

"""Volumes that are sent: the answers of `predict`, in memory, and nothing of a header is told."""

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
from oracles.heads import head, save
from oracles.pictures import picture
from oracles.scans import NAME, NUMBER, scan
from oracles.services import Inside
from scipy.special import softmax

import brainssl
from brainssl.data.read import UnreadableImage
from brainssl.inference.given import parted
from brainssl.inference.volumes import Cut, Cutting, cuts
from brainssl.serving.engine import Engine, read_upload
from brainssl.serving.limits import Limits
from brainssl.serving.service import Service
from brainssl.serving.volumes import is_dicom, is_nifti

GIVEN = {"reader": 2, "size": 32, "max_bytes": 10**8, "max_pixels": 10**6}


def agree(told: dict, expected: dict, tuned: Path) -> None:
    """The same logits, slice by slice, and the same answers for series."""
    rows = [row for row in expected["predictions"] if "error" not in row]
    assert [row["slice"] for row in told["predictions"]] == [row["slice"] for row in rows]
    for one, row in zip(told["predictions"], rows, strict=True):
        assert one["softmax"] == row["softmax"]
        assert list(softmax(np.array(one["logits"], np.float64))) == pytest.approx(
            list(row["softmax"].values()), rel=1e-12
        )
        assert one["probabilities"] == row["probabilities"]
    for one, series in zip(told["series"], expected["series"], strict=True):
        for name in ("label", "probability", "probabilities", "slices", "held", "without_brain"):
            assert one[name] == series[name]
        assert one["note"] == series.get("note")
        assert one["decided_by"]["slice"] == int(series["decided_by"]["file"].rpartition("/")[2])


@pytest.mark.parametrize("name", ["x.nii", "x.nii.gz"])
def test_a_nifti_volume_is_answered_as_by_predict(
    name: str, inside: Inside, tuned: Path, tmp_path: Path
) -> None:
    file = save(tmp_path / name, head(3))
    answer = inside.predict(("nothing", file.read_bytes()))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    agree(told, brainssl.predict(tuned, file), tuned)
    assert told["series"][0]["file"] == "nothing"


def test_a_dicom_series_is_put_together_and_answered_as_by_predict(
    inside: Inside, tuned: Path, tmp_path: Path
) -> None:
    files = scan(tmp_path / "a", seed=4)
    sent = [(f"IM{at}", file.read_bytes()) for at, file in enumerate(sorted(files))]
    answer = inside.predict(*sent, ("p.png", picture(0)), ("bad.dcm", sent[0][1][:700]))
    assert answer.status_code == 200, answer.text
    told = answer.json()
    picture_, *slices, bad = told["predictions"]
    assert (picture_["file"], picture_["slice"], picture_["series"]) == ("p.png", None, None)
    assert set(bad) == {"file", "upload", "error"}
    assert (picture_["upload"], bad["upload"]) == (len(sent), len(sent) + 1)
    [series] = told["series"]
    assert {one["upload"] for one in slices} == {series["uploads"][0]}
    assert sorted(series["uploads"]) == list(range(len(sent)))
    assert [one["series"] for one in told["patients"]] == [["series 1"]]
    agree(told | {"predictions": slices}, brainssl.predict(tuned, tmp_path / "a"), tuned)
    assert told["series"][0]["sequence"] == "T1"
    for secret in (NAME, NUMBER, "1.2.3.4", "t1_se"):
        assert secret not in answer.text
        assert secret not in "".join(inside.log)


def test_two_series_in_one_request_are_two(inside: Inside, tmp_path: Path) -> None:
    one = scan(tmp_path / "a", seed=1)
    two = scan(tmp_path / "b", seed=2, series="1.2.3.5")
    nifti = save(tmp_path / "x.nii.gz", head(3))
    data = [file.read_bytes() for pair in zip(one, two, strict=True) for file in pair]
    told = inside.predict(*[("i", one) for one in data], ("n", nifti.read_bytes())).json()
    assert [series["series"] for series in told["series"]] == ["series 1", "series 2", "series 3"]
    assert {row["series"] for row in told["predictions"]} == {"series 1", "series 2", "series 3"}


def test_a_patients_series_are_put_together_and_sidecars_and_names_say_the_sequence(
    inside: Inside, tuned: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sub-07" / "anat"
    for seed, kind in enumerate(("T1w", "T2w")):
        save(folder / f"sub-07_{kind}.nii.gz", head(seed))
    save(folder / "odd.nii.gz", head(2))
    (folder / "odd.json").write_text('{"SeriesDescription": "t2_tse_tra", "EchoTime": 0.1}')
    files = sorted(folder.iterdir())
    told = inside.predict(*((file.name, file.read_bytes()) for file in files)).json()
    assert {one["file"]: one["sequence"] for one in told["series"]} == {
        "odd.nii.gz": "T2",
        "sub-07_T1w.nii.gz": "T1",
        "sub-07_T2w.nii.gz": "T2",
    }
    assert "odd.json" not in {one["file"] for one in told["predictions"]}
    [patient] = told["patients"]
    assert patient["series"] == ["series 2", "series 3"]
    expected = brainssl.predict(tuned, [file for file in files if file.name.startswith("sub")])
    for name in ("label", "probability", "probabilities", "slices"):
        assert patient[name] == expected["patients"][0][name]
    answer = inside.predict(("x.json", b"{}"), ("p.png", picture(0))).json()
    assert answer["predictions"][0]["error"].startswith("is not an image")


def test_what_is_no_series_to_judge_is_refused_with_the_reason(
    inside: Inside, tmp_path: Path
) -> None:
    described = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "SeriesDescription": "loc"}
    files = scan(tmp_path, **described)[:3]
    answer = inside.predict(*[("i", file.read_bytes()) for file in files])
    assert answer.status_code == 422
    assert {one["error"] for one in answer.json()["files"]} == {"is no series to judge: localiser"}


def test_limits_hold_before_a_volume_is_decoded(tmp_path: Path) -> None:
    data = save(tmp_path / "x.nii.gz", head(0)).read_bytes()
    assert len(read_upload(data, "", **GIVEN)) > 10
    with pytest.raises(UnreadableImage, match="more voxels than the limit of 1,000"):
        read_upload(data, "", **GIVEN, max_voxels=1000)
    with pytest.raises(UnreadableImage, match="bytes"):
        read_upload(data, "", **GIVEN | {"max_bytes": 10})
    with pytest.raises(UnreadableImage, match="truncated"):
        read_upload(gzip.compress(gzip.decompress(data)[:-1000]), "", **GIVEN)


def test_a_small_file_of_many_slices_is_refused_by_its_header(
    inside: Inside, tmp_path: Path
) -> None:
    data = save(tmp_path / "x.nii.gz", np.ones((1000, 16, 16), np.int16)).read_bytes()
    assert len(data) < 5000
    with pytest.raises(UnreadableImage, match="has 1,000 slices, more than the limit of 999"):
        read_upload(data, "", **GIVEN, max_slices=999)
    # Cut off behind its header it cannot be decoded, and yet it is known how many there are.
    cut = gzip.compress(gzip.decompress(data)[:400])
    with pytest.raises(UnreadableImage, match="has 1,000 slices, more than the limit of 512"):
        read_upload(cut, "", **GIVEN)
    answer = inside.predict(("x", data))
    assert (answer.status_code, answer.json()["error"]) == (
        413,
        "the files hold 1,000 slices or more, and a request 512 at most: send fewer at once, or "
        "use brainssl predict, which takes any number",
    )


def test_slices_are_counted_over_a_request(engine: Engine, tmp_path: Path) -> None:
    nifti = save(tmp_path / "x.nii.gz", head(3)).read_bytes()
    files = [("i", file.read_bytes()) for file in scan(tmp_path / "a", seed=4)]
    with Inside(engine, Limits(max_slices=2 * len(head(3)))) as service:
        assert service.ask("GET", "/model").json()["bounds"]["max_slices"] == 48
        assert service.predict(("n", nifti), ("n", nifti)).status_code == 200
        assert service.predict(("n", nifti), *files).status_code == 200
        for more in ([("n", nifti)] * 3, [("p", picture(0)), ("n", nifti), *files]):
            answer = service.predict(*more)
            assert answer.status_code == 413
            told = re.search(r"hold (\d+) slices or more, and a request 48", answer.json()["error"])
            assert told
            assert 48 < int(told[1]) <= 72
        assert service.predict(("p", picture(0))).status_code == 200


def test_a_volume_is_resampled_as_the_classifier_learnt_and_within_the_limit(
    tmp_path: Path,
) -> None:
    file = save(tmp_path / "x.nii", head(0))
    cutting = Cutting(plane="sagittal")
    [expected] = cuts(parted([file])[1].series, cutting, reader=2, size=32)
    assert isinstance(expected, Cut)
    got = read_upload(file.read_bytes(), "", **GIVEN, plane="sagittal")
    assert [one.number for one in got] == list(expected.numbers)
    np.testing.assert_array_equal(np.stack([one.image for one in got]), expected.pixels)
    assert expected.held != 24
    long = save(tmp_path / "long.nii", head(0), (60.0, 5.0, 5.0)).read_bytes()
    assert read_upload(long, "", **GIVEN, max_voxels=10**5)
    with pytest.raises(UnreadableImage, match="has too many voxels once it is resampled"):
        read_upload(long, "", **GIVEN, max_voxels=10**5, plane="sagittal")


def test_the_service_takes_the_plane_of_its_classifier(tuned: Path) -> None:
    engine = Engine.load(tuned)
    assert Service(engine).decoders._all[0]._wanted.plane == "native"
    assert not any("resampled" in one for one in engine.caveats)
    engine.classifier.facts["plane"] = "coronal"
    assert Service(engine).decoders._all[0]._wanted.plane == "coronal"
    assert "Volumes are resampled to coronal slices, as in its training." in engine.caveats


def test_files_are_told_by_content(tmp_path: Path) -> None:
    [dicom, *_] = scan(tmp_path)
    nifti = save(tmp_path / "x.nii.gz", head(0)).read_bytes()
    assert is_dicom(dicom.read_bytes())
    assert is_nifti(nifti)
    assert is_nifti(gzip.decompress(nifti))
    for other in (picture(0), b"", nifti[:20], b"\x1f\x8b" + bytes(400)):
        assert not is_dicom(other)
        assert not is_nifti(other)


def test_known_cases_are_named_where_there_are_some(engine: Engine) -> None:
    assert engine.similar(np.zeros((1, 32, 32), np.uint8), 3) is None

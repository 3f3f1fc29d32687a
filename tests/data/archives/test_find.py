"""Which kind a source is; folders of pictures are none, and that is cheap to tell."""

from pathlib import Path

import numpy as np
import pytest
from oracles.cheng_files import write_cheng
from oracles.nifti_volumes import write_nifti
from PIL import Image

from brainssl.data.archives import find
from brainssl.data.archives.find import archive_of_files, find_archive
from brainssl.data.volumes.dicom_files import begins_like_dicom
from brainssl.data.volumes.nifti import read_nifti
from brainssl.foundation.errors import BadUseError
from brainssl.serving.volumes import is_dicom


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4)).save(path)


def bids(root: Path) -> None:
    write_nifti(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz")


def brats(root: Path) -> None:
    for kind in ("t1n", "t1c", "t2f"):
        write_nifti(root / "BraTS-GLI-00001-000" / f"BraTS-GLI-00001-000-{kind}.nii.gz")


def figshare(root: Path) -> None:
    write_cheng(root / "data" / "1.mat", np.ones((4, 5), np.int16))


def nifti(root: Path) -> None:
    write_nifti(root / "Glioma" / "1.nii.gz")


@pytest.mark.parametrize("write", [bids, brats, figshare, nifti])
@pytest.mark.parametrize("wrapped", [False, True])
def test_kinds(tmp_path: Path, write, wrapped: bool) -> None:  # type: ignore[no-untyped-def]
    write(tmp_path / "data" if wrapped else tmp_path)
    archive = find_archive(tmp_path, workers=1)
    assert archive is not None
    assert archive.kind == write.__name__
    assert len(archive.series) == (3 if write is brats else 1)


def test_pictures_are_no_archive_and_few_folders_are_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(100):
        picture(tmp_path / f"class {number}" / "1.png")
        picture(tmp_path / f"class {number}" / "2.jpg")
    looked: list[Path] = []
    own = find.visible

    def watched(folder: Path) -> list[object]:
        looked.append(folder)
        return own(folder)

    monkeypatch.setattr(find, "visible", watched)
    assert find_archive(tmp_path) is None
    assert len(looked) == 1 + 64


def test_volumes_lie_deep_below_many_patients(tmp_path: Path) -> None:
    for number in range(70):
        folder = tmp_path / f"patient {number:02}" / "study" / "series"
        folder.mkdir(parents=True)
        (folder / "IM0001").write_bytes(bytes(128) + b"DICM" + bytes(400))
    assert find._sorts(tmp_path) == {"dicom": 64}


@pytest.mark.parametrize("place", ["", "A viewer/icons"])
def test_pictures_of_a_disc_do_not_hide_its_volumes(tmp_path: Path, place: str) -> None:
    for number in range(6):
        picture(tmp_path / place / f"{number}.png")
    nifti(tmp_path / "Series")
    archive = find_archive(tmp_path, workers=1)
    assert archive is not None
    assert (archive.kind, len(archive.series)) == ("nifti", 1)
    assert "Ordinary pictures lie among the volumes; they were not read." in archive.notes


def test_what_strayed_among_pictures_makes_no_archive(tmp_path: Path) -> None:
    for number in range(11):
        picture(tmp_path / "Glioma" / f"{number}.png")
    nifti(tmp_path / "Other")
    (tmp_path / "Glioma" / "scan.dcm").write_bytes(bytes(128) + b"DICM")
    assert find_archive(tmp_path, workers=1) is not None
    (tmp_path / "Other" / "Glioma" / "1.nii.gz").unlink()
    assert find_archive(tmp_path, workers=1) is None


def test_nothing_is_no_archive(tmp_path: Path) -> None:
    assert find_archive(tmp_path) is None
    assert find_archive(tmp_path / "missing") is None
    (tmp_path / "table.csv").write_text("a")
    assert find_archive(tmp_path) is None


def test_a_picture_beside_volumes_is_told(tmp_path: Path) -> None:
    picture(tmp_path / "logo.png")
    nifti(tmp_path)
    archive = find_archive(tmp_path, workers=1)
    assert archive is not None
    assert "Ordinary pictures lie among the volumes; they were not read." in archive.notes


def test_a_file_without_suffix_is_told_by_its_content(tmp_path: Path) -> None:
    for name, begun in (("dicom", bytes(128) + b"DICM"), ("picture", b"\x89PNG\r\n")):
        file = tmp_path / name / "IM0001"
        file.parent.mkdir()
        file.write_bytes(begun + bytes(400))
        assert find.sort_of(file) == name
        assert find._sorts(file.parent) == {name: 1}


def test_one_file_is_an_archive(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a" / "x_T2w.nii.gz")
    archive = find_archive(tmp_path / "a" / "x_T2w.nii.gz")
    assert archive is not None
    assert [(one.name, one.sequence.value) for one in archive.series] == [("x_T2w", "T2")]
    write_cheng(tmp_path / "1.mat", np.ones((4, 5), np.int16))
    found = find_archive(tmp_path / "1.mat")
    assert found is not None
    assert (found.kind, found.series[0].name) == ("figshare", "1")


@pytest.mark.parametrize("packed", [False, True])
def test_a_nifti_file_that_is_named_is_read_whatever_its_name(tmp_path: Path, packed: bool) -> None:
    write_nifti(tmp_path / f"x.nii{'.gz' if packed else ''}")
    (written,) = tmp_path.iterdir()
    named = [tmp_path / "sub-01_T2w.download", tmp_path / "blob", tmp_path / "a.nii"]
    for file in named:
        file.write_bytes(written.read_bytes())
    archive = find.archive_of_files(named)
    assert archive is not None
    told = {one.name: one.sequence.value for one in archive.series}
    assert told == {"sub-01_T2w.download": "T2", "blob": "unknown", "a": "unknown"}
    shapes = {read_nifti(one.volume).samples.shape for one in archive.series}
    assert shapes == {(6, 5, 4)}


def test_files_of_several_folders(tmp_path: Path) -> None:
    files = [tmp_path / "a" / "x.nii", tmp_path / "b" / "x.nii", tmp_path / "b" / "broken.nii"]
    for file in files[:2]:
        write_nifti(file)
    write_nifti(tmp_path / "b" / "not asked for.nii")
    files[2].write_bytes(b"no")
    archive = archive_of_files(files)
    assert archive is not None
    assert [one.name for one in archive.series] == ["a/x", "b/x"]
    assert archive.unreadable == [("b/broken.nii", "is no NIfTI file")]


def test_pictures_alone_are_none_and_a_mixture_is_refused(tmp_path: Path) -> None:
    picture(tmp_path / "1.png")
    write_nifti(tmp_path / "x.nii")
    assert archive_of_files([tmp_path / "1.png"]) is None
    with pytest.raises(BadUseError, match="nifti and picture files together"):
        archive_of_files([tmp_path / "1.png", tmp_path / "x.nii"])


@pytest.mark.parametrize("first", [0x00000000, 0x00050000, 0x00080000, 0x00160000])
def test_a_file_without_sign_is_dicom_by_its_first_element(tmp_path: Path, first: int) -> None:
    element = b"\x08\0" + (first >> 16).to_bytes(2, "little")
    data = element + b"UI\x1a\0" + b"1.2.840.10008.5.1.4.1.1.4\0" + bytes(200)
    (tmp_path / "IM0001").write_bytes(data)
    assert find.sort_of(tmp_path / "IM0001") == "dicom"
    assert is_dicom(data)
    assert begins_like_dicom(data)
    for other in (data[:7], b"\x09" + data[1:], data[:3] + b"\x7f" + data[4:]):
        assert not begins_like_dicom(other)

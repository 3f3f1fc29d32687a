"""The key of pseudonyms: made once, for a DICOM archive alone, and told."""

import os
import stat
import tempfile
from pathlib import Path

import pytest
from oracles.heads import bids

from brainssl.data.archives.opening import open_archive, telling_of_key
from brainssl.data.archives.pseudonyms import make_key, read_key
from brainssl.foundation.errors import BrainsslError

pydicom = pytest.importorskip("pydicom")


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DICOM folder with a series of three slices of each of two patients."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

    root = tmp_path_factory.mktemp("hospital") / "dicom"
    root.mkdir()
    for patient in ("4711", "4712"):
        study, series = generate_uid(), generate_uid()
        for number in range(3):
            meta = FileMetaDataset()
            meta.TransferSyntaxUID = ExplicitVRLittleEndian
            meta.MediaStorageSOPClassUID = MRImageStorage
            meta.MediaStorageSOPInstanceUID = generate_uid()
            one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
            one.SOPClassUID, one.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
            one.PatientID, one.PatientName, one.Modality = patient, "Tamm^Mari", "MR"
            one.StudyInstanceUID, one.SeriesInstanceUID = study, series
            one.FrameOfReferenceUID, one.InstanceNumber = series, number + 1
            one.SeriesDescription = "t1_se_tra"
            one.ImagePositionPatient = [0, 0, 5 * number]
            one.ImageOrientationPatient, one.PixelSpacing = [1, 0, 0, 0, 1, 0], [2, 2]
            one.SliceThickness, one.Rows, one.Columns = 5, 24, 20
            one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
            one.BitsAllocated, one.BitsStored, one.HighBit = 16, 12, 11
            one.PixelRepresentation = 0
            one.PixelData = bytes(24 * 20 * 2)
            one.save_as(root / f"{patient}-{number}.dcm", enforce_file_format=True)
    return root


def patients(source: Path, key: Path | None, *, keep: bool = True) -> set[str | None]:
    archive = open_archive(source, key, keep=keep)
    assert archive is not None
    return {one.patient for one in archive.series}


def test_a_key_is_made_once_and_used_again(hospital: Path, tmp_path: Path) -> None:
    key = tmp_path / "runs" / "store.key"
    first = patients(hospital, key)
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    content = key.read_bytes()
    assert patients(hospital, key) == first
    assert key.read_bytes() == content
    assert len(first) == 2
    assert patients(hospital, tmp_path / "other.key") != first


def test_none_is_made_where_none_may_be_kept(hospital: Path, tmp_path: Path) -> None:
    one, two = (patients(hospital, tmp_path / "a.key", keep=False) for _ in range(2))
    assert one != two
    assert patients(hospital, None) != patients(hospital, None)
    assert not list(tmp_path.iterdir())


def test_what_has_pseudonyms_needs_no_key(tmp_path: Path, image_folder: Path) -> None:
    assert open_archive(image_folder, tmp_path / "a.key") is None
    archive = open_archive(bids(tmp_path / "bids", 1), tmp_path / "a.key")
    assert archive is not None
    assert not (tmp_path / "a.key").exists()


def test_the_key_is_nowhere_but_where_it_stays(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = tmp_path / "of the system"
    folders.mkdir(mode=0o555)  # nothing is put there, and so nothing moved from there
    monkeypatch.setattr(tempfile, "tempdir", str(folders))
    made: list[tuple[Path, int]] = []
    own = os.open

    def watched(path: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if flags & os.O_CREAT:
            made.append((Path(path), mode))
        return own(path, flags, mode, **more)

    monkeypatch.setattr(os, "open", watched)
    key = tmp_path / "runs" / "a.key"
    found = open_archive(hospital, key, workers=1)
    assert found is not None
    assert [mode for _, mode in made] == [0o600]
    assert not list(folders.iterdir())
    assert list(key.parent.iterdir()) == [key]
    assert open_archive(hospital, key, workers=1) == found


def test_a_key_that_another_process_made_meanwhile_stays(hospital: Path, tmp_path: Path) -> None:
    key = tmp_path / "a.key"

    def progress(done: int, total: int) -> None:
        if done == total:
            make_key(key)

    with pytest.raises(BrainsslError, match="made by another process meanwhile"):
        open_archive(hospital, key, progress=progress, workers=1)
    assert read_key(key)
    assert list(tmp_path.iterdir()) == [key]


def test_it_is_told_where_the_key_is(hospital: Path, tmp_path: Path) -> None:
    told: list[str] = []
    key = tmp_path / "a.key"
    for _ in range(2):
        with telling_of_key(key, told.append):
            open_archive(hospital, key)
    (sentence,) = told
    assert str(key) in sentence


def test_a_file_that_is_no_key_is_refused(hospital: Path, tmp_path: Path) -> None:
    (tmp_path / "a.key").write_text("hello")
    (tmp_path / "a.key").chmod(0o600)
    with pytest.raises(BrainsslError, match=r"a\.key is no key"):
        open_archive(hospital, tmp_path / "a.key")
    with pytest.raises(BrainsslError, match="is not a folder"):
        open_archive(tmp_path / "nowhere", None)

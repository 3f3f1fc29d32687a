"""Plain folders of NIfTI files: classes, patients, masks and what dcm2niix writes beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracles.nifti_volumes import placed, ramp, write_nifti

from brainssl.data.archives.nifti_files import nifti_archive
from brainssl.data.volumes.masks import read_mask
from brainssl.data.volumes.nifti import read_nifti


def archive_of(root: Path, *names: str):  # type: ignore[no-untyped-def]
    for name in names:
        write_nifti(root / name)
    archive = nifti_archive(root, workers=1)
    assert archive is not None
    return archive


def test_what_dcm2niix_writes(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, "5_ax_T2_tse.nii.gz", "9_mprage.nii.gz")
    held = {
        "RepetitionTime": 2.3,
        "EchoTime": 0.003,
        "InversionTime": 0.9,
        "FlipAngle": 9,
        "SeriesDescription": "t1_mprage_sag",
        "PatientName": "Doe",
        "ImageType": ["ORIGINAL", "PRIMARY", "M"],
    }
    (tmp_path / "9_mprage.json").write_text(json.dumps(held))
    archive = archive_of(tmp_path)
    told = {one.name: (one.sequence.value, one.patient, one.label) for one in archive.series}
    assert told == {
        "5_ax_T2_tse": ("T2", None, None),
        "9_mprage": ("T1", None, None),
    }
    (sagittal,) = (one for one in archive.series if one.name == "9_mprage")
    assert sagittal.columns["inversion_time"] == "900"
    assert "Doe" not in str(archive)


def test_what_is_none_to_learn_from(tmp_path: Path) -> None:
    write_nifti(tmp_path / "many.nii.gz", ramp((4, 5, 6, 9)))
    archive = archive_of(tmp_path, "1_localizer.nii.gz", "dwi_ADC.nii.gz", "x_T2w.nii.gz")
    assert {one.name: one.exclusion for one in archive.series} == {
        "1_localizer": "localiser",
        "dwi_ADC": "map",
        "many": "several volumes",
        "x_T2w": None,
    }


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        ("a/c1_t1.nii.gz", "a/c1_t1_mask.nii.gz"),
        ("a/c1_t1.nii.gz", "a/c1_seg.nii.gz"),
        ("a/images/c1.nii.gz", "a/masks/c1.nii.gz"),
        ("imagesTr/c1_0000.nii.gz", "labelsTr/c1.nii.gz"),
    ],
)
def test_masks_join_their_images(tmp_path: Path, image: str, mask: str) -> None:
    affine = placed((1, 1, 1))
    write_nifti(tmp_path / image, ramp((5, 5, 5)), affine)
    write_nifti(tmp_path / mask, (ramp((5, 5, 5)) > 90).astype(np.uint8), affine)
    archive = nifti_archive(tmp_path, workers=1)
    assert archive is not None
    (one,) = archive.series
    assert one.label is None
    assert one.mask is not None
    volume = read_nifti(one.volume)
    np.testing.assert_array_equal(read_mask(one.mask, volume), volume.samples > 90)


def test_a_mask_elsewhere_is_none(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a" / "x.nii", ramp((5, 5, 5)), placed((1, 1, 1)))
    write_nifti(tmp_path / "a" / "x_mask.nii", ramp((5, 5, 5)), placed((1, 1, 2)))
    archive = nifti_archive(tmp_path, workers=1)
    assert archive is not None
    assert [one.mask for one in archive.series] == [None]
    assert "1 mask is no series; 0 volumes have one on their grid." in archive.notes


def test_folders_without_volumes_are_none(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    assert nifti_archive(tmp_path) is None

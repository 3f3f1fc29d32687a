"""BraTS in the namings of its years."""

from pathlib import Path

import numpy as np
import pytest
from oracles.nifti_volumes import placed, ramp, write_nifti

from brainssl.data.archives.brats import brats_archive, is_brats
from brainssl.data.volumes.masks import read_mask
from brainssl.data.volumes.nifti import read_nifti

NEWER = ("t1n", "t1c", "t2w", "t2f")
OLDER = ("t1", "t1ce", "t2", "flair")


def write_case(folder: Path, sign: str, kinds: tuple[str, ...], seg: bool = True) -> None:
    affine = placed((1, 1, 1))
    for kind in kinds:
        write_nifti(folder / f"{folder.name}{sign}{kind}.nii.gz", ramp((5, 5, 5)), affine)
    if seg:
        labels = np.zeros((5, 5, 5), np.uint8)
        labels[1, 2, 3], labels[2, 2, 3] = 1, 4
        write_nifti(folder / f"{folder.name}{sign}seg.nii.gz", labels, affine)


@pytest.mark.parametrize(
    ("case", "sign", "kinds", "patient"),
    [
        ("BraTS-GLI-00005-100", "-", NEWER, "BraTS-GLI-00005"),
        ("BraTS-MEN-00004-000", "-", NEWER, "BraTS-MEN-00004"),
        ("BraTS2021_00000", "_", OLDER, "BraTS2021_00000"),
        ("BraTS20_Training_001", "_", OLDER, "BraTS20_Training_001"),
        ("Brats18_2013_10_1", "_", OLDER, "Brats18_2013_10"),
        ("BraTS19_CBICA_AAB_1", "_", OLDER, "BraTS19_CBICA_AAB"),
    ],
)
def test_cases_of_each_year(
    tmp_path: Path, case: str, sign: str, kinds: tuple[str, ...], patient: str
) -> None:
    write_case(tmp_path / "training" / case, sign, kinds)
    archive = brats_archive(tmp_path)
    assert archive is not None
    assert archive.kind == "brats"
    assert archive.unreadable == []
    told = {one.name: one.sequence.value for one in archive.series}
    sequences = ("T1", "T1C+", "T2", "FLAIR")
    assert told == {
        f"training/{case}/{case}{sign}{kind}": sequence
        for kind, sequence in zip(kinds, sequences, strict=True)
    }
    assert {(one.patient, one.study) for one in archive.series} == {(patient, case)}
    for one in archive.series:
        assert one.mask is not None
        assert read_mask(one.mask, read_nifti(one.volume)).sum() == 2  # whichever label


def test_time_points_are_of_one_patient(tmp_path: Path) -> None:
    for time in ("000", "001"):
        write_case(tmp_path / f"BraTS-GLI-00005-{time}", "-", NEWER)
    archive = brats_archive(tmp_path)
    assert archive is not None
    assert {one.patient for one in archive.series} == {"BraTS-GLI-00005"}
    assert len({one.study for one in archive.series}) == 2


def test_grades_are_labels(tmp_path: Path) -> None:
    write_case(tmp_path / "HGG" / "Brats18_2013_10_1", "_", OLDER)
    write_case(tmp_path / "LGG" / "Brats18_2013_11_1", "_", OLDER)
    archive = brats_archive(tmp_path)
    assert archive is not None
    assert {(one.patient, one.label) for one in archive.series} == {
        ("Brats18_2013_10", "HGG"),
        ("Brats18_2013_11", "LGG"),
    }


def test_collections_are_told_and_are_no_labels(tmp_path: Path) -> None:
    write_case(tmp_path / "BraTS-GLI-00001-000", "-", NEWER)
    write_case(tmp_path / "BraTS-MET-00001-000", "-", NEWER, seg=False)
    archive = brats_archive(tmp_path)
    assert archive is not None
    assert {(one.columns["collection"], one.label) for one in archive.series} == {
        ("GLI", None),
        ("MET", None),
    }
    assert any("collections GLI, MET" in note for note in archive.notes)
    assert {one.columns["collection"] for one in archive.series if one.mask} == {"GLI"}


def test_a_case_may_be_the_source(tmp_path: Path) -> None:
    write_case(tmp_path / "BraTS-GLI-00005-100", "-", NEWER)
    archive = brats_archive(tmp_path / "BraTS-GLI-00005-100")
    assert archive is not None
    assert len(archive.series) == 4
    assert {one.patient for one in archive.series} == {"BraTS-GLI-00005"}


def test_a_segmentation_on_another_grid_is_no_mask(tmp_path: Path) -> None:
    folder = tmp_path / "BraTS-GLI-00005-100"
    write_case(folder, "-", NEWER)
    write_nifti(folder / f"{folder.name}-seg.nii.gz", np.ones((5, 5, 5), np.uint8), placed())
    archive = brats_archive(tmp_path)
    assert archive is not None
    assert not any(one.mask for one in archive.series)
    assert any("another grid than their segmentation" in note for note in archive.notes)


def test_other_volumes_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "BraTS-GLI-00005-100"
    write_case(folder, "-", NEWER)
    write_nifti(folder / "W39_Segm.nii")
    archive = brats_archive(tmp_path)
    assert archive is not None
    assert len(archive.series) == 4
    assert any(
        note.startswith("1 volume is not named as those of a case") for note in archive.notes
    )


def test_other_folders_are_none(tmp_path: Path) -> None:
    write_nifti(tmp_path / "P1" / "P1_t1.nii.gz")
    write_nifti(tmp_path / "P2" / "scan.nii.gz")
    assert not is_brats(tmp_path)
    assert brats_archive(tmp_path) is None

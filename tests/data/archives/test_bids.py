"""A BIDS dataset, written whole and read by its headers, sidecars and tables."""

import json
from pathlib import Path

import numpy as np
import pytest
from oracles.nifti_volumes import placed, ramp, write_nifti

from brainssl.data.archives.archive import Archive, Series
from brainssl.data.archives.bids import bids_archive, is_bids
from brainssl.data.volumes.masks import read_mask
from brainssl.data.volumes.nifti import read_nifti

CUBE = (5, 5, 5)


def put(path: Path, held: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(held if isinstance(held, str) else json.dumps(held))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two participants, one of them with two sessions, and what surrounds them."""
    root = tmp_path / "dataset"
    affine = placed((1, 1, 1))
    for name in (
        "sub-01/ses-a/anat/sub-01_ses-a_T1w",
        "sub-01/ses-a/anat/sub-01_ses-a_ce-gadolinium_T1w",
        "sub-01/ses-b/anat/sub-01_ses-b_FLAIR",
        "sub-02/anat/sub-02_T2w",
        "sub-02/anat/sub-02_part-phase_T2starw",
        "sub-02/fmap/sub-02_magnitude1",
    ):
        write_nifti(root / f"{name}.nii.gz", ramp(CUBE), affine)
    write_nifti(root / "sub-02/func/sub-02_task-rest_bold.nii.gz", ramp((*CUBE, 3)), affine)
    write_nifti(root / "sub-02/dwi/sub-02_dwi.nii.gz", ramp((*CUBE, 3)), affine)
    put(root / "dwi.bval", "0 1000 2000\n")
    put(root / "dataset_description.json", {"Name": "Study of Doe", "BIDSVersion": "1.10.0"})
    put(root / "T1w.json", {"RepetitionTime": 2.0, "EchoTime": 0.003, "Manufacturer": "Siemens"})
    put(root / "sub-01/ses-a/anat/sub-01_ses-a_T1w.json", {"EchoTime": 0.004, "PatientName": "Doe"})
    put(root / "sub-01/ses-a/anat/sub-01_ses-a_ce-gadolinium_T1w.json", {"FlipAngle": 70})
    put(root / "participants.tsv", "participant_id\tage\tlabel\nsub-01\t50\tglioma\n")
    put(root / "sub-01/sub-01_sessions.tsv", "session_id\tage\nses-b\t52\n")
    lesion = (ramp(CUBE) > 100).astype(np.uint8)
    derived = root / "derivatives/manual/sub-01/ses-a/anat"
    write_nifti(derived / "sub-01_ses-a_label-lesion_mask.nii.gz", lesion, affine)
    write_nifti(derived / "sub-01_ses-a_desc-brain_mask.nii.gz", lesion, affine)
    write_nifti(derived / "sub-01_ses-a_desc-preproc_T1w.nii.gz", lesion, affine)
    elsewhere = root / "derivatives/manual/sub-01/ses-b/sub-01_ses-b_label-lesion_mask.nii.gz"
    write_nifti(elsewhere, lesion, placed())
    put(root / "sourcedata/Doe^Jane/1.dcm", "")
    return root


def read(source: Path) -> tuple[Archive, dict[str, Series]]:
    archive = bids_archive(source, workers=1)
    assert archive is not None
    return archive, {one.name: one for one in archive.series}


def test_series_of_a_dataset(root: Path) -> None:
    archive, series = read(root)
    assert archive.kind == "bids"
    assert archive.unreadable == []
    assert {
        name.rsplit("/", 1)[1]: (one.patient, one.study, one.sequence.value, one.exclusion)
        for name, one in series.items()
    } == {
        "sub-01_ses-a_T1w": ("sub-01", "sub-01_ses-a", "T1", None),
        "sub-01_ses-a_ce-gadolinium_T1w": ("sub-01", "sub-01_ses-a", "T1C+", None),
        "sub-01_ses-b_FLAIR": ("sub-01", "sub-01_ses-b", "FLAIR", None),
        "sub-02_T2w": ("sub-02", "sub-02", "T2", None),
        "sub-02_part-phase_T2starw": ("sub-02", "sub-02", "unknown", "phase"),
        "sub-02_magnitude1": ("sub-02", "sub-02", "unknown", "field map"),
        "sub-02_task-rest_bold": ("sub-02", "sub-02", "unknown", "functional"),
        "sub-02_dwi": ("sub-02", "sub-02", "DWI", None),
    }
    assert series["sub-02/dwi/sub-02_dwi"].volume.volume == 1
    assert archive.originals == {
        ("patient", "01"): frozenset({"sub-01"}),
        ("patient", "02"): frozenset({"sub-02"}),
    }


def test_sidecars_are_inherited_and_tables_joined(root: Path) -> None:
    archive, series = read(root)
    plain = series["sub-01/ses-a/anat/sub-01_ses-a_T1w"]
    assert plain.columns == {
        "manufacturer": "siemens",
        "repetition_time": "2000",
        "echo_time": "4",
        "age": "50",
    }
    enhanced = series["sub-01/ses-a/anat/sub-01_ses-a_ce-gadolinium_T1w"]
    assert (enhanced.columns["echo_time"], enhanced.columns["flip_angle"]) == ("3", "70")
    assert "flip_angle" not in plain.columns
    assert series["sub-01/ses-b/anat/sub-01_ses-b_FLAIR"].columns["age"] == "52"
    assert {(one.patient, one.label) for one in series.values()} == {
        ("sub-01", "glioma"),
        ("sub-02", None),
    }
    assert "1 participant has no row in participants.tsv." in archive.notes
    assert "Doe" not in f"{archive.series}{archive.notes}{archive.unreadable}"


def test_masks_of_lesions_come_from_derivatives(root: Path) -> None:
    archive, series = read(root)
    with_mask = {name for name, one in series.items() if one.mask}
    assert with_mask == {
        "sub-01/ses-a/anat/sub-01_ses-a_T1w",
        "sub-01/ses-a/anat/sub-01_ses-a_ce-gadolinium_T1w",
    }
    one = series["sub-01/ses-a/anat/sub-01_ses-a_T1w"]
    assert one.mask is not None
    image = read_nifti(one.volume)
    np.testing.assert_array_equal(read_mask(one.mask, image), image.samples > 100)
    told = " ".join(archive.notes)
    assert "derivatives/ was not read, but for 2 masks of lesions." in told
    assert "1 mask lies on the grid of no image" in told
    assert "sourcedata/ was not looked into." in told


def test_a_folder_around_the_dataset_will_do(root: Path) -> None:
    assert read(root.parent)[0].root == root


def test_what_cannot_be_read_is_told(root: Path, tmp_path: Path) -> None:
    anat = root / "sub-02/anat"
    (anat / "sub-02_acq-broken_T1w.nii.gz").write_bytes(b"no")
    (anat / "sub-02_acq-annex_T1w.nii.gz").symlink_to("../../.git/annex/objects/x")
    write_nifti(tmp_path / "outside.nii.gz")
    (anat / "sub-02_acq-out_T1w.nii.gz").symlink_to(tmp_path / "outside.nii.gz")
    put(anat / "sub-02_T2w.json", "{")
    archive, series = read(root)
    assert [(path.rsplit("/", 1)[1], reason) for path, reason in archive.unreadable] == [
        ("sub-02_acq-broken_T1w.nii.gz", "is no NIfTI file"),
        ("sub-02_acq-out_T1w.nii.gz", "is a link that leaves the source; copy what it points to"),
    ]
    told = " ".join(archive.notes)
    assert "1 file is a link that leads nowhere" in told
    assert "1 sidecar is no JSON object" in told
    assert "sub-02/anat/sub-02_T2w" in series


def test_other_folders_are_none(tmp_path: Path) -> None:
    put(tmp_path / "sub-01" / "1.png", "")
    assert not is_bids(tmp_path)
    assert bids_archive(tmp_path) is None

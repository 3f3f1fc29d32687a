"""Data sets of nnU-Net and of the Decathlon: channels, cases and masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from oracles.nifti_volumes import placed, ramp, write_nifti

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.find import find_archive
from brainssl.data.archives.nnunet import is_nnunet
from brainssl.data.volumes.masks import read_mask
from brainssl.data.volumes.nifti import read_nifti

CHANNELS = {"0": "FLAIR", "1": "T1w", "2": "T1gd", "3": "T2w"}
TOLD = ["FLAIR", "T1", "T1C+", "T2"]


def described(folder: Path, **facts: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(facts))
    return folder


def labels(file: Path, shape: tuple[int, ...] = (5, 5, 5)) -> None:
    marked = np.zeros(shape, np.uint8)
    marked[1, 2, 3], marked[2, 2, 3] = 1, 3
    write_nifti(file, marked, placed((1, 1, 1)))


def write_v2(folder: Path) -> Path:
    home = described(
        folder / "Dataset001_Tumour",
        channel_names=CHANNELS,
        labels={"background": 0, "oedema": 1, "core": 3},
        file_ending=".nii.gz",
    )
    for part, case in (("Tr", "BRATS_001"), ("Tr", "case_2_0001"), ("Ts", "BRATS_009")):
        for number in range(4):
            file = home / f"images{part}" / f"{case}_{number:04}.nii.gz"
            write_nifti(file, ramp((5, 5, 5)), placed((1, 1, 1)))
        if part == "Tr":
            labels(home / "labelsTr" / f"{case}.nii.gz")
    return folder


def found(source: Path) -> Archive:
    archive = find_archive(source, workers=1)
    assert archive is not None
    return archive


def test_channels_are_sequences_and_cases_are_patients(tmp_path: Path) -> None:
    archive = found(write_v2(tmp_path))
    assert (archive.kind, archive.unreadable) == ("nnunet", [])
    told = {(one.patient, one.sequence.value, one.mask is not None) for one in archive.series}
    cases = {"BRATS_001": True, "case_2_0001": True, "BRATS_009": False}
    assert told == {(case, one, mask) for case, mask in cases.items() for one in TOLD}
    assert len(archive.series) == 12
    assert all(one.exclusion is None for one in archive.series)
    for one in archive.series:
        if one.mask:
            assert read_mask(one.mask, read_nifti(one.volume)).sum() == 2
    assert any("the 2 labels above 0 together" in note for note in archive.notes)
    assert [one.name for one in found(tmp_path / "Dataset001_Tumour").series] == [
        one.name.partition("/")[2] for one in archive.series
    ]


def test_a_file_of_a_volume_a_channel_is_as_many_series(tmp_path: Path) -> None:
    described(tmp_path, modality={"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"})
    values = np.stack([ramp((5, 5, 5)) + 1000 * number for number in range(4)], -1)
    write_nifti(tmp_path / "imagesTr" / "BRATS_7.nii.gz", values, placed((1, 1, 1)))
    write_nifti(tmp_path / "imagesTr" / "BRATS_8.nii.gz", values[..., :3], placed((1, 1, 1)))
    labels(tmp_path / "labelsTr" / "BRATS_7.nii.gz")
    archive = found(tmp_path)
    read = [one for one in archive.series if one.exclusion is None]
    assert [one.name for one in read] == [f"imagesTr/BRATS_7_{n:04}" for n in range(4)]
    assert [one.sequence.value for one in read] == TOLD
    lowest = [read_nifti(one.volume).samples.min() for one in read]
    assert lowest == [0, 1000, 2000, 3000]
    assert all(one.mask for one in read)
    other = [one.exclusion for one in archive.series if one.exclusion]
    assert other == ["several volumes"]  # three volumes, four channels


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    described(tmp_path, channel_names={"0": "noNorm", "1": "CT"})
    for case, number in (("a", 0), ("a", 1), ("a", 2)):
        write_nifti(tmp_path / "imagesTr" / f"{case}_{number:04}.nii.gz", ramp((5, 5, 5)))
    labels(tmp_path / "labelsTr" / "a.nii.gz", (4, 5, 5))
    write_nifti(tmp_path / "elsewhere" / "b.nii.gz")
    archive = found(tmp_path)
    assert [one.sequence.value for one in archive.series] == ["unknown"] * 3
    assert [one.exclusion for one in archive.series] == [None, "another modality", None]
    assert "dataset.json: has no channel 2" in archive.series[2].sequence.evidence
    assert all(one.mask is None for one in archive.series)
    assert any("3 volumes lie on another grid than their mask" in note for note in archive.notes)
    assert any(note.startswith("1 volumes lie in no folder") for note in archive.notes)


@pytest.mark.parametrize("content", ["", "[1]", "{}", '{"channel_names": 3}', "[" * 10**5])
def test_without_channels_it_is_a_folder_of_nifti_files(tmp_path: Path, content: str) -> None:
    (tmp_path / "dataset.json").write_text(content)
    write_nifti(tmp_path / "imagesTr" / "x_T1w.nii.gz")
    assert not is_nnunet(tmp_path)
    assert found(tmp_path).kind == "nifti"

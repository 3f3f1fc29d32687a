"""Who the patient of a volume is, where only a part of a source is named; and the key."""

import shutil
from pathlib import Path

import pytest
from oracles.heads import bids, head, save
from oracles.scans import scan

from brainssl.foundation.errors import BadUseError
from brainssl.inference.given import parted


def patients(*named: Path) -> set[str | None]:
    return {one.patient for one in parted(named)[1].series}


def test_a_part_of_a_bids_dataset_keeps_its_patient(tmp_path: Path) -> None:
    root = bids(tmp_path / "in", patients=2)
    first, second = sorted(root.glob("sub-*"))
    assert patients(root) == {first.name, second.name}
    anat = next(first.rglob("anat"))
    files = sorted(anat.glob("*.nii.gz"))
    for named in ([first], [anat], files[:1], files, [anat, files[0]]):
        assert patients(*named) == {first.name}
    assert patients(first, second) == {first.name, second.name}


def test_one_name_in_two_places_is_one_patient_only_if_it_is_one_folder(tmp_path: Path) -> None:
    for session in ("ses-1", "ses-2"):
        save(tmp_path / "a" / "P7" / session / "x.nii.gz", head(0))
    named = [tmp_path / "a" / "P7" / session for session in ("ses-1", "ses-2")]
    assert patients(*named) == {"P7"}
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert patients(named[0], tmp_path / "b" / "P7" / "ses-2") == {None}


def test_the_folder_that_is_named_is_a_patient_if_it_is_named_so(tmp_path: Path) -> None:
    for folder in ("P12/T1", "Mueller"):
        save(tmp_path / folder / "scan.nii.gz", head(0))
    assert patients(tmp_path / "P12") == {"P12"}
    assert patients(tmp_path / "P12" / "T1") == {"P12"}
    assert patients(tmp_path / "P12" / "T1" / "scan.nii.gz") == {"P12"}
    assert patients(tmp_path / "Mueller") == {None}


def test_a_key_is_made_once_for_dicom_files_and_away_from_them(tmp_path: Path) -> None:
    scan(tmp_path / "in")
    key = tmp_path / "key"
    volumes = [parted([tmp_path / "in"], key)[1] for _ in range(2)]
    assert volumes[0].series[0].name == volumes[1].series[0].name
    assert ["The key of the pseudonyms is in" in " ".join(one.notes) for one in volumes] == [
        True,
        False,
    ]
    with pytest.raises(BadUseError, match="choose another place"):
        parted([tmp_path / "in"], tmp_path / "in" / "key")
    parted([save(tmp_path / "x.nii.gz", head(0))], tmp_path / "none")
    assert not (tmp_path / "none").exists()

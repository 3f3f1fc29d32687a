"""The BIDS dataset; the official validator was asked when this was written, and found no error."""

import csv
import json
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

RAW = re.compile(r"(sub-p\d{3})/anat/\1(_ce-gadolinium_T1w|_T1w|_T2w|_FLAIR)\.(nii\.gz|json)")
MASK = re.compile(
    r"derivatives/lesions/(sub-p\d{3})/anat/\1(_ce-gadolinium)?_label-lesion_desc-(T1w|T2w|FLAIR)"
    r"_mask\.(nii\.gz|json)"
)
ABOUT = {
    "README",
    "dataset_description.json",
    "participants.tsv",
    "participants.json",
    "code/phantom.json",
    "derivatives/lesions/dataset_description.json",
}


@pytest.fixture(scope="module")
def bids(archives: dict[str, Path]) -> Path:
    return archives["bids"]


def read(file: Path) -> dict:
    return json.loads(file.read_text("utf-8"))


def test_every_file_has_a_name_of_the_standard(bids: Path) -> None:
    names = {p.relative_to(bids).as_posix() for p in bids.rglob("*") if p.is_file()}
    assert names >= ABOUT
    odd = [n for n in names - ABOUT if not RAW.fullmatch(n) and not MASK.fullmatch(n)]
    assert odd == []
    volumes = [name for name in names if name.endswith(".nii.gz")]
    assert all(name.replace(".nii.gz", ".json") in names for name in volumes)


def test_what_a_dataset_must_say(bids: Path) -> None:
    about = read(bids / "dataset_description.json")
    assert about["BIDSVersion"] == "1.9.0"
    assert about["DatasetType"] == "raw"
    derived = read(bids / "derivatives/lesions/dataset_description.json")
    assert derived["DatasetType"] == "derivative"
    assert derived["GeneratedBy"][0]["Name"]
    with (bids / "participants.tsv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["participant_id"] for row in rows] == [p.name for p in sorted(bids.glob("sub-*"))]
    assert {row["sex"] for row in rows} <= {"F", "M"}
    assert set(read(bids / "participants.json")) == set(rows[0]) - {"participant_id"}


def test_each_mask_lies_on_the_grid_of_its_source(bids: Path) -> None:
    masks = sorted((bids / "derivatives").rglob("*_mask.nii.gz"))
    assert len(masks) == len(list(bids.glob("sub-*/anat/*.nii.gz")))
    used = set()
    for file in masks:
        about = read(file.with_name(file.name.replace(".nii.gz", ".json")))
        (source,) = about["Sources"]
        used.add(source)
        mask, image = nib.load(file), nib.load(bids / source.removeprefix("bids::"))
        assert mask.shape == image.shape
        np.testing.assert_array_equal(mask.affine, image.affine)
        assert about["Type"] == "Lesion"
    assert len(used) == len(masks)


def test_sidecars_are_in_the_units_of_the_standard(bids: Path) -> None:
    for file in bids.glob("sub-*/anat/*.json"):
        about = read(file)
        assert about["MagneticFieldStrength"] in (1.5, 3.0)
        assert 0.005 < about["EchoTime"] < 0.2 < about["RepetitionTime"] < 12  # seconds
        assert ("ContrastBolusIngredient" in about) == ("ce-gadolinium" in file.name)
        assert ("InversionTime" in about) == ("FLAIR" in file.name)
        spacing = nib.load(file.with_suffix(".nii.gz")).header.get_zooms()[2]
        assert about["SpacingBetweenSlices"] == pytest.approx(spacing, abs=1e-3)
        assert about["SliceThickness"] <= about["SpacingBetweenSlices"]

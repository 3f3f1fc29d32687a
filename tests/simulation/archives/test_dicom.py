"""The DICOM archive, by pydicom, dcm2niix and the standard's own tables.

Positions are worked out here from the attributes, as PS3.3 C.7.6.2.1 has it.
"""

import csv
import json
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from brainssl.simulation.archives.bids import SUFFIXES
from brainssl.simulation.archives.dicom import ENHANCED_MR_IMAGE, MR_IMAGE
from brainssl.simulation.cohort import CLASS_COUNTS

Frame = tuple[np.ndarray, np.ndarray]
"""Affine from (column, row, 0, 1) to mm LPS, and values after rescaling, of one slice."""


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def frames_of(data: pydicom.Dataset) -> list[Frame]:
    found = []
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    shared = data.get("SharedFunctionalGroupsSequence", [None])[0]
    for number, slab in enumerate(pixels):
        if shared is None:
            measures = orientation = position = scale = data
        else:
            measures = shared.PixelMeasuresSequence[0]
            orientation = shared.PlaneOrientationSequence[0]
            scale = shared.PixelValueTransformationSequence[0]
            group = data.PerFrameFunctionalGroupsSequence[number]
            position = group.PlanePositionSequence[0]
        across, down = np.reshape(orientation.ImageOrientationPatient, (2, 3)).astype(float)
        between_rows, between_columns = map(float, measures.PixelSpacing)
        affine = np.eye(4)
        affine[:3, 0] = across * between_columns
        affine[:3, 1] = down * between_rows
        affine[:3, 3] = [float(x) for x in position.ImagePositionPatient]
        slope, intercept = scale.get("RescaleSlope", 1), scale.get("RescaleIntercept", 0)
        found.append((affine, slab * float(slope) + float(intercept)))
    return found


@pytest.fixture(scope="module")
def root(archives: dict[str, Path]) -> Path:
    return archives["dicom"]


@pytest.fixture(scope="module")
def headers(root: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(file) for file in sorted((root / "dicom").rglob("IM*"))]


@pytest.fixture(scope="module")
def series(headers: list[pydicom.Dataset]) -> dict[str, list[pydicom.Dataset]]:
    """Images of each series but localisers."""
    held = defaultdict(list)
    for data in headers:
        if "LOCALIZER" not in data.ImageType:
            held[str(data.SeriesInstanceUID)].append(data)
    return dict(held)


def test_every_fifth_patient_is_multi_frame(series: dict[str, list[pydicom.Dataset]]) -> None:
    kinds = {(d.PatientID, str(d.SOPClassUID)) for held in series.values() for d in held}
    assert kinds == {
        (f"PHANTOM-{n:03d}", ENHANCED_MR_IMAGE if n == 5 else MR_IMAGE) for n in range(1, 7)
    }


def test_nothing_is_named_but_the_phantom(root: Path, headers: list[pydicom.Dataset]) -> None:
    for data in headers:
        assert str(data.PatientName) == f"Phantom^P{data.PatientID[-3:]}"
        assert data.PatientBirthDate == ""
        assert data.StudyDate.startswith("2001")
        assert data.file_meta.TransferSyntaxUID == pydicom.uid.ExplicitVRLittleEndian
        assert str(data.SOPInstanceUID).startswith("2.25.")
        assert data.SOPInstanceUID.is_valid
    assert len({data.SOPInstanceUID for data in headers}) == len(headers)
    assert len({data.StudyInstanceUID for data in headers}) == 6
    assert {p.name[:2] for p in (root / "dicom").rglob("*") if p.is_file()} == {"IM"}


def test_each_study_begins_with_a_localiser_of_three_planes(
    headers: list[pydicom.Dataset],
) -> None:
    held = defaultdict(list)
    for data in headers:
        if "LOCALIZER" in data.ImageType:
            held[data.StudyInstanceUID].append(data)
    assert len(held) == 6
    for images in held.values():
        assert {int(d.SeriesNumber) for d in images} == {1}
        assert len({tuple(d.ImageOrientationPatient) for d in images}) == 3
        assert len(images) == 9


def test_numbers_lie_in_some_series_and_positions_never(
    series: dict[str, list[pydicom.Dataset]],
) -> None:
    ordered = []
    for held in series.values():
        frames = [f for d in sorted(held, key=lambda d: d.InstanceNumber) for f in frames_of(d)]
        places = np.array([affine[:3, 3] for affine, _ in frames])
        normal = np.cross(frames[0][0][:3, 0], frames[0][0][:3, 1])
        along = places @ normal / np.linalg.norm(normal)
        gaps = np.diff(np.sort(along))
        np.testing.assert_allclose(gaps, gaps.mean(), rtol=1e-5)
        spacing = held[0].get("SpacingBetweenSlices")
        if spacing is None:
            shared = held[0].SharedFunctionalGroupsSequence[0]
            spacing = shared.PixelMeasuresSequence[0].SpacingBetweenSlices
        assert float(spacing) == pytest.approx(gaps.mean(), rel=1e-6)
        ordered.append(bool((np.diff(along) > 0).all() or (np.diff(along) < 0).all()))
    assert 0.3 < np.mean(ordered) < 1


def test_dicom_and_bids_hold_the_same_samples_at_the_same_places(
    archives: dict[str, Path], series: dict[str, list[pydicom.Dataset]]
) -> None:
    seen = set()
    for row in rows(archives["dicom"] / "series.csv"):
        held = series[row["series"]]
        patient = f"sub-p{held[0].PatientID[-3:]}"
        entity, suffix = SUFFIXES[row["sequence"]]
        image = nib.load(archives["bids"] / f"{patient}/anat/{patient}{entity}_{suffix}.nii.gz")
        seen.add(held[0].PixelRepresentation)
        compare([f for d in held for f in frames_of(d)], image)
        mask = nib.load(archives["dicom"] / "lesions" / f"{row['series']}.nii.gz")
        np.testing.assert_array_equal(mask.affine, image.affine)
    assert seen == {0, 1}  # signed and unsigned


def compare(frames: list[Frame], image: nib.Nifti1Image) -> None:
    """Every slice has the samples of the volume, found through the two affines."""
    data = np.asarray(image.dataobj)
    assert len(frames) == data.shape[2]
    to_voxel = np.linalg.inv(image.affine)
    for lps, values in frames:
        ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps
        there = to_voxel @ ras
        voxel = there @ (3, 7, 0, 1)
        np.testing.assert_allclose(voxel[:2], (3, 7), atol=1e-3)
        number = round(voxel[2])
        assert voxel[2] == pytest.approx(number, abs=1e-3)
        np.testing.assert_array_equal(values, data[:, :, number].T)


def test_dcm2niix_finds_the_same_volumes(
    archives: dict[str, Path], series: dict[str, list[pydicom.Dataset]], tmp_path: Path
) -> None:
    program = Path(sys.executable).parent / "dcm2niix"
    subprocess.run(
        [program, "-z", "n", "-f", "%j", "-o", tmp_path, archives["dicom"] / "dicom"],
        check=True,
        capture_output=True,
    )
    for row in rows(archives["dicom"] / "series.csv"):
        patient = f"sub-p{series[row['series']][0].PatientID[-3:]}"
        entity, suffix = SUFFIXES[row["sequence"]]
        ours = nib.load(archives["bids"] / f"{patient}/anat/{patient}{entity}_{suffix}.nii.gz")
        theirs = nib.load(tmp_path / f"{row['series']}.nii")
        about = json.loads((tmp_path / f"{row['series']}.json").read_text("utf-8"))
        side = json.loads(
            (archives["bids"] / f"{patient}/anat/{patient}{entity}_{suffix}.json").read_text()
        )
        for key in ("EchoTime", "RepetitionTime", "MagneticFieldStrength", "SliceThickness"):
            assert about[key] == pytest.approx(side[key], rel=1e-4)
        assert about["SeriesDescription"].replace("_", " ") == side["SeriesDescription"].replace(
            "_", " "
        )
        # dcm2niix turns rows and slices about: each of its voxels is sought in ours.
        turn = np.linalg.inv(ours.affine) @ theirs.affine
        index = np.indices(theirs.shape).reshape(3, -1)
        found = turn[:3, :3] @ index + turn[:3, 3:]
        np.testing.assert_allclose(found, np.rint(found), atol=2e-3)
        values = np.asarray(ours.dataobj)[tuple(np.rint(found).astype(int))]
        np.testing.assert_array_equal(theirs.get_fdata().ravel(), values)


def test_tables_tell_the_truth(root: Path, series: dict[str, list[pydicom.Dataset]]) -> None:
    labels = {row["patient"]: row for row in rows(root / "labels.csv")}
    told = rows(root / "series.csv")
    assert {row["series"] for row in told} == set(series)
    assert list(told[0]) == ["series", "label", "family", "sequence", "plane"]
    assert {p.name.removesuffix(".nii.gz") for p in (root / "lesions").iterdir()} == set(series)
    for row in told:
        data = series[row["series"]][0]
        patient = labels[data.PatientID]
        assert row["family"] == patient["label"]
        assert row["label"] == f"{row['family']} {row['sequence']}"
        assert row["family"] in CLASS_COUNTS
        assert data.PatientAge == f"{int(patient['age']):03d}Y"
        assert (data.PatientSex, data.StationName) == (patient["sex"], patient["scanner"])
        assert data.InstitutionName == f"Phantom {patient['site']}"
        across, down = np.reshape(
            frames_of(data)[0][0][:3, :2].T, (2, 3)
        )  # the plane is where the normal points most
        normal = np.abs(np.cross(across, down))
        assert ("sagittal", "coronal", "axial")[int(normal.argmax())] == row["plane"]


def test_a_scanner_says_what_it_is_said_to(series: dict[str, list[pydicom.Dataset]]) -> None:
    for held in series.values():
        data = held[0]
        if data.SOPClassUID == MR_IMAGE and "ContrastBolusAgent" in data:
            assert data.StationName[0] in "ABD"
        assert (data.PixelRepresentation == 1) == data.StationName.startswith("C")
        assert data.BitsStored == (16 if data.PixelRepresentation else 12)
        assert (data.SeriesDescription == f"Series {data.SeriesNumber}") == (
            data.StationName.startswith("B")
        )


@pytest.mark.parametrize(("kind", "name"), [(MR_IMAGE, "mr-image"),
                                            (ENHANCED_MR_IMAGE, "enhanced-mr-image")])  # fmt: skip
def test_what_the_standard_asks_for_is_there(
    kind: str, name: str, headers: list[pydicom.Dataset]
) -> None:
    """Types 1 and 2 of the mandatory modules, by the tables that highdicom carries."""
    highdicom = pytest.importorskip("highdicom")
    tables = Path(highdicom.__file__).parent / "_standard"
    modules = json.loads((tables / "iod_module_map.json").read_text())[name]
    attributes = json.loads((tables / "module_attribute_map.json").read_text())
    checked = 0
    for data in [d for d in headers if d.SOPClassUID == kind]:
        for module in modules:
            if module["usage"] != "M":
                continue
            for one in attributes[module["key"]]:
                path = one["path"]
                if len(path) == 1 and "FunctionalGroups" in path[0]:
                    continue  # which groups there are depends on the scan
                for where in at(data, path):
                    assert one["type"] not in ("1", "2") or one["keyword"] in where, one
                    if one["type"] == "1" and one["keyword"] in where:
                        assert not where[one["keyword"]].is_empty, one
                    checked += 1
    assert checked > 200


def at(data: pydicom.Dataset, path: list[str]) -> list[pydicom.Dataset]:
    """Items that a path of sequences leads to."""
    held = [data]
    for step in path:
        held = [item for one in held for item in one.get(step, [])]
    return held

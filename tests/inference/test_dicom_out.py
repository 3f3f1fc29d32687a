"""Maps as DICOM: each value where its pixel of the source lies, of the same patient and study."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from oracles.dicom_files import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    TILTED,
    enhanced,
    made,
    mosaic,
    pattern,
    positions,
    write,
)
from scipy import ndimage

from brainssl.data.archives.dicom import dicom_archive_of_files
from brainssl.data.letterbox import letterbox
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.slices import Opened, Plane
from brainssl.data.volumes.volume import VolumeRef
from brainssl.inference.dicom_out import PARAMETRIC_MAP, SliceMap, dicom_maps, overlay_name

ROWS, COLUMNS, COUNT, SIZE, PEAK = 12, 18, 5, 90, 2.5  # five pixels of the square for one
MARK = (3, 2, 13)  # slice, row and column: of no axis the middle
FRAME = {"FrameOfReferenceUID": "1.2.9", "SeriesNumber": 7}
TURNED = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
EXCHANGED = (0.0, 1.0, 0.0, 1.0, 0.0, 0.0)


def marked() -> np.ndarray:
    values = pattern((COUNT, ROWS, COLUMNS), most=200)
    values[MARK] = 3000
    return values


def files(folder: Path, orientation: Sequence[float], **elements: Any) -> list[Path]:
    """Slices whose names and numbers run against their places, one of which has a bright voxel."""
    values, paths = marked(), []
    for at, place in enumerate(positions(orientation, COUNT)):
        facts: dict[str, Any] = {
            "InstanceNumber": (at * 3) % COUNT + 1,
            "ImagePositionPatient": place,
            "ImageOrientationPatient": list(orientation),
        }
        name = f"{(at * 3) % COUNT}.dcm"
        paths.append(write(made(values[at], **(facts | FRAME | elements)), folder / name))
    return paths


def volume(paths: Sequence[Path]) -> VolumeRef:
    [one] = dicom_archive_of_files(list(paths), bytes(32)).series
    return one.volume


def seen(opened: Opened) -> list[SliceMap]:
    """What a network would see, as if each pixel spoke by its brightness."""
    squares = [
        letterbox(one / np.float32(3000), SIZE, field=opened.field) for one in opened.volume.samples
    ]
    return [SliceMap(n, one / np.float32(255), PEAK) for n, one in enumerate(squares, start=1)]


def derived(
    paths: Sequence[Path],
    plane: Plane = "native",
    label: str = "Glioma T1",
    reader: int = 2,
    field_of_view: float | None = None,
) -> Any:
    told = dicom_maps(
        volume(paths),
        seen,
        label=label,
        method="Grad-CAM",
        reader=reader,
        field_of_view=field_of_view,
        plane=plane,
    )
    return {name: pydicom.dcmread(io.BytesIO(data)) for name, data in told}


def place_of(position: Any, orientation: Any, spacing: Any, row: int, column: int) -> np.ndarray:
    """PS3.3, C.7.6.2.1.1: mm in the patient of the centre of a pixel."""
    position, orientation = np.array(position, float), np.array(orientation, float)
    along = orientation[:3] * float(spacing[1]) * column
    return np.asarray(position + along + orientation[3:] * float(spacing[0]) * row)


def frame_with_mark(found: Any) -> tuple[Any, int, int]:
    at, row, column = np.unravel_index(found.pixel_array.argmax(), found.pixel_array.shape)
    return found.PerFrameFunctionalGroupsSequence[int(at)], int(row), int(column)


def place_in_map(found: Any) -> np.ndarray:
    frame, row, column = frame_with_mark(found)
    shared = found.SharedFunctionalGroupsSequence[0]
    return place_of(
        frame.PlanePositionSequence[0].ImagePositionPatient,
        shared.PlaneOrientationSequence[0].ImageOrientationPatient,
        shared.PixelMeasuresSequence[0].PixelSpacing,
        row,
        column,
    )


@pytest.mark.parametrize("orientation", [TURNED, EXCHANGED, CORONAL, SAGITTAL, TILTED[1]])
def test_a_value_lies_where_the_pixel_of_the_source_lies(
    orientation: Sequence[float], tmp_path: Path
) -> None:
    paths = files(tmp_path, orientation)
    found = derived(paths)
    own = pydicom.dcmread(paths[MARK[0]])
    expected = place_of(
        own.ImagePositionPatient, own.ImageOrientationPatient, own.PixelSpacing, *MARK[1:]
    )
    raw = found[PARAMETRIC_MAP]
    np.testing.assert_allclose(place_in_map(raw), expected, atol=1e-4)
    frame, row, column = frame_with_mark(raw)
    assert (row, column) == MARK[1:]
    [source] = frame.DerivationImageSequence[0].SourceImageSequence
    assert source.ReferencedSOPInstanceUID == own.SOPInstanceUID
    assert raw.FrameOfReferenceUID == own.FrameOfReferenceUID
    assert raw.pixel_array.dtype == np.float32
    sources = {one.SOPInstanceUID: one for one in map(pydicom.dcmread, paths)}
    for values, item in zip(raw.pixel_array, raw.PerFrameFunctionalGroupsSequence, strict=True):
        [named] = item.DerivationImageSequence[0].SourceImageSequence
        source = sources[named.ReferencedSOPInstanceUID]
        np.testing.assert_allclose(values, source.pixel_array / 3000 * PEAK, atol=PEAK / 255)
        np.testing.assert_allclose(
            item.PlanePositionSequence[0].ImagePositionPatient, source.ImagePositionPatient
        )
    pictures = [one for name, one in found.items() if name != PARAMETRIC_MAP]
    [picture] = [
        one
        for one in pictures
        if one.SourceImageSequence[0].ReferencedSOPInstanceUID == own.SOPInstanceUID
    ]
    enlarged = -(-512 // COLUMNS)
    yellow = picture.pixel_array[: ROWS * enlarged].astype(int)
    coloured = ndimage.center_of_mass((yellow[..., 0] - yellow[..., 2]).clip(100) - 100)
    np.testing.assert_allclose(
        (np.array(coloured) - (enlarged - 1) / 2) / enlarged, MARK[1:], atol=0.2
    )
    np.testing.assert_allclose(
        np.array(picture.PixelSpacing, float) * enlarged, np.array(own.PixelSpacing, float)
    )


def test_frames_of_an_enhanced_file_are_named_each(tmp_path: Path) -> None:
    order = [2, 0, 4, 3, 1]
    places = positions(CORONAL, COUNT)
    frames = [
        {"position": places[at], "orientation": list(CORONAL), "place": at + 1} for at in order
    ]
    path = write(enhanced(marked()[order], frames, **FRAME), tmp_path / "x.dcm")
    found = derived([path])
    frame, *at = frame_with_mark(found[PARAMETRIC_MAP])
    assert at == list(MARK[1:])
    [source] = frame.DerivationImageSequence[0].SourceImageSequence
    assert source.ReferencedFrameNumber == order.index(MARK[0]) + 1
    expected = place_of(places[MARK[0]], CORONAL, (0.9, 0.7), *MARK[1:])
    np.testing.assert_allclose(place_in_map(found[PARAMETRIC_MAP]), expected, atol=1e-4)
    assert len(found[PARAMETRIC_MAP].SourceImageSequence) == 1


@pytest.mark.parametrize("orientation", [TURNED, EXCHANGED, CORONAL])
@pytest.mark.parametrize("reader", [2, 3])
@pytest.mark.parametrize("mm", [None, 9.0, 30.0])
def test_crop_and_square_pixels_are_undone(
    mm: float | None, reader: int, orientation: Sequence[float], tmp_path: Path
) -> None:
    """Rows are 0.9 mm apart, columns 0.7: of the square that is seen back to the files' own."""
    paths = files(tmp_path, orientation)
    found = derived(paths, reader=reader, field_of_view=mm)
    raw = found[PARAMETRIC_MAP]
    frame, *at = frame_with_mark(raw)
    assert at == list(MARK[1:])
    own = pydicom.dcmread(paths[MARK[0]])
    [source] = frame.DerivationImageSequence[0].SourceImageSequence
    assert source.ReferencedSOPInstanceUID == own.SOPInstanceUID
    assert raw.pixel_array.shape == (COUNT, ROWS, COLUMNS)
    # Beyond the field nothing was seen, and nothing is said: 10.8 × 12.6 mm are larger than 9.
    edges = raw.pixel_array[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert bool(edges.any()) == (mm != 9.0)
    for name, picture in found.items():
        if name != PARAMETRIC_MAP:
            assert picture.pixel_array.shape[1] == COLUMNS * -(-512 // COLUMNS)


def test_tiles_of_a_mosaic_lie_where_its_slices_do(tmp_path: Path) -> None:
    path = write(mosaic(marked(), AXIAL, **FRAME), tmp_path / "x.dcm")
    found = derived([path])
    expected = place_of(positions(AXIAL, COUNT)[MARK[0]], AXIAL, (0.9, 0.7), *MARK[1:])
    np.testing.assert_allclose(place_in_map(found[PARAMETRIC_MAP]), expected, atol=1e-4)
    assert found[PARAMETRIC_MAP].pixel_array.shape == (COUNT, ROWS, COLUMNS)


def test_objects_are_of_the_patient_and_study_and_say_what_they_are(tmp_path: Path) -> None:
    paths = files(
        tmp_path,
        AXIAL,
        StudyDate="20200102",
        PatientBirthDate="19500101",
        PatientSex="F",
        AccessionNumber="A1",
        BurnedInAnnotation="YES",
        LossyImageCompression="01",
        InstitutionName="Somewhere",
        OperatorsName="Who^Ever",
    )
    own = pydicom.dcmread(paths[0])
    found = derived(paths)
    raw, pictures = found.pop(PARAMETRIC_MAP), list(found.values())
    for one in (raw, *pictures):
        for word in ("PatientID", "PatientName", "StudyInstanceUID", "StudyDate", "PatientSex"):
            assert one[word].value == own[word].value
        assert "for research, not a medical device" in one.SeriesDescription
        assert one.SeriesInstanceUID != own.SeriesInstanceUID
        assert one.ImageType[0] == "DERIVED"
        assert one.LossyImageCompression == "01"
        assert "Somewhere" not in str(one)
        assert "Who^Ever" not in str(one)
    assert raw.ContentQualification == "RESEARCH"
    assert raw.BurnedInAnnotation == "NO"
    assert {one.BurnedInAnnotation for one in pictures} == {"YES"}  # what it shows, its source did
    assert len({one.SeriesInstanceUID for one in (raw, *pictures)}) == 2
    assert len({one.SOPInstanceUID for one in (raw, *pictures)}) == COUNT + 1
    assert pictures[0].PhotometricInterpretation == "RGB"
    assert pictures[0].pixel_array[-30:].max() == 255  # the notice


@pytest.mark.parametrize(
    ("characters", "name", "label"),
    [
        ("ISO_IR 100", "Müller^Jörg", "Glioma T1"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", "Gliom, groß"),
    ],
)
def test_names_and_labels_of_any_script_are_kept(
    characters: Any, name: str, label: str, tmp_path: Path
) -> None:
    paths = files(tmp_path, AXIAL, SpecificCharacterSet=characters, PatientName=name)
    for one in derived(paths, label=label).values():
        assert str(one.PatientName) == name
        assert label in str(one)


def test_a_header_with_values_that_cannot_be_is_no_fault_and_is_quoted_nowhere(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    paths = files(
        tmp_path, AXIAL, PatientSex="SECRET", StudyTime="99:99", PatientBirthDate="SECRETLY",
        PatientAge="SECRET", PatientName="SECRET",
    )  # fmt: skip
    capfd.readouterr()
    caplog.clear()  # of what was said as they were written
    told = dicom_maps(volume(paths), seen, label="Glioma", method="Grad-CAM", reader=2)
    assert len(list(told)) == COUNT + 1
    assert "SECRET" not in "".join(capfd.readouterr()) + caplog.text


@pytest.mark.parametrize(
    ("elements", "plane", "why"),
    [
        ({"FrameOfReferenceUID": None}, "native", "has no FrameOfReferenceUID"),
        ({"ImagePositionPatient": None}, "native", "nothing says where its slices lie"),
        ({}, "sagittal", "has axial slices, resampled to sagittal: those lie in no file"),
    ],
)
def test_what_lies_nowhere_is_refused_in_one_line(
    elements: dict[str, Any], plane: Plane, why: str, tmp_path: Path
) -> None:
    with pytest.raises(UnreadableImage, match=why) as refused:
        derived(files(tmp_path, AXIAL, **elements), plane)
    assert "\n" not in str(refused.value)


def test_a_slice_without_evidence_is_told_so(tmp_path: Path) -> None:
    def none(opened: Opened) -> list[SliceMap]:
        return [SliceMap(2, np.zeros((SIZE, SIZE), np.float32), 0.0)]

    told = dicom_maps(
        volume(files(tmp_path, AXIAL)), none, label="Glioma", method="Grad-CAM", reader=2
    )
    found = {name: pydicom.dcmread(io.BytesIO(data)) for name, data in told}
    assert list(found) == [PARAMETRIC_MAP, overlay_name(2)]
    assert not found[PARAMETRIC_MAP].pixel_array.any()
    assert "no positive evidence" in found[overlay_name(2)].ImageComments

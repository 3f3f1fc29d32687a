"""DICOM archives: which volumes they hold, and that no name leaves them."""

import gzip
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
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
    series,
    write,
)
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from brainssl.data.archives.archive import Archive, Series
from brainssl.data.archives.dicom import dicom_archive
from brainssl.data.archives.dicom_facts import Facts, facts_of
from brainssl.data.archives.dicom_listing import located
from brainssl.data.archives.pseudonyms import Pseudonyms
from brainssl.data.volumes.dicom import read_dicom
from brainssl.foundation.errors import BrainsslError

KEY = b"a key of thirty-two random bytes"


def archive_of(source: Path, **options: object) -> Archive:
    return dicom_archive(source, KEY, workers=1, **options)  # type: ignore[arg-type]


def only(archive: Archive) -> Series:
    (one,) = archive.series
    return one


def test_a_series_is_found_by_its_identifiers_and_sorted_by_position(tmp_path: Path) -> None:
    paths = series(tmp_path / "a")
    for at, path in enumerate(paths):  # a heap, with any suffix or none
        path.rename(tmp_path / "a" / ["x", "y.IMA", "z.dcm", "w", "v.bin"][at])
    one = only(archive_of(tmp_path))
    of = Pseudonyms(KEY).of
    assert (one.patient, one.study, one.series) == (
        of("patient", "", "P1"),
        of("study", "1.2.3"),
        of("series", "1.2.3.4"),
    )
    assert one.name == f"{one.patient}/{one.study}/{one.series}" == one.volume.name
    assert one.shape == (5, 12, 16)
    assert one.pixel == pytest.approx((0.9, 0.7))
    assert (one.exclusion, one.flags, one.volume.frames) == (None, (), None)
    volume = read_dicom(one.volume)
    assert np.array_equal(volume.samples, pattern((5, 12, 16)))
    assert "slices sorted by position along their normal" not in volume.provenance


def test_packed_files_are_found_and_a_directory_file_is_told(tmp_path: Path) -> None:
    for path in series(tmp_path):
        path.with_suffix(".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    directory = made(np.zeros((1, 1), np.uint8), sop_class="1.2.840.10008.1.3.10")
    write(directory, tmp_path / "DICOMDIR")
    archive = archive_of(tmp_path)
    assert np.array_equal(read_dicom(only(archive).volume).samples, pattern((5, 12, 16)))
    assert "DICOMDIR files, which only list others: 1." in archive.notes


def shown(archive: Archive) -> list[tuple[tuple[int, int, int], np.ndarray]]:
    return [(one.shape, read_dicom(one.volume).samples) for one in archive.series]


@pytest.mark.parametrize(
    "facts",
    [
        {"orientation": CORONAL},
        {"orientation": TILTED[0]},
        {"shape": (8, 8)},
        {"PixelSpacing": [0.5, 0.5]},
        {"EchoTime": 90.0},
        {"EchoNumbers": 2},
        {"AcquisitionNumber": 2},
        {"TemporalPositionIdentifier": 2},
        {"InversionTime": 800.0},
        {"FlipAngle": 20.0},
        {"TriggerTime": 120.0},
        {"ImageType": ["ORIGINAL", "PRIMARY", "P", "ND"]},
        {"DiffusionBValue": 1000.0},
        {"DiffusionGradientOrientation": [0.0, 0.0, 1.0]},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_two_volumes_in_one_series_are_told_as_two(
    tmp_path: Path, facts: dict[str, object]
) -> None:
    base = {
        "AcquisitionNumber": 1,
        "TemporalPositionIdentifier": 1,
        "InversionTime": 20.0,
        "FlipAngle": 90.0,
        "TriggerTime": 0.0,
        "EchoNumbers": 1,
        "DiffusionBValue": 0.0,
        "DiffusionGradientOrientation": [1.0, 0.0, 0.0],
    }
    series(tmp_path / "a", **base)
    series(tmp_path / "a", **(base | {"seed": 1} | facts))  # type: ignore[arg-type]
    archive = archive_of(tmp_path)
    assert len(archive.series) == 2
    shapes = [(5, 12, 16), (5, *facts.get("shape", (12, 16)))]  # type: ignore[misc]
    wanted = [pattern(shape, seed) for seed, shape in enumerate(shapes)]
    for one in archive.series:
        assert "one of several volumes in its series" in one.flags
        samples = read_dicom(one.volume).samples
        assert any(np.array_equal(samples, values) for values in wanted)
    names = {one.name for one in archive.series}
    assert {name[-2:] for name in names} == {"-1", "-2"}
    assert any("hold several volumes" in note for note in archive.notes)


def test_volumes_that_only_their_numbers_tell_apart(tmp_path: Path) -> None:
    for at, position in enumerate(positions(AXIAL, 4)):
        for time in range(3):
            values = pattern((4, 6, 8), time)[at]
            facts = {"ImagePositionPatient": position, "InstanceNumber": time * 4 + at}
            write(made(values, **facts), tmp_path / f"{9 - time}-{at}")
    archive = archive_of(tmp_path)
    assert len(archive.series) == 3
    for time, one in enumerate(archive.series):
        assert "told apart by number" in one.flags
        assert np.array_equal(read_dicom(one.volume).samples, pattern((4, 6, 8), time))


def test_one_volume_acquired_in_parts_stays_one(tmp_path: Path) -> None:
    for at, position in enumerate(positions(AXIAL, 6)):
        facts = {"AcquisitionNumber": at % 2, "AcquisitionTime": f"1200{at:02d}"}
        values = pattern((6, 6, 8))[at]
        write(made(values, ImagePositionPatient=position, **facts), tmp_path / f"{at}")
    assert only(archive_of(tmp_path)).shape == (6, 6, 8)


def test_an_object_that_lies_there_twice_is_taken_once_and_told(tmp_path: Path) -> None:
    paths = series(tmp_path / "a")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "copy").write_bytes(paths[2].read_bytes())
    archive = archive_of(tmp_path)
    assert only(archive).shape == (5, 12, 16)
    assert "Files left out because another holds the same object: 1." in archive.notes


def test_slices_that_all_bear_one_identifier_are_kept_and_told(tmp_path: Path) -> None:
    series(tmp_path, SOPInstanceUID="1.2.3.4.5")
    archive = archive_of(tmp_path)
    assert only(archive).shape == (5, 12, 16)
    assert any("bear the identifier of another object: 4" in note for note in archive.notes)


def test_missing_slices_oblique_and_burned_in_text_are_flagged(tmp_path: Path) -> None:
    series(tmp_path, count=7, skip=[3], orientation=TILTED[0], BurnedInAnnotation="YES")
    one = only(archive_of(tmp_path))
    assert set(one.flags) == {"missing slices", "oblique", "burned-in text"}
    assert set(one.flags) - {"burned-in text"} == set(read_dicom(one.volume).flags)


def test_without_positions_slice_locations_and_then_numbers_order(tmp_path: Path) -> None:
    for at in range(4):
        values = pattern((4, 6, 8))[at]
        facts = {"ImagePositionPatient": None, "InstanceNumber": 10 - at}
        write(made(values, SliceLocation=2.5 * at, **facts), tmp_path / f"{(at * 3) % 4}")
        named = {"SeriesInstanceUID": "1.2.3.5", "PatientID": "P2"}
        write(made(values, **facts, **named), tmp_path / f"n{(at * 3) % 4}")
    found = {tuple(one.flags): one for one in archive_of(tmp_path).series}
    located_, numbered = (
        found["no position", "ordered by slice location"],
        found["no position", "ordered by number"],
    )
    assert np.array_equal(read_dicom(located_.volume).samples, pattern((4, 6, 8)))
    assert np.array_equal(read_dicom(numbered.volume).samples, pattern((4, 6, 8))[::-1])
    assert not located_.placed
    assert located_.pixel == (0.9, 0.7)


def test_enhanced_frames_are_parted_by_echo_and_time_and_sorted(tmp_path: Path) -> None:
    places = positions(AXIAL, 3)
    frames = [
        {"position": places[at], "echo": echo, "time": time}
        for at in (2, 0, 1)
        for echo in (12.0, 90.0)
        for time in (1, 2)
    ]
    values = pattern((12, 6, 8))
    write(enhanced(values, frames), tmp_path / "a")
    archive = archive_of(tmp_path)
    assert [one.shape for one in archive.series] == [(3, 6, 8)] * 4
    seen = [read_dicom(one.volume).samples for one in archive.series]
    for echo in range(2):
        for time in range(2):
            wanted = values[[4 * row + 2 * echo + time for row in (1, 2, 0)]]
            assert any(np.array_equal(samples, wanted) for samples in seen)
    assert [one.columns["echo_time"] for one in archive.series].count("12") == 2
    assert [one.columns["echo_time"] for one in archive.series].count("90") == 2
    assert all(one.columns["repetition_time"] == "500" for one in archive.series)
    for one in archive.series:  # what is told of a volume is told of its own frames
        first = one.volume.frames[0][1]  # type: ignore[index]
        assert one.columns["echo_time"] == f"{frames[first]['echo']:g}"


def test_maps_after_originals_in_one_file_are_told_of_their_own_frames(tmp_path: Path) -> None:
    adc = ["DERIVED", "PRIMARY", "DIFFUSION", "ADC"]
    places = positions(AXIAL, 3)
    frames = [{"position": place} for place in places]
    frames += [{"position": place, "type": adc} for place in places]
    values = pattern((6, 6, 8))
    write(enhanced(values, frames), tmp_path / "a")
    original, derived = archive_of(tmp_path).series
    assert (original.exclusion, derived.exclusion) == (None, "derived: ADC map")
    assert ("derived" in original.flags, "derived" in derived.flags) == (False, True)
    assert np.array_equal(read_dicom(derived.volume).samples, values[3:])


@pytest.mark.parametrize("turned", [False, True])
def test_stacks_of_several_planes_in_one_file_have_their_own(tmp_path: Path, turned: bool) -> None:
    # Turned by 45 degrees give or take one, the nearest plane hangs on the stack's own cosines.
    def tilted(degrees: float) -> tuple[float, ...]:
        angle = np.radians(degrees)
        return (1.0, 0.0, 0.0, 0.0, float(np.cos(angle)), float(np.sin(angle)))

    stacks = (tilted(44.0), tilted(46.0)) if turned else (AXIAL, SAGITTAL)
    frames = [
        {"position": place, "orientation": list(stack)}
        for stack in stacks
        for place in positions(stack, 3)
    ]
    write(enhanced(pattern((6, 6, 8)), frames), tmp_path / "a")
    told = [one.plane.value for one in archive_of(tmp_path).series]
    assert told == ["axial", "coronal" if turned else "sagittal"]


def test_inversions_in_one_file_are_told_of_their_own_frames(tmp_path: Path) -> None:
    places = positions(AXIAL, 3)
    times = (800.0, 2500.0)
    frames = [{"position": place, "inversion": time} for time in times for place in places]
    write(enhanced(pattern((6, 6, 8)), frames), tmp_path / "a")
    told = [one.columns["inversion_time"] for one in archive_of(tmp_path).series]
    assert told == ["800", "2500"]


def test_many_frames_of_few_kinds_have_few_headers(tmp_path: Path) -> None:
    frames = [
        {"position": place, "echo": echo, "time": time}
        for place in positions(AXIAL, 10)
        for echo in (12.0, 90.0)
        for time in range(5)
    ]
    write(enhanced(pattern((100, 4, 4)), frames), tmp_path / "a")
    facts = facts_of((0, tmp_path / "a"))
    assert isinstance(facts, Facts)
    assert sorted(one["EchoTime"] for one in facts.headers.values()) == [12.0, 90.0]  # type: ignore[type-var]


def test_each_mosaic_is_a_volume(tmp_path: Path) -> None:
    for time in range(3):
        dataset = mosaic(pattern((5, 8, 8), time), AXIAL, TemporalPositionIdentifier=time + 1)
        dataset.InstanceNumber = 3 - time
        write(dataset, tmp_path / f"{time}.IMA")
    archive = archive_of(tmp_path)
    assert [one.shape for one in archive.series] == [(5, 8, 8)] * 3
    for at, one in enumerate(archive.series):
        assert np.array_equal(read_dicom(one.volume).samples, pattern((5, 8, 8), 2 - at))
        assert one.pixel == pytest.approx((0.9, 0.7))


def imageless(**elements: object) -> Dataset:
    dataset = made(np.zeros((1, 1), np.uint8), Rows=None, Columns=None, **elements)
    del dataset.PixelData
    return dataset


@pytest.mark.parametrize(
    ("facts", "exclusion"),
    [
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser"),
        ({"SeriesDescription": "AAHead_Scout"}, "localiser"),
        ({"SeriesDescription": "3-plane loc"}, "localiser"),
        ({"ImageType": ["DERIVED", "PRIMARY", "DIFFUSION", "ADC", "ND"]}, "derived: ADC map"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, "derived: reformatted"),
        ({"ImageType": ["DERIVED", "SECONDARY", "PROJECTION IMAGE"]}, "derived: projection"),
        ({"SeriesDescription": "SWI mIP"}, "derived: projection"),
        ({"SeriesDescription": "t1_mpr_sag", "ImageType": ["ORIGINAL", "PRIMARY", "M"]}, None),
        ({"SeriesDescription": "locus coeruleus T1"}, None),
        ({"ImageType": ["DERIVED", "SECONDARY"]}, None),
        ({"Modality": "CT"}, "no MR: CT"),
        ({"Modality": "ZZ"}, "no MR: unknown modality"),
        ({"Modality": None}, None),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.7"}, "secondary capture"),
        ({"sop_class": "1.2.840.10008.5.1.4.1.1.66.4"}, "segmentation"),
    ],
)
def test_what_is_not_learnt_from_is_told_with_the_reason(
    tmp_path: Path, facts: dict[str, object], exclusion: str | None
) -> None:
    series(tmp_path, **facts)  # type: ignore[arg-type]
    archive = archive_of(tmp_path)
    assert only(archive).exclusion == exclusion
    told = [note for note in archive.notes if "not learnt from" in note]
    assert told == ([f"Series that are not learnt from: 1 {exclusion}."] if exclusion else [])


def test_objects_without_pixels_are_told(tmp_path: Path) -> None:
    write(imageless(sop_class="1.2.840.10008.5.1.4.1.1.88.11"), tmp_path / "a")
    write(imageless(SeriesInstanceUID="1.9", Modality="PR"), tmp_path / "b")
    found = sorted(one.exclusion or "" for one in archive_of(tmp_path).series)
    assert found == ["no pixels: presentation state", "no pixels: structured report"]


def test_a_few_slices_in_three_planes_are_a_localiser(tmp_path: Path) -> None:
    for at, orientation in enumerate([AXIAL, CORONAL, SAGITTAL]):
        series(tmp_path / "a", count=2, orientation=orientation, seed=at)
        series(
            tmp_path / "b", count=30, orientation=orientation, seed=at, SeriesInstanceUID="1.2.9"
        )
    told = [(one.shape[0], one.exclusion) for one in archive_of(tmp_path).series]
    assert sorted(told, key=str) == [(2, "localiser")] * 3 + [(30, None)] * 3


def test_links_that_leave_the_source_are_refused_by_number(tmp_path: Path) -> None:
    outside = series(tmp_path / "outside", count=1)[0]
    source = tmp_path / "source"
    series(source, count=2)
    (source / "Doe.dcm").symlink_to(outside)
    (source / "Nowhere").symlink_to(source / "absent")
    (source / "folder").symlink_to(tmp_path / "outside")
    archive = archive_of(source)
    assert only(archive).shape == (2, 12, 16)
    told = dict(archive.unreadable)
    assert len(told) == 3
    assert "Doe" not in str(archive.unreadable)
    leaving = [name for name, reason in told.items() if "leaves the source" in reason]
    name = min(leaving)
    assert located(source, max(leaving)) == source / "folder"
    assert located(source, name) == source / "Doe.dcm"


def test_a_file_that_cannot_be_read_is_found_again_by_its_number(tmp_path: Path) -> None:
    paths = series(tmp_path / "Doe^Jane", count=3)
    paths[1].write_bytes(paths[1].read_bytes()[:-5])
    (tmp_path / "aaa.txt").write_text("no image")
    archive = archive_of(tmp_path)
    ((name, reason),) = archive.unreadable
    assert reason == "holds fewer pixels than its header says"
    assert name.endswith(".dcm")
    assert located(tmp_path, name) == paths[1]
    assert "Files that are no DICOM were not read: 1 .txt." in archive.notes
    with pytest.raises(BrainsslError, match="name one as file-<number>"):
        located(tmp_path, "file-99")


def test_patients_are_those_of_one_number_and_issuer(tmp_path: Path) -> None:
    for at, (issuer, born) in enumerate([("A", "19500101"), ("B", "19600101"), ("A", "19510101")]):
        uids = {"StudyInstanceUID": f"1.{at}", "SeriesInstanceUID": f"1.{at}.1"}
        facts = {"IssuerOfPatientID": issuer, "PatientBirthDate": born, "AccessionNumber": f"N{at}"}
        series(tmp_path / str(at), count=2, **uids, **facts)
    archive = archive_of(tmp_path)
    patients = {one.patient for one in archive.series}
    assert len(patients) == 2
    assert archive.originals["patient", "P1"] == patients
    first = next(one for one in archive.series if one.study in archive.originals["study", "N0"])
    assert archive.originals["study", "1.0"] == {first.study}
    assert archive.originals["series", "1.0.1"] == {first.series}
    assert any(note.startswith("1 patient has several dates of birth") for note in archive.notes)


@pytest.mark.parametrize("first", ["", "A"])
def test_a_number_without_issuer_joins_the_only_one_that_it_has(tmp_path: Path, first: str) -> None:
    last = {"": "A", "A": ""}[first]
    # One study of each, and a series of which a part tells the issuer.
    for at, issuer in enumerate([first, last]):
        uids = {"StudyInstanceUID": f"1.{at}", "SeriesInstanceUID": f"1.{at}.1"}
        series(tmp_path / str(at), count=2, IssuerOfPatientID=issuer or None, **uids)
    for at, place in enumerate(positions(AXIAL, 4)):
        facts = {"ImagePositionPatient": place, "SeriesInstanceUID": "1.0.2", "InstanceNumber": at}
        issuer = first if at < 2 else last
        one = made(pattern((4, 6, 8))[at], IssuerOfPatientID=issuer or None, **facts)
        write(one, tmp_path / f"part {at}")
    series(tmp_path / "other", count=2, PatientID="P2", SeriesInstanceUID="1.9.1")
    archive = archive_of(tmp_path)
    of = Pseudonyms(KEY).of
    joined, other = of("patient", "A", "P1"), of("patient", "", "P2")
    assert sorted(str(one.patient) for one in archive.series) == sorted([joined] * 3 + [other])
    assert archive.originals["patient", "P1"] == {joined}
    assert archive.originals["patient", "P2"] == {other}
    assert all(one.name.startswith(f"{one.patient}/") for one in archive.series)
    assert all(one.volume.name == one.name for one in archive.series)
    (whole,) = [one for one in archive.series if one.shape[0] == 4]
    assert np.array_equal(read_dicom(whole.volume).samples, pattern((4, 6, 8)))
    assert not any("issuers" in note for note in archive.notes)


def test_dates_of_birth_are_compared_after_numbers_were_joined(tmp_path: Path) -> None:
    for at, (issuer, born) in enumerate([(None, "19500101"), ("A", "19600101")]):
        facts = {"SeriesInstanceUID": f"1.{at}.1", "PatientBirthDate": born}
        series(tmp_path / str(at), count=2, IssuerOfPatientID=issuer, **facts)
    notes = archive_of(tmp_path).notes
    assert any(note.startswith("1 patient has several dates of birth") for note in notes)


def test_a_number_without_issuer_that_has_several_stays_its_own_and_is_told(
    tmp_path: Path,
) -> None:
    for at, issuer in enumerate(["A", None, "B"]):
        series(tmp_path / str(at), count=2, IssuerOfPatientID=issuer, SeriesInstanceUID=f"1.{at}.1")
    archive = archive_of(tmp_path)
    assert len({one.patient for one in archive.series}) == 3
    assert any(
        note.startswith("Patients' numbers that have several issuers") for note in archive.notes
    )


def test_without_a_patient_each_study_is_one_and_without_a_study_none(tmp_path: Path) -> None:
    series(tmp_path / "a", count=2, PatientID=None)
    series(tmp_path / "b", count=2, PatientID=None, StudyInstanceUID=None, SeriesInstanceUID=None)
    known, unknown = sorted(archive_of(tmp_path).series, key=lambda one: one.study is None)
    assert known.patient is not None
    assert unknown.patient is None
    assert unknown.series is None
    assert unknown.name.startswith("p-unknown/s-unknown/r-")
    assert any("without a patient's number: 4" in note for note in archive_of(tmp_path).notes)


def test_a_t1_after_an_agent_is_one_with_it_and_no_time_is_kept(tmp_path: Path) -> None:
    native = {"EchoTime": 12.0, "RepetitionTime": 500.0, "SeriesDescription": "T1 SE"}
    given = {"SeriesDescription": "T1 SE +C"}
    day = "20191231"
    # The last was taken after midnight; that it is listed first changes nothing.
    for at, (when, more) in enumerate(
        [((day, "235900"), {}), (("20200101", "000500.5"), {}), ((day, "235959"), given)]
    ):
        series(
            tmp_path / str(at),
            count=3,
            **native | more,
            SeriesInstanceUID=f"1.2.3.{at}",
            AcquisitionDate=when[0],
            AcquisitionTime=when[1],
        )
    archive = archive_of(tmp_path)
    of = Pseudonyms(KEY).of
    told = {one.series: one.sequence for one in archive.series}
    assert [told[of("series", f"1.2.3.{at}")].value for at in range(3)] == ["T1", "T1C+", "T1C+"]
    assert "taken after a series that was given one" in str(told[of("series", "1.2.3.1")].evidence)
    for kept in (day, "20200101", "235900", "235959", "000500"):
        assert kept not in str(archive)


def test_the_result_is_the_same_with_processes_and_progress_is_told(tmp_path: Path) -> None:
    for at in range(42):
        uids = {"SeriesInstanceUID": f"1.2.{at}", "StudyInstanceUID": f"1.{at % 3}"}
        series(tmp_path / str(at), seed=at, shape=(2, 2), **uids)
    told: list[tuple[int, int]] = []
    alone = archive_of(tmp_path, progress=lambda done, total: told.append((done, total)))
    together = dicom_archive(tmp_path, KEY, workers=2)
    assert alone == together
    assert len(alone.series) == 42
    assert told[-1] == (210, 210)


def test_an_archive_of_damaged_headers_is_read_to_its_end(tmp_path: Path) -> None:
    (source,) = series(tmp_path / "whole", count=1, PatientName="Doe^Jane")
    data = source.read_bytes()
    generator = np.random.default_rng(3)
    (tmp_path / "hurt").mkdir()
    for number in range(150):
        hurt = bytearray(data)
        for at in generator.integers(340, len(data) - 390, 5):
            hurt[at] = generator.choice(list(b"0129.-eEnN\\\xff\0^"))
        (tmp_path / "hurt" / f"{number}").write_bytes(hurt)
    archive = archive_of(tmp_path)
    read = sum(len(one.volume.files) for one in archive.series)
    left = sum(
        int(note.rpartition(" ")[2].rstrip(".")) for note in archive.notes if "Files left" in note
    )
    assert read + left + len(archive.unreadable) == 151
    assert len(archive.series) > 3
    assert "Doe" not in repr((archive.notes, archive.unreadable))


@pytest.mark.parametrize(
    "facts",
    [
        {"ImagePositionPatient": [1e300, -1e300, 1e300]},
        {"ImageOrientationPatient": [0.0] * 6},
        {"AcquisitionTime": ["120000", "120001"]},
        {"PixelSpacing": [1e-300, 1e300]},
        {"RescaleSlope": 1e300},
        {"PatientID": ["a", "b"]},
    ],
    ids=lambda facts: next(iter(facts)),
)
def test_values_that_cannot_be_stop_nothing(tmp_path: Path, facts: dict[str, object]) -> None:
    series(tmp_path / "a", **facts)  # type: ignore[arg-type]
    series(tmp_path / "b", seed=1, **facts)  # type: ignore[arg-type]
    for one in archive_of(tmp_path).series:
        assert np.isfinite(read_dicom(one.volume).samples).all()


NAMES = ("Doe", "Jane", "4711", "Saint-Elsewhere", "secretly", "Roe")


def plant(folder: Path) -> None:
    """Names everywhere that a header, a folder and a file can hold them."""
    facts = {
        "PatientName": "Doe^Jane",
        "PatientID": "ID-4711",
        "IssuerOfPatientID": "Saint-Elsewhere",
        "InstitutionName": "Saint-Elsewhere",
        "OtherPatientIDs": "ID-4711",
        "ReferringPhysicianName": "Roe^Richard",
        "SeriesDescription": "Doe t1 Jane",
        "ProtocolName": "for Doe",
        "SequenceName": "Roe",
        "StudyDescription": "secretly Doe",
        "ImageComments": "secretly Doe",
        "ManufacturerModelName": "Scanner of Doe",
        "Manufacturer": "Roe Inc",
        "StationName": "Doe",
        "AccessionNumber": "ACC-4711",
        "BodyPartExamined": "DOE",
        "ContrastBolusAgent": "secretly",
        "PatientAge": "Doe",
        "PatientSex": "Doe",
        "ImageType": ["ORIGINAL", "PRIMARY", "DOE"],
    }
    paths = series(folder / "Doe^Jane" / "study of Roe", **facts)
    odd = folder / "Doe^Jane" / "Jane.Doe"
    odd.write_bytes(paths[0].read_bytes()[:-9])
    (folder / "4711.Doe").write_text("Doe, Jane is no image")
    (folder / "Roe.dcm").write_text("Doe, Jane is no image")
    hurt = paths[1].read_bytes().replace(b"DS\x08\x00", b"DS\xff\xff")
    (folder / "Doe^Jane" / "hurt Roe.ima").write_bytes(hurt)
    bad = made(np.zeros((4, 4), np.uint16), **(facts | {"SeriesInstanceUID": generate_uid()}))
    bad.BitsAllocated = 13
    write(bad, folder / "Jane.ima")
    (folder / "Doe-link").symlink_to("/etc/hostname")


def test_no_planted_name_leaves_but_for_joining(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plant(tmp_path / "root")
    archive = archive_of(tmp_path / "root")
    assert archive.originals["patient", "ID-4711"]
    assert len(archive.unreadable) >= 3
    archive.originals = {}
    shown = []
    for at, one in enumerate(archive.series):
        try:
            volume = read_dicom(one.volume)
            shown.append(repr((volume.provenance, volume.flags)))
        except BrainsslError as error:
            shown.append(str(error))
        archive.series[at] = replace(one, volume=replace(one.volume, files=()))
    archive.root = Path()
    streams = capfd.readouterr()
    shown += [repr(archive), repr(pickle.dumps(archive)), streams.out, streams.err]
    for name in NAMES:
        assert name.casefold() not in "".join(shown).casefold()


def test_a_source_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="is not a folder"):
        archive_of(tmp_path / "absent")
    with pytest.raises(BrainsslError, match="at least 16 bytes"):
        dicom_archive(tmp_path, b"short")

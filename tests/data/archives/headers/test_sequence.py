"""Sequences by header and by name: a table of series as vendors describe them, and what may lie."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.sequence import sequence_from, sequence_from_name
from brainssl.simulation.scanner import SCANNERS

SEQUENCES = {"T1", "T1C+", "T2", "FLAIR", "PD", "DWI", "SWI", UNKNOWN}
KEYWORDS = {
    "description": "SeriesDescription",
    "tr": "RepetitionTime",
    "te": "EchoTime",
    "ti": "InversionTime",
    "flip": "FlipAngle",
    "codes": "ScanningSequence",
    "dimensions": "MRAcquisitionType",
    "field": "MagneticFieldStrength",
    "agent": "ContrastBolusAgent",
}


def header_of(row: dict[str, str]) -> dict[str, object]:
    held: dict[str, object] = {KEYWORDS[key]: row[key] for key in KEYWORDS if row[key]}
    for key in ("RepetitionTime", "EchoTime", "InversionTime", "FlipAngle"):
        if key in held:
            held[key] = float(str(held[key]))
    if row["more"]:
        key, _, value = row["more"].partition("=")
        held[key] = float(value) if key == "DiffusionBValue" else value
    for key in ("ScanningSequence", "ImageType", "SequenceVariant"):
        if key in held:
            held[key] = str(held[key]).split("\\")
    return held


with (Path(__file__).parent / "descriptions.csv").open(encoding="utf-8", newline="") as file:
    ROWS = list(csv.DictReader(file))


def test_the_table_is_long_and_no_series_is_in_it_twice() -> None:
    assert len(ROWS) >= 200
    assert len({tuple(row.values()) for row in ROWS}) == len(ROWS)
    assert {row["told"] for row in ROWS} == SEQUENCES


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["description"] or "no words")
def test_a_series_of_the_table_is_told(row: dict[str, str]) -> None:
    told = sequence_from(header_of(row))
    assert told.value == row["told"], told
    assert 0 <= told.confidence <= 0.99
    assert bool(told.evidence) or told.confidence == 0


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.name)
@pytest.mark.parametrize("sequence", ["T1", "T1C+", "T2"])
@pytest.mark.parametrize("code", ["SE", None])
def test_timing_alone_tells_every_scan_of_the_phantom(
    scanner: Any, sequence: str, code: str | None
) -> None:
    generator = np.random.default_rng(0)
    (tr_low, tr_high), (te_low, te_high) = scanner.t2 if sequence == "T2" else scanner.t1
    times = [(tr, te) for tr in (tr_low, tr_high) for te in (te_low, te_high)]
    drawn = [scanner.timing(sequence, generator) for _ in range(20)]
    for tr, te in times + [(one.tr, one.te) for one in drawn]:
        header: dict[str, object] = {
            "RepetitionTime": tr,
            "EchoTime": te,
            "MagneticFieldStrength": scanner.field,
        }
        if code:
            header["ScanningSequence"] = code
        if sequence == "T1C+":
            header["ContrastBolusAgent"] = "Gadobutrol"
        told = sequence_from(header)
        assert told.value == sequence
        assert told.confidence > 0.5
        assert not told.against


SPIN = {"RepetitionTime": 500, "EchoTime": 12, "ScanningSequence": "SE"}
LATE = {"RepetitionTime": 4500, "EchoTime": 100, "ScanningSequence": "SE"}


def test_agreement_raises_confidence_and_names_both_lines_of_evidence() -> None:
    words, timing = ({"SeriesDescription": "t2_tse_tra"}, LATE)
    both = sequence_from(words | timing)
    assert both.confidence > max(sequence_from(words).confidence, sequence_from(timing).confidence)
    assert both.evidence[0] == "word: T2"
    assert both.evidence[1].startswith("timing: TR 4500, TE 100: ")
    assert both.against == ()


@pytest.mark.parametrize(
    ("description", "timing", "value", "against"),
    [
        ("t1_se_tra", LATE, "T1", "timing: TR 4500, TE 100"),
        ("t2_tse_tra", SPIN, "T2", "timing: TR 500, TE 12"),
        ("FLAIR", SPIN, "FLAIR", "timing: TR 500, TE 12"),
        ("localizer", LATE, UNKNOWN, "timing: TR 4500, TE 100"),
    ],
)
def test_a_contradiction_goes_to_against_and_lowers_confidence(
    description: str, timing: dict[str, object], value: str, against: str
) -> None:
    alone = sequence_from({"SeriesDescription": description})
    told = sequence_from({"SeriesDescription": description} | timing)
    assert told.value == alone.value == value
    assert told.confidence < alone.confidence
    assert any(line.startswith(against) for line in told.against)


def test_a_weak_word_gives_way_to_clear_timing() -> None:
    told = sequence_from({"SeriesDescription": "PD patients", **LATE})
    assert told.value == "T2"
    assert told.against == ("word: PD",)


def test_an_agent_that_the_words_deny_is_no_agent_but_goes_to_against() -> None:
    told = sequence_from({"SeriesDescription": "T1 nativ", "ContrastBolusAgent": "Gd", **SPIN})
    assert told.value == "T1"
    assert told.against == ("contrast agent: the header names one",)
    sure = sequence_from({"SeriesDescription": "T1 nativ", **SPIN})
    assert told.confidence < sure.confidence
    told = sequence_from({"SeriesDescription": "T1 + Gd", "ContrastBolusAgent": "none", **SPIN})
    assert told.value == "T1C+"
    assert told.against == ("no contrast agent: the header's agent is none",)


def test_silence_about_an_agent_is_told_and_lowers_confidence() -> None:
    silent = sequence_from({"SeriesDescription": "t1_se", **SPIN})
    native = sequence_from({"SeriesDescription": "t1_se nativ", **SPIN})
    assert silent.value == native.value == "T1"
    assert silent.confidence < native.confidence
    assert silent.evidence[-1].startswith("nobody says whether a contrast agent was given")


def test_an_agent_of_another_sequence_is_evidence_and_changes_no_name() -> None:
    told = sequence_from({"SeriesDescription": "FLAIR post Gd", "ContrastBolusAgent": "Gd"})
    assert told.value == "FLAIR"
    assert "contrast agent: word: Gd" in told.evidence


def test_the_sequence_of_an_agent_counts_as_the_agent_itself() -> None:
    pydicom = pytest.importorskip("pydicom")
    item = pydicom.Dataset()
    item.CodeMeaning = "Gadobutrol"
    given = pydicom.Dataset()
    given.ContrastBolusAgentSequence = [item]
    assert sequence_from({**SPIN, "ContrastBolusAgentSequence": given[0x00180012].value}).value == (
        "T1C+"
    )
    item.CodeMeaning = "None"
    assert sequence_from({**SPIN, "ContrastBolusAgentSequence": given[0x00180012].value}).value == (
        "T1"
    )


def test_a_description_is_believed_before_the_name_of_a_protocol() -> None:
    told = sequence_from({"SeriesDescription": "t1_se_tra", "ProtocolName": "t2_tse_tra", **SPIN})
    assert told.value == "T1"
    assert told.against == ("word: T2",)


def test_times_of_a_sidecar_in_seconds_are_known_and_told() -> None:
    told = sequence_from(
        {"RepetitionTime": 2.3, "EchoTime": 0.00298, "InversionTime": 0.9, "FlipAngle": 9}
    )
    assert told.value == "T1"
    assert any("taken for seconds" in line for line in told.evidence)
    told = sequence_from({"RepetitionTime": 4.5, "EchoTime": 0.1})
    assert told.value == "T2"


def test_flairs_are_told_from_what_pydicom_gives() -> None:
    pydicom = pytest.importorskip("pydicom")
    header = pydicom.Dataset()
    header.ScanningSequence = ["SE", "IR"]
    header.RepetitionTime, header.EchoTime, header.InversionTime = "9000", "120", "2500"
    header.SeriesDescription, header.ContrastBolusAgent = "", None
    told = sequence_from({one.keyword: one.value for one in header})
    assert (told.value, told.against) == ("FLAIR", ())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "T1"),
        ("sub-01_ce-gadolinium_T1w.nii.gz", "T1C+"),
        ("sub-01_acq-mprage_T1w.nii", "T1"),
        ("sub-01_T2w.nii.gz", "T2"),
        ("sub-01_FLAIR.nii.gz", "FLAIR"),
        ("sub-01_PDw.nii.gz", "PD"),
        ("sub-01_dwi.nii.gz", "DWI"),
        ("sub-01_swi.nii.gz", "SWI"),
        ("sub-01_T2starw.nii.gz", UNKNOWN),
        ("sub-01_T1map.nii.gz", UNKNOWN),
        ("sub-01_task-rest_bold.nii.gz", UNKNOWN),
        ("sub-01_asl.nii.gz", UNKNOWN),
        ("sub-01_acq-t1_phasediff.nii.gz", UNKNOWN),
        ("sub-01_UNIT1.nii.gz", "T1"),
        ("sub-t2_T1w.nii.gz", "T1"),
        ("BraTS-GLI-00005-100-t1n.nii.gz", "T1"),
        ("BraTS-GLI-00005-100-t1c.nii.gz", "T1C+"),
        ("BraTS-GLI-00005-100-t2w.nii.gz", "T2"),
        ("BraTS-GLI-00005-100-t2f.nii.gz", "FLAIR"),
        ("BraTS20_Training_001/BraTS20_Training_001_t1ce.nii.gz", "T1C+"),
        ("BraTS20_Training_001_flair.nii", "FLAIR"),
        ("BraTS20_Training_001_seg.nii", UNKNOWN),
        ("TCGA-FG-6692_t1c.nii.gz", "T1C+"),
        ("Glioma T1ce/0002.png", "T1C+"),
        ("patient7/T1 post/0001.dcm", "T1C+"),
        ("patient7/ax t1 pre/IM-0001.dcm", "T1"),
        ("p008_t1_coronal_1.png", "T1"),
        ("PD_012", UNKNOWN),
        ("Other lesion/12.png", UNKNOWN),
        ("Hemangioblastoma/12.png", UNKNOWN),
        ("x.nii.gz", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_names_of_files_and_folders_are_read(name: str, value: str) -> None:
    told = sequence_from_name(name)
    assert told.value == value
    assert told.confidence <= 0.9


PLANTED = "Xqzvargo"
ODD: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=30),
    st.binary(max_size=8),
    st.just(object()),
    st.lists(st.one_of(st.floats(), st.text(max_size=8), st.none()), max_size=7),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)
FIELDS = st.sampled_from(
    [
        *KEYWORDS.values(),
        "ProtocolName",
        "SequenceName",
        "SequenceVariant",
        "ImageType",
        "EchoTrainLength",
        "ContrastBolusAgentSequence",
        "ContrastBolusVolume",
        "DiffusionBValue",
        "DiffusionDirectionality",
        "AcquisitionContrast",
        "EchoPulseSequence",
        "InversionTimes",
    ]
)


@given(st.dictionaries(FIELDS, ODD, max_size=12))
def test_no_header_raises(header: dict[str, object]) -> None:
    told = sequence_from(header)
    assert told.value in SEQUENCES
    assert 0 <= told.confidence <= 0.99


@given(
    st.dictionaries(
        FIELDS,
        st.sampled_from(["T1", "t2_tse", "dwi b", "+C", "post", "ADC", "pre", "MIP", "GR", "1"]),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["{} {}", "{}_{}", "{}^{}", "{}-{}", "{}{}"]),
    st.booleans(),
)
def test_evidence_quotes_nothing_that_a_header_says(
    header: dict[str, str], pattern: str, first: bool
) -> None:
    def planted(value: str) -> str:
        return pattern.format(PLANTED, value) if first else pattern.format(value, PLANTED)

    told = sequence_from({key: planted(value) for key, value in header.items()})
    lines = " ".join((told.value, *told.evidence, *told.against)).casefold()
    assert PLANTED.casefold() not in lines
    by_name = sequence_from_name(planted(next(iter(header.values()))))
    assert PLANTED.casefold() not in str(by_name).casefold()


@given(st.text(max_size=60))
def test_no_name_raises(name: str) -> None:
    assert isinstance(sequence_from_name(name), Told)

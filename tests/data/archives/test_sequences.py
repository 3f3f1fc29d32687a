"""Name and sidecar together say the sequence; what is something else is left out."""

import pytest

from brainssl.data.archives.archive import Told
from brainssl.data.archives.sequences import exclusion_of, told_sequence

SPIN_ECHO_T2 = {"RepetitionTime": 4000.0, "EchoTime": 100.0, "ScanningSequence": "SE"}


def test_a_sidecar_that_agrees_makes_surer() -> None:
    alone = told_sequence("x_T2w.nii.gz", {})
    both = told_sequence("x_T2w.nii.gz", SPIN_ECHO_T2)
    assert alone.value == both.value == "T2"
    assert both.confidence > alone.confidence


def test_a_sidecar_that_contradicts_is_heard() -> None:
    told = told_sequence("x_T1w.nii.gz", SPIN_ECHO_T2)
    assert told.against


def test_further_statements_count() -> None:
    told = told_sequence("scan.nii", {}, Told("FLAIR", 0.9, ("said so",)))
    assert (told.value, told.evidence) == ("FLAIR", ("said so",))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("1_localizer.nii", "localiser"),
        ("ep2d_diff_ADC.nii", "map"),
        ("tof_3d.nii", "angiography"),
        ("x_T1w.nii", None),
        ("scan.nii", None),
        ("x_T2starw.nii", None),
    ],
)
def test_what_is_left_out(name: str, why: str | None) -> None:
    assert exclusion_of(told_sequence(name, {})) == why

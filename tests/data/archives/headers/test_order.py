"""The order of a study's series: what was given an agent stays so."""

from brainssl.data.archives.headers.order import Taken, contrast_by_time
from brainssl.data.archives.headers.sequence import sequence_from

SPIN = {"RepetitionTime": 500, "EchoTime": 12, "ScanningSequence": "SE"}


def taken(key: str, time: float | None, description: str, **more: object) -> Taken:
    header = {"SeriesDescription": description, **SPIN, **more}
    return Taken(key, time, sequence_from(header), header)


def test_a_silent_t1_after_an_agent_is_t1_with_contrast() -> None:
    study = [
        taken("late", 900, "t1_se_cor"),
        taken("first", 0, "t1_se_tra"),
        taken("given", 600, "t1_se_tra KM"),
        taken("denied", 1000, "t1_se nativ"),
        taken("unknown", None, "t1_se_sag"),
    ]
    found = contrast_by_time(study)
    assert {key: told.value for key, told in found.items()} == {
        "first": "T1",
        "given": "T1C+",
        "late": "T1C+",
        "denied": "T1",
        "unknown": "T1",
    }
    assert found["late"].evidence[-1].startswith("contrast agent: order: ")
    assert not any(line.startswith("nobody says") for line in found["late"].evidence)
    assert found["first"] == study[1].told


def test_an_agent_of_another_sequence_counts() -> None:
    flair = taken("flair", 300, "FLAIR", ContrastBolusAgent="Gadovist", EchoTime=120)
    found = contrast_by_time([taken("first", 0, "t1_se"), flair, taken("second", 600, "t1_se")])
    assert (found["first"].value, found["second"].value) == ("T1", "T1C+")


def test_without_any_agent_two_equal_series_are_a_repetition() -> None:
    study = [taken("first", 0, "t1_se"), taken("second", 600, "t1_se")]
    assert contrast_by_time(study) == {one.key: one.told for one in study}


def test_the_first_of_two_equal_series_doubts_an_agent_that_only_the_field_names() -> None:
    study = [
        taken("first", 0, "t1_se", ContrastBolusAgent="Gadovist"),
        taken("second", 600, "t1_se", ContrastBolusAgent="Gadovist"),
        taken("other", 700, "t1_se", ContrastBolusAgent="Gadovist", RepetitionTime=700),
    ]
    found = contrast_by_time(study)
    assert found["first"].confidence < study[0].told.confidence
    assert found["first"].against == ("order: an equal series was taken later",)
    assert found["second"] == study[1].told
    assert found["other"] == study[2].told

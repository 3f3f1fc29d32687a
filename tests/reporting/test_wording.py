import math

from hypothesis import given
from hypothesis import strategies as st

from brainssl.evaluation.metrics import METRICS as MEASURED
from brainssl.reporting.wording import (
    METRIC,
    METRICS,
    count,
    counted,
    decimal,
    duration,
    fraction_title,
    join,
    labels_title,
    moment,
    percent,
    shorten,
    some,
)


def test_label_fractions_are_told_as_shares_and_as_shots() -> None:
    assert [fraction_title(one) for one in (0.1, "8-shot", 1.0)] == [
        "10\u00a0%",
        "8 a class",
        "100\u00a0%",
    ]
    assert labels_title(0.05) == "5\u00a0% of labels"
    assert labels_title("1-shot") == "1 label a class"
    told = labels_title(1.0, "8-shot", 0.1, "2-shot", of="the labels")
    assert told == "2 and 8 labels a class and 10\u00a0% and 100\u00a0% of the labels"


def test_every_metric_that_is_measured_has_a_wording() -> None:
    assert tuple(metric.name for metric in METRICS) == MEASURED


@given(st.floats(-1, 1))
def test_percent_is_the_rounded_value(value: float) -> None:
    text = percent(value).replace("−", "-")
    assert math.isclose(float(text), 100 * value, abs_tol=0.0500001)
    assert text != "-0.0"


def test_missing_numbers_are_a_dash() -> None:
    assert percent(None) == decimal(None) == count(None) == duration(None) == "–"
    assert METRIC["accuracy"].range(None) == "–"


def test_ranges_cannot_be_misread_when_negative() -> None:
    assert METRIC["accuracy"].range((0.38, 0.475)) == "38.0–47.5"
    assert METRIC["mcc"].range((-0.05, 0.2)) == "−0.050 to 0.200"


@given(st.text(max_size=120), st.integers(8, 60))
def test_shortened_names_fit(name: str, limit: int) -> None:
    short = shorten(name, limit)
    assert len(short) <= limit
    if len(name) <= limit:
        assert short == name


def test_shortened_names_keep_the_sequence() -> None:
    name = "Outros Tipos de Lesões (Abscessos, Cistos, Encefalopatias Diversas) T1C+"
    assert shorten(name, 30).endswith("… T1C+")


def test_words() -> None:
    assert fraction_title(0.1) == "10\u00a0%"
    assert fraction_title(0.005) == "0.5\u00a0%"
    assert counted(1, "file") == "1 file"
    assert [counted(n, "class", "classes") for n in (1, 2)] == ["1 class", "2 classes"]
    assert counted(12345, "image") == "12\u202f345 images"
    assert [join(words) for words in (["a"], ["a", "b"], ["a", "b", "c"])] == [
        "a",
        "a and b",
        "a, b and c",
    ]
    assert some(["a", "b"], most=2) == "a, b"
    assert some(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert duration(90) == "90 s"
    assert duration(5025) == "84 min"
    assert moment("2025-03-04T05:06:07+02:00") == "2025-03-04 03:06 UTC"
    assert moment("yesterday") == "yesterday"

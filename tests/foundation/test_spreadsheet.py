"""CSV that no spreadsheet runs, and that keeps what it holds."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.foundation.spreadsheet import as_text, csv_of

HOSTILE = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "\n=1",
    "＝1",
    "-",
    "\t5",
]
RUN = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@pytest.mark.parametrize("text", HOSTILE)
def test_a_formula_becomes_text(text: str) -> None:
    written = csv_of(pd.DataFrame({text: [text, "plain"], "n": [-1, -2.5]}))
    heads, first, second = list(csv.reader(io.StringIO(written, newline="")))
    shown = "'" + text.replace("\r", "\n")
    assert heads == [shown, "n"]
    assert first == [shown, "-1.0"]
    assert second == ["plain", "-2.5"]


@pytest.mark.parametrize("cell", [-3, -0.25, 7, None, True, "-0.31", "+5", "-1e-3", "-inf", "−1"])
def test_numbers_stay_numbers(cell: object) -> None:
    assert as_text(cell) is cell


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"])), min_size=1))
def test_other_text_comes_back_as_it_was(texts: list[str]) -> None:
    texts = [text for text in texts if not text.startswith(RUN)]
    read = pd.read_csv(
        io.StringIO(csv_of(pd.DataFrame({"text": texts, "n": range(len(texts))}))),
        keep_default_na=False,
        dtype=str,
    )
    assert read["text"].tolist() == texts


def test_no_line_break_in_a_name_begins_a_row() -> None:
    written = csv_of(pd.DataFrame({"text": ["a\r=1", "b\r\n=2", "c\n=3"]}))
    read = list(csv.reader(io.StringIO(written, newline="")))
    assert read == [["text"], ["a\n=1"], ["b\n=2"], ["c\n=3"]]

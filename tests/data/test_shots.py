"""Shots among shares: read, ordered, written, and the same after a journey through a file."""

import json
import pickle
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.shots import Shots, label_fraction

SHOTS = st.integers(1, 999).map(Shots)
SHARES = st.floats(0.0001, 1)


@given(st.lists(SHOTS | SHARES, min_size=1))
def test_shots_come_before_shares_by_how_many_they_are(fractions):
    found = sorted(fractions)
    shots = [one for one in found if isinstance(one, Shots)]
    assert found == [*shots, *sorted(one for one in fractions if not isinstance(one, Shots))]
    assert [one.each for one in shots] == sorted(one.each for one in shots)
    assert max(fractions) == found[-1]
    assert min(fractions) == found[0]


@given(SHOTS | SHARES, SHOTS | SHARES)
def test_of_two_one_is_smaller_or_they_are_equal(one, other):
    assert [one < other, one == other, one > other].count(True) == 1
    assert (one <= other) == (not one > other)
    assert (one >= other) == (not one < other)


@given(SHOTS)
def test_shots_are_their_text_in_files_and_names(shots):
    text = f"{shots.each}-shot"
    assert json.loads(json.dumps({"label_fraction": shots})) == {"label_fraction": text}
    assert f"-f{shots:g}-s0" == f"-f{text}-s0"
    assert f"{shots:>12}" == text.rjust(12)
    for again in (label_fraction(text), pickle.loads(pickle.dumps(shots)), deepcopy(shots)):
        assert isinstance(again, Shots)
        assert (again, again.each) == (shots, shots.each)
    assert len({shots, text, label_fraction(shots)}) == 1


@pytest.mark.parametrize(("text", "read"), [("0.1", 0.1), (1, 1.0), (" 8-shot", "8-shot")])
def test_a_label_fraction_is_read_from_numbers_and_text(text, read):
    assert label_fraction(text) == read


@pytest.mark.parametrize("text", ["half", "0-shot", "-1-shot", "8-shots", "1.5-shot", "shot"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(ValueError, match="could not convert"):
        label_fraction(text)

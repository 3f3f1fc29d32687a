"""Statements into one: agreement, contradiction, and what says more."""

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.archives.archive import UNKNOWN, Told
from brainssl.data.archives.headers.combining import combined
from brainssl.data.archives.headers.contrast import NATIVE

STATEMENTS = st.lists(
    st.builds(
        Told,
        st.sampled_from(["T1", "T1C+", "T2", UNKNOWN]),
        st.floats(0, 1),
        st.tuples(st.sampled_from(["a", "b", f"{NATIVE}word: native"])),
    ),
    max_size=5,
)


def test_two_that_agree_are_wrong_only_if_both_are() -> None:
    told = combined(Told("T2", 0.8, ("a",)), Told("T2", 0.6, ("b",)))
    assert told == Told("T2", 0.92, ("a", "b"))


def test_of_two_that_contradict_the_surer_stands_and_the_other_goes_to_against() -> None:
    # Right and wrong: 0.9 * 0.4; the other right: 0.6 * 0.1; both wrong: 0.1 * 0.4.
    expected = 0.9 * 0.4 / (0.9 * 0.4 + 0.6 * 0.1 + 0.1 * 0.4)
    told = combined(Told("T1", 0.6, ("b",)), Told("T2", 0.9, ("a",), ("c",)))
    assert (told.value, told.evidence, told.against) == ("T2", ("a",), ("c", "b"))
    assert told.confidence == pytest.approx(expected, abs=1e-4)


def test_a_t1_that_is_silent_about_an_agent_agrees_with_one_that_names_it() -> None:
    agent, silent = Told("T1C+", 0.8, ("a",)), Told("T1", 0.95, ("b",))
    assert combined(agent, silent) == Told("T1C+", 0.8, ("a", "b"))
    native = Told("T1", 0.95, (f"{NATIVE}word: native",))
    assert combined(agent, native).value == "T1"
    assert combined(agent, native).against == ("a",)


def test_something_else_is_a_statement_and_nothing_is_none() -> None:
    assert combined(Told(UNKNOWN, 0.95, ("map",)), Told("T2", 0.6)).value == UNKNOWN
    assert combined(Told(UNKNOWN, 0.0, ("odd",)), Told("T2", 0.6)) == Told("T2", 0.6, ("odd",))
    assert combined() == Told()
    assert combined(Told(), Told()) == Told()


@given(STATEMENTS)
def test_order_does_not_decide_unless_two_are_equally_sure(told: list[Told]) -> None:
    values = {combined(*order).confidence for order in permutations(told)}
    assert max(values, default=0.0) - min(values, default=0.0) <= 2e-4
    assert all(0 <= one <= 0.99 for one in values)


@given(STATEMENTS, st.floats(0.05, 0.95))
def test_a_further_witness_of_the_same_never_lowers_confidence(
    told: list[Told], sure: float
) -> None:
    before = combined(*told)
    if before.value != UNKNOWN:
        witness = Told(before.value, sure, before.evidence)
        assert combined(*told, witness).confidence >= before.confidence - 1e-4

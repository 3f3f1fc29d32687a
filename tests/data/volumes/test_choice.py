"""Slices that are taken: evenly over those with brain, the same every time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.volumes.choice import ALL, Choice, read_choice
from brainssl.foundation.errors import BadUseError


def shown(count: int, begin: int = 3) -> np.ndarray:
    return np.array([False] * begin + [True] * count + [False] * 2)


def test_all_with_brain_are_taken_by_default() -> None:
    assert ALL.of(shown(4)) == (4, 5, 6, 7)
    assert ALL.of(np.zeros(5, bool)) == ()


def test_every_third() -> None:
    assert Choice(every=3).of(shown(8)) == (4, 7, 10)


@given(st.integers(1, 60), st.integers(1, 60))
def test_so_many_lie_evenly_and_symmetrically(count: int, held: int) -> None:
    numbers = np.array(Choice(count=count).of(shown(held)))
    assert len(numbers) == min(count, held)
    assert set(numbers) <= set(range(4, 4 + held))
    steps = np.diff(numbers)
    assert steps.size == 0 or steps.max() - steps.min() <= 1
    below, above = numbers[0] - 4, 3 + held - numbers[-1]
    assert abs(below - above) <= 1


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 50))
def test_never_more_than_foreseen(count: int, every: int, held: int) -> None:
    for choice in (ALL, Choice(count=count), Choice(every=every)):
        assert len(choice.of(shown(held))) <= choice.most(held + 5)
        assert len(choice.of(np.ones(held, bool))) == choice.most(held)


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        (None, ALL),
        ("all", ALL),
        (16, Choice(16)),
        (" 16", Choice(16)),
        ("Every:4", Choice(every=4)),
    ],
)
def test_a_choice_is_read(text: str | int | None, choice: Choice) -> None:
    assert read_choice(text) == choice
    assert read_choice(str(choice)) == choice or choice == ALL


@pytest.mark.parametrize("text", ["0", 0, -3, "every:0", "every", "1.5", "middle", "", "9999999"])
def test_what_is_none_is_told_in_one_line(text: str | int) -> None:
    with pytest.raises(BadUseError, match="--slices") as fault:
        read_choice(text)
    assert "\n" not in str(fault.value)

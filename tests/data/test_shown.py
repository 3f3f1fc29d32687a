"""Which slices of a series its header is checked by."""

import pytest

from brainssl.data.shown import MOST, middle


@pytest.mark.parametrize("count", [1, 3, 12, 13, 20, 24, 100, 241])
def test_slices_are_distinct_and_of_the_middle(count: int) -> None:
    numbers = tuple(range(5, 5 + 2 * count, 2))
    found = middle(numbers)
    assert list(found) == sorted(set(found))
    assert len(found) == min(count, MOST)
    assert set(found) <= set(numbers)
    # As far from one end as from the other, and of many none beyond the middle half.
    left, right = numbers.index(found[0]), count - 1 - numbers.index(found[-1])
    assert abs(left - right) <= 1
    if count >= 2 * MOST:
        assert min(left, right) >= count // 4

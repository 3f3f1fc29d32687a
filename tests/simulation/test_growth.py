"""The table of lesions: complete, in range, and overlapping between families."""

from dataclasses import fields
from itertools import combinations

import pytest

from brainssl.simulation.growth import GROWTHS, TUMOUR_FAMILIES, Growth


def test_five_families_and_shares_that_sum_to_one() -> None:
    assert TUMOUR_FAMILIES == (
        "Glioma",
        "Meningioma",
        "Schwannoma",
        "Neurocytoma",
        "Other lesion",
    )
    for kinds in GROWTHS.values():
        assert sum(k.share for k in kinds) == pytest.approx(1)


@pytest.mark.parametrize("growth", [g for kinds in GROWTHS.values() for g in kinds])
def test_every_range_is_ordered(growth: Growth) -> None:
    for field in fields(growth):
        value = getattr(growth, field.name)
        if isinstance(value, tuple):
            assert 0 <= value[0] <= value[1], field.name


@pytest.mark.parametrize("quantity", ["radius", "uptake", "solid_t1", "solid_t2"])
def test_no_single_number_tells_two_families_apart(quantity: str) -> None:
    for one, two in combinations(GROWTHS.values(), 2):
        overlap = any(
            max(getattr(a, quantity)[0], getattr(b, quantity)[0])
            < min(getattr(a, quantity)[1], getattr(b, quantity)[1])
            for a in one
            for b in two
        )
        assert overlap

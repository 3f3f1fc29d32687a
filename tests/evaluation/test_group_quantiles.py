"""Quantiles by groups: those of split conformal for single images, and coverage by simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest

from brainssl.evaluation.group_quantiles import group_quantile, groups_needed


@pytest.mark.parametrize("n", [1, 4, 8, 9, 19, 30, 101])
@pytest.mark.parametrize("share", ["0.5", "0.7", "0.8", "0.9", "0.95"])
def test_of_single_images_it_is_the_rank_of_split_conformal(n: int, share: str) -> None:
    scores = np.random.default_rng(n).permutation(n).astype(np.float64)
    rank = math.ceil((n + 1) * Fraction(share))
    found = group_quantile(scores, np.arange(n), float(share))
    assert found == (None if rank > n else rank - 1)
    assert (n >= groups_needed(float(share))) == (found is not None)


def test_each_group_weighs_the_same() -> None:
    """Four groups of 1, 1, 1 and 100 images: five shares, of which the last lies at infinity."""
    scores = np.concatenate([[10.0, 20.0, 30.0], np.arange(100) / 100])
    groups = np.concatenate([[0, 1, 2], np.full(100, 3)])
    assert group_quantile(scores, groups, 0.1) == 0.49  # half of the large group's fifth
    assert group_quantile(scores, groups, 0.4) == 10
    assert group_quantile(scores, groups, 0.8) == 30
    assert group_quantile(scores, groups, 0.81) is None


@pytest.mark.parametrize("share", [0.8, 0.9])
def test_a_new_group_is_covered_where_counting_images_is_not_enough(share: float) -> None:
    """Large groups are the easy ones: an image of a new group, drawn as groups are."""
    generator = np.random.default_rng(0)
    held, plain = [], []
    for _ in range(1500):
        hard = generator.random(31) < 0.3
        sizes = np.where(hard, 1, 12)
        means = generator.normal(0, 1, 31) + 3 * hard
        groups = np.repeat(np.arange(30), sizes[:30])
        scores = means[groups] + generator.normal(0, 0.3, len(groups))
        new = means[30] + generator.normal(0, 0.3)
        found = group_quantile(scores, groups, share)
        assert found is not None
        held.append(new <= found)
        plain.append(new <= np.quantile(scores, share))
    error = math.sqrt(share * (1 - share) / len(held))
    assert np.mean(held) >= share - 3 * error
    assert np.mean(held) <= share + 1 / 31 + 3 * error
    assert np.mean(plain) < share - 3 * error

"""What is unfamiliar: false alarms on new groups, and what must be found."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from brainssl.evaluation.familiarity import (
    Apart,
    Familiarity,
    beyond,
    frame_of,
    nearest,
    similarities,
    standardised,
)


def groups_of(generator: np.random.Generator, count: int, dim: int) -> tuple[np.ndarray, ...]:
    """Features of so many patients, of 1 to 8 slices each."""
    groups = np.repeat(np.arange(count), generator.integers(1, 9, count))
    own = generator.normal(0, 1, (count, dim))
    return own[groups] + generator.normal(0, 0.4, (len(groups), dim)), groups


@pytest.mark.parametrize(("count", "rate"), [(40, 0.05), (9, 0.1)])
def test_new_patients_are_called_unfamiliar_as_seldom_as_is_said(count: int, rate: float) -> None:
    generator = np.random.default_rng(0)
    alarms, found = [], []
    for _ in range(300):
        train, _ = groups_of(generator, 60, 6)
        frame = frame_of(train)
        known = standardised(train, frame).astype(np.float16)

        def apart(features: np.ndarray, frame=frame, known=known) -> Apart:
            own = standardised(features, frame)
            return Apart(nearest(own, known), np.linalg.norm(own[:, :2], axis=1))

        val, groups = groups_of(generator, count, 6)
        limit = Familiarity.fit(apart(val), groups)
        assert limit is not None
        assert limit.false_alarms == pytest.approx(rate)
        new, of = groups_of(generator, 30, 6)
        _, first = np.unique(of, return_index=True)
        alarms.append(float((limit.score(apart(new[first])) > limit.threshold).mean()))
        odd = generator.normal(0, 1, (20, 6)) * 6
        found.append(float((limit.score(apart(odd)) > limit.threshold).mean()))
    error = np.std(alarms) / np.sqrt(len(alarms))
    assert np.mean(alarms) <= rate + 0.005 + 3 * error  # units come from the same validation set
    assert np.mean(alarms) >= rate / 4
    assert np.mean(found) > 0.9


def test_three_groups_tell_nothing() -> None:
    values = np.array([1.0, 2.0, 3.0])
    assert Familiarity.fit(Apart(values, values), np.arange(3)) is None


def test_distances_and_similarities_are_scipys() -> None:
    generator = np.random.default_rng(1)
    own, known = generator.normal(0, 1, (300, 5)), generator.normal(0, 1, (40, 5))
    expected = cdist(own, known).min(axis=1) / np.sqrt(5)
    np.testing.assert_allclose(nearest(own, known), expected, atol=1e-9)
    np.testing.assert_allclose(similarities(own, known), 1 - cdist(own, known, "cosine"), atol=1e-9)
    assert nearest(known[:3], known) == pytest.approx([0, 0, 0], abs=1e-6)


def test_shares_of_validation_images_count_groups_alike() -> None:
    """A group of 90 near images and nine single ones farther out: a tenth each."""
    values = np.concatenate([np.linspace(0, 1, 90), np.arange(2, 11)])
    groups = np.concatenate([np.zeros(90, np.int64), np.arange(1, 10)])
    limit = Familiarity.fit(Apart(values, values), groups)
    assert limit is not None
    assert [beyond(limit.features, d) for d in (-1.0, 1.5, 5.5, 11.0)] == [0, 10, 50, 100]
    assert Familiarity.read(limit.facts()) == limit

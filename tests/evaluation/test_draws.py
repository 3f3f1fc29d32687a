"""Draws of groups: their strata by properties, their scatter against the formula of surveys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainssl.evaluation.draws import drawn_means, group_weights, strata_of

CLASSES_OF_GROUPS = st.lists(st.sets(st.integers(0, 5), min_size=1), min_size=1, max_size=25)


def images(classes_of_groups):
    """One image for each class that a group holds."""
    pairs = [(c, g) for g, classes in enumerate(classes_of_groups) for c in sorted(classes)]
    return tuple(np.array(pairs).T)


def of_pure(sizes):
    """The class of each group is its number in `sizes`."""
    return images([{c} for c, size in enumerate(sizes) for _ in range(size)])


@given(CLASSES_OF_GROUPS)
def test_no_group_is_drawn_alone(classes_of_groups):
    strata = strata_of(*images(classes_of_groups))
    assert len(strata) == len(classes_of_groups)
    assert len(strata) == 1 or np.bincount(strata).min() >= 2


@given(CLASSES_OF_GROUPS, st.randoms())
def test_neither_the_order_of_images_nor_that_of_groups_matters(classes_of_groups, random):
    labels, group_of = images(classes_of_groups)
    strata = strata_of(labels, group_of)
    order = random.sample(range(len(labels)), len(labels))
    np.testing.assert_array_equal(strata_of(labels[order], group_of[order]), strata)
    # Where classes are the strata, other names of the groups rename nothing else.
    renamed = np.array(random.sample(range(len(strata)), len(strata)))
    together = strata[:, None] == strata
    moved = strata_of(labels, renamed[group_of])[renamed]
    np.testing.assert_array_equal(moved[:, None] == moved, together)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([3, 2, 4], [[0], [1], [2]]),
        ([3, 1, 4, 1], [[0], [1, 3], [2]]),  # two alone: with each other
        ([3, 1, 4], [[0, 1], [2]]),  # one alone: with the smallest
        ([1, 1, 1], [[0, 1, 2]]),
    ],
)
def test_classes_of_one_group_are_drawn_together(sizes, expected):
    strata = strata_of(*of_pure(sizes))
    class_of = np.repeat(np.arange(len(sizes)), sizes)
    found = {tuple(np.unique(class_of[strata == s])) for s in np.unique(strata)}
    assert found == {tuple(classes) for classes in expected}


def test_a_mixed_group_is_drawn_with_the_class_that_fewest_groups_hold():
    """Class 1 has no group of its own; by their most frequent class its groups would be class 0."""
    labels, group_of = images([{0}, {0}, {0}, {0, 1}, {0, 1}])
    labels = np.concatenate([labels, np.zeros(50, int)])
    group_of = np.concatenate([group_of, np.repeat([3, 4], 25)])
    np.testing.assert_array_equal(strata_of(labels, group_of), [0, 0, 0, 1, 1])


@given(CLASSES_OF_GROUPS.filter(lambda groups: len(groups) > 1), st.integers(0, 99))
def test_strata_weigh_what_they_have_and_whole_classes_are_held(classes_of_groups, seed):
    labels, group_of = images(classes_of_groups)
    strata = strata_of(labels, group_of)
    ((start, weights),) = group_weights(strata, 50, seed, 50)
    assert start == 0
    assert (weights >= 0).all()
    sizes = np.bincount(strata)
    for s, size in enumerate(sizes):
        # Up to their rounding, by which their sums are exact.
        weighs = size if len(sizes) > 1 else size - 1
        assert weights[:, strata == s].sum(1) == pytest.approx(np.full(50, weighs), rel=1e-9)
    for c in np.unique(labels):
        own = np.unique(group_of[labels == c])
        if any((strata[own] == s).sum() == size for s, size in enumerate(sizes)):
            assert (weights[:, own].sum(1) > 0).all()


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 50))
def test_draws_do_not_depend_on_how_many_come_at_a_time(draws, rows):
    strata = np.array([0, 1, 0, 2, 2, 1, 0])
    ((_, whole),) = group_weights(strata, draws, 2, draws)
    parts = list(group_weights(strata, draws, 2, rows))
    np.testing.assert_array_equal(np.concatenate([weights for _, weights in parts]), whole)
    assert [start for start, _ in parts] == list(range(0, draws, rows))


def test_draws_of_many_groups_are_not_kept_and_yet_the_same(monkeypatch):
    strata = np.arange(30) % 4
    ((_, kept),) = group_weights(strata, 40, 7, 40)
    monkeypatch.setattr("brainssl.evaluation.draws._KEPT", 0)
    anew = np.concatenate([weights for _, weights in group_weights(strata, 40, 7, 9)])
    np.testing.assert_array_equal(anew, kept)


@pytest.mark.parametrize("sizes", [[2, 2, 3], [10], [4, 30, 2]])
def test_means_scatter_as_in_a_stratified_sample(sizes):
    """Variance of a mean over strata: Σ (nₕ / N)² sₕ² / nₕ, with sₕ² over nₕ − 1."""
    labels, group_of = of_pure(sizes)
    values = np.random.default_rng(0).normal(size=len(labels)) + 5 * labels
    expected = sum(
        (size / sum(sizes)) ** 2 * values[labels == c].var(ddof=1) / size
        for c, size in enumerate(sizes)
    )
    drawn = drawn_means(values[:, None], group_of, 20_000, 1, labels)
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.02)
    assert drawn.var() == pytest.approx(expected, rel=0.05)


def test_without_labels_any_group_takes_the_place_of_any_other():
    labels, group_of = of_pure([5, 5])
    drawn = drawn_means(np.eye(2)[labels], 3 * group_of, 500, 0)
    assert drawn.std(axis=0).min() > 0.1
    np.testing.assert_allclose(
        drawn_means(np.eye(2)[labels], 3 * group_of, 500, 0, labels), 0.5, atol=1e-9
    )


def test_one_group_has_no_draws_to_speak_of():
    assert np.isnan(drawn_means(np.ones((3, 1)), np.array([4, 4, 4]), 10, 0)).all()


def scores(counts):
    """Accuracy and macro F1 of confusion matrices."""
    hits, support, said = np.einsum("dcc->dc", counts), counts.sum(2), counts.sum(1)
    return np.stack([hits.sum(1) / support.sum(1), (2 * hits / (support + said)).mean(1)], axis=1)


def test_coverage_on_clustered_data():
    """Of 95 % intervals about 95 % hold the truth, of one model and of a difference.

    By image far fewer do. 200 test sets scatter by 1.6 points; `benchmarks/coverage.py` has more.
    """
    rng = np.random.default_rng(0)
    sets, groups, each, skills = 200, np.array([48, 36, 24, 12]), 5, np.array([0.75, 0.65])
    class_of = np.repeat(np.arange(4), groups)
    of = np.repeat(np.arange(120), each)
    labels = class_of[of]
    # What a model answers wrongly is of the next class, so that expected counts are known.
    share = groups / groups.sum()
    expected = [
        np.diag(p * share) + np.diag((1 - p) * share) @ np.eye(4)[[1, 2, 3, 0]] for p in skills
    ]
    truth = scores(np.array(expected))
    covered = {"group": np.zeros((2, 2)), "image": np.zeros((2, 2))}
    for seed in range(sets):
        # Beta of an intra-class correlation of 0.4: easy patients and hard ones.
        ease = rng.beta(1.5 * skills[:, None], 1.5 * (1 - skills[:, None]), size=(2, 120))
        said = np.where(rng.random((2, 600)) < ease[:, of], labels, (labels + 1) % 4)
        for unit, unit_of in (("group", of), ("image", np.arange(600))):
            weights = next(group_weights(strata_of(labels, unit_of), 400, seed, 400))[1]
            by_unit = np.zeros((2, unit_of.max() + 1, 4, 4))
            for model in range(2):
                np.add.at(by_unit[model], (unit_of, labels, said[model]), 1)
            first, second = (
                scores((weights @ table.reshape(-1, 16)).reshape(-1, 4, 4)) for table in by_unit
            )
            low, high = np.quantile([first, first - second], (0.025, 0.975), axis=1)
            aim = np.array([truth[0], truth[0] - truth[1]])
            covered[unit] += (low <= aim) & (aim <= high)
    assert (covered["group"] / sets >= 0.92).all(), covered
    assert (covered["group"] / sets <= 0.98).all(), covered
    assert (covered["image"] / sets < 0.85).all(), covered

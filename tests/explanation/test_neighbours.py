"""The nearest cases are the nearest, of other patients, one each."""

import numpy as np
from scipy.spatial.distance import cdist

from brainssl.explanation.neighbours import nearest

RNG = np.random.default_rng(0)
QUERIES = RNG.normal(size=(7, 5)).astype(np.float32)
KNOWN = RNG.normal(size=(40, 5)).astype(np.float32)
OTHERS = np.arange(100, 107)


def test_they_are_the_nearest_by_cosine() -> None:
    found = nearest(QUERIES, KNOWN, query_groups=OTHERS, known_groups=np.arange(40), k=4)
    distances = cdist(QUERIES, KNOWN, "cosine")
    np.testing.assert_array_equal(found.places, distances.argsort(axis=1)[:, :4])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :4], atol=1e-6)


def test_length_of_features_does_not_matter() -> None:
    groups = np.arange(40)
    one = nearest(QUERIES, KNOWN, query_groups=OTHERS, known_groups=groups)
    other = nearest(5 * QUERIES, KNOWN * 2, query_groups=OTHERS, known_groups=groups)
    np.testing.assert_array_equal(one.places, other.places)


def test_copies_and_slices_of_the_same_patient_are_left_out() -> None:
    known = np.concatenate([QUERIES, KNOWN])
    groups = np.concatenate([OTHERS, np.arange(40)])
    found = nearest(QUERIES, known, query_groups=OTHERS, known_groups=groups)
    assert (found.places != np.arange(7)[:, None]).all()
    assert (found.distances > 1e-3).all()


def test_a_patient_stands_once_with_the_nearest_slice() -> None:
    groups = np.arange(40) // 4
    found = nearest(QUERIES, KNOWN, query_groups=OTHERS, known_groups=groups, k=10)
    distances = cdist(QUERIES, KNOWN, "cosine").reshape(7, 10, 4).min(axis=2)
    np.testing.assert_array_equal(groups[found.places], distances.argsort(axis=1))


def test_where_there_are_too_few_the_rest_is_empty() -> None:
    groups = np.array([1, 1, 2])
    found = nearest(QUERIES[:1], KNOWN[:3], query_groups=np.array([2]), known_groups=groups, k=3)
    assert found.places[0, 0] in (0, 1)
    assert found.places[0, 1:].tolist() == [-1, -1]
    assert np.isnan(found.distances[0, 1:]).all()

"""Hand-made features: known values on small pictures, and scikit-image's own on others."""

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from skimage.feature import graycomatrix, graycoprops, hog, local_binary_pattern

from brainssl.data.store import ImageStore
from brainssl.training.classical.features import (
    DISTANCES,
    LEVELS,
    PROPERTIES,
    SETS,
    TEXTURES,
    HandMade,
    cooccurrence,
    describe,
    gradients,
    patterns,
    shrunk,
)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (48, 48), dtype=np.uint8)


def by_name(image: np.ndarray) -> dict[str, np.ndarray]:
    values = cooccurrence(image).reshape(len(PROPERTIES), len(DISTANCES))
    return dict(zip(PROPERTIES, values, strict=True))


def test_a_chessboard_has_the_cooccurrence_that_one_counts_by_hand() -> None:
    """At distance 1 neighbours differ straight and are equal askew; at 2 and 4 all are equal."""
    board = (np.indices((32, 32)).sum(axis=0) % 2 * 255).astype(np.uint8)
    found = by_name(board)
    step = LEVELS - 1
    assert_allclose(found["contrast"], [step**2 / 2, 0, 0])
    assert_allclose(found["dissimilarity"], [step / 2, 0, 0])
    assert_allclose(found["homogeneity"], [(1 + 1 / (1 + step**2)) / 2, 1, 1])
    assert_allclose(found["correlation"], [0, 1, 1], atol=2e-3)


def test_an_even_picture_has_no_texture() -> None:
    even = np.full((32, 32), 90, np.uint8)
    found = by_name(even)
    assert_allclose(found["contrast"], 0)
    assert_allclose(found["energy"], 1)
    assert not gradients(even).any()
    # Every neighbour is as bright as its pixel, all eight bits, but beyond the edge it is black.
    assert patterns(even, 1)[8] == (30 / 32) ** 2
    assert np.isfinite(describe(even)).all()


def test_cooccurrence_is_a_matrix_of_pairs_counted_by_hand(noise: np.ndarray) -> None:
    """Contrast at distance 1: the mean squared difference of neighbours, in four directions."""
    coarse = noise.astype(int) // (256 // LEVELS)
    pairs = [
        (coarse[:, :-1], coarse[:, 1:]),
        (coarse[1:, :-1], coarse[:-1, 1:]),
        (coarse[:-1], coarse[1:]),
        (coarse[:-1, :-1], coarse[1:, 1:]),
    ]
    squared = [((a - b) ** 2).mean() for a, b in pairs]
    assert by_name(noise)["contrast"][0] == pytest.approx(np.mean(squared))


def test_the_features_are_those_of_the_library_side_by_side(noise: np.ndarray) -> None:
    angles = [0, math.pi / 4, math.pi / 2, 3 * math.pi / 4]
    matrix = graycomatrix(noise // 8, [1, 2, 4], angles, levels=32, symmetric=True, normed=True)
    expected = [graycoprops(matrix, name).mean(axis=1) for name in PROPERTIES]
    for radius in (1, 2):
        codes = local_binary_pattern(noise, 8, radius, "uniform")
        expected.append(np.array([(codes == code).mean() for code in range(10)]))
    expected.append(hog(noise, 9, (8, 8), (1, 1)))
    assert_allclose(describe(noise), np.concatenate(expected), rtol=1e-6)
    assert len(describe(noise)) == TEXTURES + 6 * 6 * 9


def test_texture_does_not_know_which_way_is_up(noise: np.ndarray) -> None:
    """Direction means and rotation-invariant patterns: a quarter turn changes nothing."""
    turned = np.rot90(noise).copy()
    texture = SETS["texture"]
    assert_allclose(describe(turned)[texture], describe(noise)[texture], rtol=1e-6)
    assert not np.allclose(describe(turned)[SETS["HOG"]], describe(noise)[SETS["HOG"]])


def test_large_images_are_shrunk_by_whole_factors() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (260, 260), dtype=np.uint8)
    small = shrunk(picture)
    assert small.shape == (86, 86)
    assert small[0, 0] == round(picture[:3, :3].mean())
    assert small[85, 85] == round(picture[255:258, 255:258].mean())
    assert np.array_equal(shrunk(picture[:128, :128]), picture[:128, :128])
    assert describe(picture).dtype == np.float32


@pytest.mark.parametrize("size", [16, 20, 33, 64])
def test_any_size_has_features(size: int) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (size, size), dtype=np.uint8)
    assert np.isfinite(describe(picture)).all()


def test_a_store_is_described_row_by_row(shared_store: ImageStore) -> None:
    told: list[tuple[int, int]] = []
    found = HandMade(shared_store, lambda done, of: told.append((done, of))).vectors
    labelled = shared_store.labels >= 0
    assert np.isnan(found[~labelled]).all()
    assert (~labelled).any()
    for row in (1, 7, 59):
        assert np.array_equal(found[row], describe(shared_store.images[row]))
    assert told[-1] == (labelled.sum(), labelled.sum())
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert np.array_equal(HandMade(shared_store).vectors, found, equal_nan=True)
    finally:
        torch.set_num_threads(threads)

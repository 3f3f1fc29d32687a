"""Localisation: cases by hand, thresholds by brute force, and what must not matter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brainssl.explanation.localisation import (
    centred_blob,
    energy_inside,
    iou_at,
    iou_best,
    localise,
    pointing,
    random_maps,
)
from brainssl.explanation.scorecard import LOCALISATION


def one(*rows: list[float]) -> np.ndarray:
    return np.array([rows], np.float32)


def scenes(seed: int, levels: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Twelve maps with up to so many different values, and masks that are not empty."""
    generator = np.random.default_rng(seed)
    maps = (generator.integers(0, levels, (12, 7, 9)) / levels).astype(np.float32)
    masks = generator.random((12, 7, 9)) < generator.random((12, 1, 1))
    masks[:, 3, 4] = True
    return maps, masks


MASK = one([1, 1], [0, 0]).astype(bool)

# By hand


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (one([3, 1], [2, 0]), {"pointing": 1, "energy_inside": 4 / 6, "iou_best": 2 / 3}),
        (one([1, 0], [4, 0]), {"pointing": 0, "energy_inside": 1 / 5, "iou_best": 1 / 3}),
        (one([4, 0], [4, 2]), {"pointing": 1 / 2, "energy_inside": 4 / 10, "iou_best": 1 / 3}),
        (one([4, 4], [4, 4]), {"pointing": 1 / 2, "energy_inside": 1 / 2, "iou_best": 1 / 2}),
        (one([1, 1], [0, 0]), {"pointing": 1, "energy_inside": 1, "iou_best": 1}),
        (one([0, 0], [1, 1]), {"pointing": 0, "energy_inside": 0, "iou_best": 0}),
        (one([0, 0], [0, 0]), {"pointing": 0, "energy_inside": 0, "iou_best": 0}),
    ],
)
def test_measures_are_what_they_are_by_hand(values: np.ndarray, expected: dict) -> None:
    found = localise(values, MASK)
    assert {name: found[name].tolist() for name in expected} == {
        name: pytest.approx([value]) for name, value in expected.items()
    }


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(0.0, 2 / 3), (0.25, 2 / 3), (0.5, 1 / 3), (0.51, 1 / 2), (1, 1 / 2)],
)
def test_a_threshold_is_a_share_of_the_peak_and_pixels_of_zero_are_never_high(
    threshold: float, expected: float
) -> None:
    maps = one([4, 1], [2, 0])
    assert iou_at(maps, MASK, threshold=threshold) == pytest.approx(expected)


def test_the_half_is_named_in_the_results() -> None:
    maps, masks = scenes(0)
    assert (localise(maps, masks)["iou_half"] == iou_at(maps, masks, threshold=0.5)).all()
    assert (iou_at(maps, masks) == iou_at(maps, masks, threshold=0.5)).all()


def test_the_scorecard_knows_the_names() -> None:
    assert tuple(localise(*scenes(0))) == LOCALISATION


# Against another way


@given(st.integers(0, 2**31), st.integers(2, 40))
@settings(max_examples=30, deadline=None)
def test_the_best_iou_is_the_best_of_all_thresholds(seed: int, levels: int) -> None:
    maps, masks = scenes(seed, levels)
    found = iou_best(maps, masks)
    for values, mask, value in zip(maps, masks, found, strict=True):
        cuts = [values >= cut for cut in np.unique(values[values > 0])]
        every = [(high & mask).sum() / (high | mask).sum() for high in cuts]
        assert value == pytest.approx(max(every, default=0), rel=1e-12)


def test_a_flat_map_has_the_energy_of_the_area() -> None:
    _, masks = scenes(1)
    flat = np.full(masks.shape, 0.3, np.float32)
    area = [mask.sum() / mask.size for mask in masks]
    assert energy_inside(flat, masks) == pytest.approx(area)
    assert pointing(flat, masks) == pytest.approx(area)


# What must not matter, and what has no value


def test_a_batch_is_what_its_images_are_one_by_one() -> None:
    maps, masks = scenes(2)
    masks[4] = False
    maps[5] = 0
    whole = localise(maps, masks)
    for name, values in whole.items():
        assert values.dtype == np.float64
        alone = [localise(maps[[i]], masks[[i]])[name][0] for i in range(len(maps))]
        np.testing.assert_array_equal(values, alone)


@pytest.mark.parametrize("factor", [3, 1e-3, 1e6])
def test_the_scale_of_a_map_does_not_count(factor: float) -> None:
    maps, masks = scenes(3)
    scaled = localise(maps * np.float32(factor), masks)
    for name, values in localise(maps, masks).items():
        assert scaled[name] == pytest.approx(values, rel=1e-6)


def test_an_image_without_lesion_has_no_value_even_under_an_empty_map() -> None:
    maps, masks = scenes(4)
    masks[[0, 1]] = False
    maps[1] = 0
    for values in localise(maps, masks).values():
        assert np.isnan(values[:2]).all()
        assert np.isfinite(values[2:]).all()


def test_no_images_have_no_values() -> None:
    maps, masks = (values[:0] for values in scenes(5))
    assert all(values.shape == (0,) for values in localise(maps, masks).values())


def test_nothing_is_written_into_maps_and_masks() -> None:
    maps, masks = scenes(6)
    maps.flags.writeable = masks.flags.writeable = False
    localise(maps, masks)


# Maps that know nothing


def test_random_maps_are_those_of_their_own_seeds() -> None:
    maps = random_maps(5, 16, seed=7)
    assert maps.dtype == np.float32
    assert maps.shape == (5, 16, 16)
    for number in range(5):
        assert (maps[number] == random_maps(1, 16, seed=7 + number)[0]).all()
    assert (maps[0] != maps[1]).any()


def test_random_maps_are_smooth_over_the_edges_too_and_fill_their_range() -> None:
    maps = random_maps(8, 48, seed=0)
    assert (maps.min((1, 2)) == 0).all()
    assert (maps.max((1, 2)) == 1).all()
    # White noise from 0 to 1 has steps of a third on average.
    assert abs(np.diff(maps, axis=1)).mean() < 0.05
    assert abs(maps[:, 0] - maps[:, -1]).mean() < 0.05


def test_random_maps_prefer_no_place() -> None:
    """On average a mask gets the energy of its area, at the edge as in the middle."""
    maps = random_maps(600, 16, seed=0)
    for place in (slice(0, 4), slice(6, 10), slice(12, 16)):
        masks = np.zeros(maps.shape, bool)
        masks[:, place, place] = True
        inside = energy_inside(maps, masks)
        error = inside.std() / np.sqrt(len(maps))
        assert abs(inside.mean() - 1 / 16) < 4 * error


@pytest.mark.parametrize("size", [15, 16])
def test_the_blob_is_a_gaussian_in_the_middle(size: int) -> None:
    blobs = centred_blob(3, size)
    assert blobs.dtype == np.float32
    assert blobs.shape == (3, size, size)
    assert (blobs == blobs[0]).all()
    assert blobs.max() == 1
    for turned in (blobs[0].T, blobs[0][::-1], blobs[0][:, ::-1]):
        np.testing.assert_allclose(blobs[0], turned, rtol=1e-6)
    # In any direction, log values fall as a parabola of curvature 1 / sd².
    curvature = -np.diff(np.log(blobs[0].astype(np.float64)), 2, axis=1)
    np.testing.assert_allclose(curvature, 1 / (size / 4) ** 2, rtol=1e-3)

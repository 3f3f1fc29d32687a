"""The shortcuts of fingerprints, against what they stand for."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from brainssl.data import fingerprint as module
from brainssl.data.fingerprint import fingerprint


def image(height: int, width: int, levels: int, channels: int, seed: int) -> np.ndarray:
    """8-bit levels of one or three channels as the reader gives them."""
    shape = (height, width, channels)
    grey = np.random.default_rng(seed).integers(0, levels, shape).astype(np.float32).sum(axis=2)
    return (grey / np.float32(channels) / np.float32(255)).astype(np.float32)


PERCENTS = (0, 5, 20, 99.5, 100)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 256), st.integers(0, 99))
def test_percentiles_of_a_histogram_are_those_of_the_pixels(height, width, levels, seed):
    pixels = image(height, width, levels, 1, seed)
    got = module._percentiles(pixels, PERCENTS)
    np.testing.assert_array_equal(got, np.percentile(pixels, PERCENTS, method="inverted_cdf"))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_percentiles_of_deep_pixels_are_right_within_a_level(height, width, seed):
    pixels = np.random.default_rng(seed).random((height, width), dtype=np.float32)
    got = module._percentiles(pixels, PERCENTS)
    exact = np.percentile(pixels, PERCENTS, method="inverted_cdf")
    assert np.abs(got - exact).max() <= 1 / 255
    assert np.isin(got, pixels).all()


def test_frames_are_blurred_as_each_alone_by_a_gaussian():
    frames = np.random.default_rng(0).random((2, 32, 32), dtype=np.float32)
    expected = [gaussian_filter(frame, 4.0, mode="nearest") for frame in frames]
    np.testing.assert_allclose(module._blurred(frames), expected, rtol=1e-6)


def test_a_blank_slice_has_no_contrast():
    assert not fingerprint(np.full((20, 30), 0.4, np.float32)).any()


def test_what_shows_hardly_anything_has_no_contrast_and_a_small_head_has():
    y, x = np.mgrid[:100, :100]
    noise = np.random.default_rng(0).integers(0, 9, (100, 100)).astype(np.float32)
    folds = 128 + 100 * gaussian_filter(np.random.default_rng(1).standard_normal((100, 100)), 1)
    for side, shown in ((14, False), (15, True)):  # 1.96 and 2.25 pixels in 100
        inside = (y < side) & (x < side)
        for background in (0, noise):
            levels = np.where(inside, folds, background)
            pixels = (np.rint(levels) / np.float32(255)).astype(np.float32)
            assert fingerprint(pixels).any() == shown
            assert fingerprint(1 - pixels).any() == shown, "nor do white ones show anything"

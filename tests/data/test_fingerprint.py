"""The shortcuts of fingerprints, against what they stand for."""

import numpy as np
import pytest
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


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 256),
    st.sampled_from([1, 3]),
    st.integers(0, 99),
)
def test_percentiles_of_a_histogram_are_those_of_the_pixels(height, width, levels, channels, seed):
    pixels = image(height, width, levels, channels, seed)
    thirds = module._thirds(pixels)
    assert thirds is not None
    for percents in ((20, 99.5), (0, 100)):
        got = module._percentiles(pixels, thirds, percents, np.float64)
        np.testing.assert_allclose(got, np.percentile(pixels, percents), rtol=1e-12)
    got = module._percentiles(pixels, thirds, (5,), np.float32)
    np.testing.assert_allclose(got, np.percentile(pixels, 5), rtol=1e-6)


def test_pixels_that_are_no_levels_have_no_histogram_and_the_same_percentiles():
    pixels = np.random.default_rng(0).random((30, 20), dtype=np.float32)
    assert module._thirds(pixels) is None
    assert module._percentiles(pixels, None, (5,), np.float32)[0] == np.percentile(pixels, 5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_fingerprint_does_not_depend_on_the_shortcut(channels, monkeypatch):
    pixels = image(50, 40, 256, channels, 1)
    pixels[:12], pixels[:, -9:] = 0, 0
    quick = fingerprint(pixels)
    monkeypatch.setattr(module, "_thirds", lambda _: None)
    np.testing.assert_array_equal(quick, fingerprint(pixels))


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

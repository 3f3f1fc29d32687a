"""Normalisation: one slice comes out alike however it was saved."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.ndimage import gaussian_filter

from brainssl.data.read import Slice, read_bytes

LEVEL = 1 / 255


def saved(samples: np.ndarray, kind: str = "PNG", reader: int = 2) -> Slice:
    stream = io.BytesIO()
    Image.fromarray(samples).save(stream, kind)
    return read_bytes(stream.getvalue(), "a", reader=reader)


def head(seed: int, noise: float, side: int = 96) -> np.ndarray:
    """A smooth ellipse of several tissues in air with Rician noise, in [0, 1]."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    inside = (x / generator.uniform(0.5, 0.9)) ** 2 + (y / generator.uniform(0.5, 0.9)) ** 2 < 1
    tissue = gaussian_filter(generator.random((side, side)), 4)
    tissue = 0.15 + 0.85 * (tissue - tissue.min()) / np.ptp(tissue)
    smooth = gaussian_filter(inside * tissue, 1)
    first, second = generator.normal(0, noise, (2, side, side))
    magnitude = np.hypot(smooth + first, second)
    return magnitude / magnitude.max()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.004, 0.02, 0.06]))
def test_a_slice_comes_out_alike_at_every_depth(seed: int, noise: float) -> None:
    truth = head(seed, noise)
    shallow = np.rint(truth * 255).astype(np.uint8)
    floating = saved((truth * 731.5).astype(np.float32), "TIFF").pixels
    for kind, samples, tolerance in (
        ("PNG", np.rint(truth * 65535).astype(np.uint16), 1),
        ("TIFF", np.rint(truth * 4095).astype(np.uint16), 1),
        ("PNG", shallow, 5),
        ("BMP", np.stack([shallow] * 3, 2), 5),
    ):
        apart = np.abs(saved(samples, kind).pixels - floating)
        # The farthest are where few pixels are as bright as the percentile: half of all slices
        # have none that is a level apart.
        assert apart.max() <= tolerance * LEVEL
        assert apart.mean() <= 0.3 * tolerance * LEVEL


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1, 16, 257]), st.integers(0, 1000))
def test_a_lossless_change_of_depth_changes_no_bit(seed: int, gain: int, offset: int) -> None:
    shallow = np.rint(head(seed, 0.02) * 255).astype(np.uint8)
    expected = saved(shallow).pixels
    np.testing.assert_array_equal(saved(np.stack([shallow] * 3, 2)).pixels, expected)
    deep = shallow.astype(np.int32) * gain
    np.testing.assert_array_equal(saved(deep.astype(np.uint16)).pixels, expected)
    np.testing.assert_array_equal(saved(deep + offset, "TIFF").pixels, expected)
    np.testing.assert_array_equal(saved((deep / 8).astype(np.float32), "TIFF").pixels, expected)


def test_percentiles_are_those_of_the_definition() -> None:
    samples = np.rint(head(3, 0.03) * 3000).astype(np.uint16)
    low, top = np.percentile(samples, (0.5, 99.5), method="inverted_cdf")
    foreground = samples[samples > low + 0.05 * (top - low)]
    high = np.percentile(foreground, 99.5, method="inverted_cdf")
    expected = np.clip((samples - float(low)) / (float(high) - float(low)), 0, 1)
    read = saved(samples)
    np.testing.assert_allclose(read.pixels, expected, atol=1e-6)
    assert f"percentiles 0.5 and 99.5 ({low:g}, {high:g}) to 0 and 1" in read.provenance


@pytest.mark.parametrize("seed", range(5))
def test_a_slice_that_was_windowed_stays_as_it_is(seed: int) -> None:
    """Saturated at the top, black at the bottom: what most exported pictures are."""
    levels = np.rint(np.clip(head(seed, 0.0) * 330, 0, 255)).astype(np.uint8)
    assert (levels == 255).mean() > 0.01
    np.testing.assert_array_equal(saved(levels).pixels, levels / np.float32(255))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.02, 0.06]))
def test_to_save_what_was_read_and_read_it_again_changes_nothing(seed: int, noise: float) -> None:
    once = saved(np.rint(head(seed, noise) * 4095).astype(np.uint16)).pixels
    again = saved(np.rint(once * 255).astype(np.uint8)).pixels
    assert np.abs(again - once).max() <= 1.6 * LEVEL


@pytest.mark.parametrize("pair", [(0, 1), (0, 255), (3, 9), (200, 201)])
@pytest.mark.parametrize("bright", [1, 200, 4095])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_of_two_levels_one_is_black_and_one_white(
    pair: tuple[int, int], bright: int, dtype: type
) -> None:
    samples = np.full((64, 64), pair[0], dtype)
    samples.ravel()[:bright] = pair[1]
    pixels = saved(samples, "TIFF").pixels
    np.testing.assert_array_equal(pixels, samples == pair[1])


@pytest.mark.parametrize("level", [0, 7, 255])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_constant_image_is_black_and_blank(level: int, dtype: type) -> None:
    read = saved(np.full((5, 4), level, dtype), "TIFF")
    assert (read.pixels == 0).all()
    assert "blank" in read.flags


def test_a_small_bright_spot_does_not_take_the_picture_with_it() -> None:
    samples = np.rint(head(0, 0.02) * 1000).astype(np.uint16)
    marked = samples.copy()
    marked[:2, :6] = 65535
    inside = samples > 300
    np.testing.assert_allclose(
        saved(marked).pixels[inside], saved(samples).pixels[inside], atol=0.1
    )


def test_padding_far_below_the_picture_is_black_and_moves_nothing() -> None:
    samples = np.rint(head(0, 0.02) * 2000).astype(np.int32)
    padded = samples - 1000
    padded[:20] = -32768
    pixels = saved(padded, "TIFF").pixels
    assert (pixels[:20] == 0).all()
    np.testing.assert_allclose(pixels[20:], saved(samples, "TIFF").pixels[20:], atol=0.05)


def test_version_1_is_what_it_was() -> None:
    generator = np.random.default_rng(0)
    levels = generator.integers(40, 120, (30, 30), dtype=np.uint8)
    read = saved(levels, reader=1)
    np.testing.assert_array_equal(read.pixels, levels.astype(np.float32) / np.float32(255))
    deep = generator.integers(100, 4000, (30, 30)).astype(np.uint16)
    ordered = np.sort(deep[deep > deep.min()].astype(np.float64))
    at = np.array([0.005, 0.995]) * (len(ordered) - 1)
    low, high = np.interp(at, np.arange(len(ordered)), ordered)
    expected = np.clip((deep - low) / (high - low), 0, 1)
    np.testing.assert_allclose(saved(deep, reader=1).pixels, expected, atol=1e-6)

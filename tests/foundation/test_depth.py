"""Depth: 8 or 16 bits of the same brightness, and the same floats to whoever reads them."""

import numpy as np
import pytest
import torch

from brainssl.foundation.depth import brightness, depth_of, kind_of, rounded, shallow
from brainssl.views.recipes import UNCHANGED, as_tensor, augment_table2, to_unit

EVERY = {bits: np.arange(2**bits, dtype=kind_of(bits)).reshape(1, 16, -1) for bits in (8, 16)}


@pytest.mark.parametrize("bits", [8, 16])
def test_every_level_comes_back_and_is_the_same_float_everywhere(bits: int) -> None:
    levels = EVERY[bits]
    exact = (levels.astype(np.float64) / (2**bits - 1)).astype(np.float32)
    np.testing.assert_array_equal(brightness(levels), exact, strict=True)
    held = as_tensor(levels)
    np.testing.assert_array_equal(to_unit(held)[:, 0].numpy(), exact, strict=True)
    np.testing.assert_array_equal(to_unit(held[torch.tensor([0, 0])])[1, 0].numpy(), exact[0])
    np.testing.assert_array_equal(rounded(exact, bits), levels, strict=True)
    assert depth_of(levels) == bits


def test_what_leaves_0_to_1_is_clipped() -> None:
    beyond = np.array([-1, 2], np.float32)
    assert rounded(beyond).tolist() == [0, 255]
    assert rounded(beyond, 16).tolist() == [0, 65535]


def test_a_screen_shows_what_8_bits_would_have_held() -> None:
    pixels = np.random.default_rng(0).random((4, 32, 32), np.float32)
    apart = shallow(rounded(pixels, 16)).astype(int) - rounded(pixels)
    assert np.abs(apart).max() <= 1, "rounded twice"
    assert (apart == 0).mean() > 0.99
    assert shallow(rounded(pixels)).dtype == np.uint8


def test_views_and_augmented_copies_keep_the_depth() -> None:
    pixels = np.random.default_rng(0).random((3, 16, 16), np.float32)
    deep = rounded(pixels, 16)
    seen = UNCHANGED.draw(as_tensor(deep), 16, torch.Generator().manual_seed(0))
    assert float((seen[:, 0] - torch.from_numpy(pixels)).abs().max()) <= 0.5 / 65535 * 1.01
    copies = [augment_table2(one, np.random.default_rng(1)) for one in (deep, rounded(pixels))]
    assert copies[0].dtype == np.uint16
    assert np.abs(copies[0] / 257.0 - copies[1]).max() <= 2

"""An overlay shows the map and leaves the anatomy alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.explanation.overlay import (
    OPACITY,
    OUTLINE,
    enlarged,
    overlay,
    scale_bar,
    scale_text,
)


def slice_of(seed: int = 0, side: int = 32) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8)


@given(st.integers(0, 1000))
def test_where_the_map_is_empty_every_grey_value_stays(seed: int) -> None:
    image = slice_of(seed)
    saliency = np.random.default_rng(seed).uniform(0, 1, image.shape)
    saliency[saliency < 0.5] = 0
    drawn = overlay(image, saliency)
    untouched = saliency == 0
    np.testing.assert_array_equal(drawn[untouched], np.stack([image] * 3, -1)[untouched])


def test_brighter_anatomy_stays_brighter_under_the_same_map() -> None:
    """The colour is mixed in, so that what lies below can still be seen."""
    image = np.arange(256, dtype=np.uint8)[None]
    for level in (0.25, 0.5, 1.0):
        drawn = overlay(image, np.full(image.shape, level)).astype(int)
        assert (np.diff(drawn.sum(axis=-1)[0]) >= 0).all()
        span = drawn[0, -1] - drawn[0, 0]
        np.testing.assert_allclose(span, 255 * (1 - OPACITY * level), atol=1.5)


def test_the_mixture_is_its_formula() -> None:
    from matplotlib import colormaps

    image, saliency = slice_of(), np.random.default_rng(1).integers(0, 256, (32, 32)) / 255
    colour = 255 * colormaps["viridis"](saliency)[..., :3]
    share = OPACITY * saliency[..., None]
    expected = (1 - share) * image[..., None] + share * colour
    assert np.abs(overlay(image, saliency) - expected).max() <= 1


def test_lightness_of_the_scale_grows_evenly() -> None:
    bar = scale_bar(64, 4).astype(float)
    assert bar.shape == (4, 64, 3)
    luminance = bar[0] @ [0.2126, 0.7152, 0.0722]
    assert luminance[-1] - luminance.min() > 60


def test_the_lesion_is_outlined_within_itself() -> None:
    image, lesion = slice_of(), np.zeros((32, 32), bool)
    lesion[8:20, 10:24] = True
    drawn = overlay(image, np.zeros(image.shape), lesion)
    changed = (drawn != np.stack([image] * 3, -1)).any(axis=-1)
    assert not changed[~lesion].any()
    assert (drawn[8, 10:24] == OUTLINE).all()
    assert (drawn[8:20, 23] == OUTLINE).all()
    np.testing.assert_array_equal(drawn[9:19, 11:23, 0], image[9:19, 11:23])


def test_a_map_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="0 to 1"):
        overlay(slice_of(), np.full((32, 32), 1.5))


def test_an_empty_map_is_said_to_be_empty() -> None:
    assert scale_text(0.0) == "no positive evidence"
    assert scale_text(0.0314) == "peak 0.031"


def test_a_small_picture_is_enlarged_in_blocks() -> None:
    image = slice_of(side=4)
    np.testing.assert_array_equal(enlarged(image, 12), image.repeat(3, 0).repeat(3, 1))
    assert enlarged(np.stack([slice_of()] * 3, -1), 8).shape == (8, 8, 3)

"""Fields of view: a formula of their own, black beyond the slice, and back over the same places."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainssl.data.field_of_view import Field, HeadBox, field_about
from brainssl.data.letterbox import letterbox, letterbox_mask, out_of_letterbox, place_in_square

SIZES = st.integers(8, 40)
PLACES = st.floats(-30, 30)
LENGTHS = st.floats(4, 90)


def weights(count: int, begin: float, length: float, size: int) -> np.ndarray:
    """Of each pixel: a triangle as wide as a pixel of the coarser of both grids, black beyond."""
    step = length / size
    middles = begin + (np.arange(size) + 0.5) * step
    pixels = np.arange(math.floor(begin - 9), math.ceil(begin + length + 9))
    triangle = np.clip(1 - np.abs(pixels + 0.5 - middles[:, None]) / max(step, 1), 0, None)
    triangle /= triangle.sum(1, keepdims=True)
    found = np.zeros((size, count))
    inside = (pixels >= 0) & (pixels < count)
    found[:, pixels[inside]] = triangle[:, inside]
    return found


@given(SIZES, SIZES, PLACES, PLACES, LENGTHS, LENGTHS, SIZES, st.integers(0, 99))
def test_a_crop_is_that_of_the_formula(
    rows: int, columns: int, top: float, left: float, tall: float, wide: float, size: int, seed: int
) -> None:
    """Separable triangle, see the scaling of a picture by Pillow; to four levels of 16 bits."""
    pixels = np.random.default_rng(seed).random((rows, columns)).astype(np.float32)
    found = letterbox(pixels, size, 16, Field(top, left, tall, wide))
    down, across = weights(rows, top, tall, size), weights(columns, left, wide, size)
    expected = down @ pixels.astype(np.float64) @ across.T
    assert np.abs(found - 65535 * expected).max() < 4


@given(SIZES, SIZES)
def test_a_field_that_is_the_slice_changes_nothing_but_its_border(side: int, size: int) -> None:
    pixels = np.random.default_rng(side).random((side, side)).astype(np.float32)
    same = letterbox(pixels, size, 16, Field(0, 0, side, side)).astype(int)
    edge = 1 + size // side
    inner = (slice(edge, -edge),) * 2
    assert np.abs(same - letterbox(pixels, size, 16))[inner].max(initial=0) <= 2


@given(SIZES, PLACES, LENGTHS, SIZES)
def test_a_field_that_is_moved_by_nothing_shows_the_same(
    side: int, begin: float, length: float, size: int
) -> None:
    """Where its border lies on that of a pixel, too: what is beside it counts on both sides."""
    pixels = np.random.default_rng(side).random((side, side)).astype(np.float32)
    found = [
        letterbox(pixels, size, 16, Field(place, place, length, length)).astype(int)
        for place in (round(begin) - 1e-9, round(begin) + 1e-9)
    ]
    assert np.abs(found[0] - found[1]).max() <= 4


@given(SIZES, SIZES, PLACES, PLACES, LENGTHS, SIZES)
def test_beyond_the_slice_it_is_black(
    rows: int, columns: int, top: float, left: float, side: float, size: int
) -> None:
    field = Field(top, left, side, side)
    found = letterbox(np.ones((rows, columns), np.float32), size, 8, field)
    place = place_in_square(rows, columns, size, field)
    middles = np.arange(size) + 0.5
    apart = 1 + size / side  # so far a triangle of either grid reaches
    for axis, begin, length in ((0, place.top, place.height), (1, place.left, place.width)):
        beyond = (middles < begin - apart) | (middles > begin + length + apart)
        within = (middles > begin + apart) & (middles < begin + length - apart)
        assert not found.compress(beyond, axis).any()
        other = (place.left, place.width) if axis == 0 else (place.top, place.height)
        across = (middles > other[0] + apart) & (middles < other[0] + other[1] - apart)
        assert (found.compress(within, axis).compress(across, 1 - axis) == 255).all()


@pytest.mark.parametrize(
    "field", [Field(7.3, -4.6, 41, 41), Field(-20, -15.5, 93, 90), Field(0.25, 11, 30.5, 33)]
)
def test_what_lies_in_the_field_comes_back_over_the_same_places(field: Field) -> None:
    """Of ramps, whose values tell where a pixel is; what is not in the field is 0."""
    height, width, size = 60, 47, 96
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    place = place_in_square(height, width, size, field)
    y, x = rows + 0.5 - field.top, columns + 0.5 - field.left
    seen = (y >= 0) & (y <= field.height) & (x >= 0) & (x <= field.width)
    inner = seen & (np.minimum(y, field.height - y) > 3) & (np.minimum(x, field.width - x) > 3)
    inner[:3] = inner[-3:] = False
    inner[:, :3] = inner[:, -3:] = False
    assert inner.sum() > 300
    for ramp in ((rows + 0.5) / height, (columns + 0.5) / width):
        square = letterbox(ramp, size, 8, field).astype(np.float32) / 255
        back = out_of_letterbox(square, height, width, place)
        np.testing.assert_allclose(back[inner], ramp[inner], atol=1.5 / 255)
        assert not back[~seen].any()
    ones = out_of_letterbox(np.ones((size, size), np.float32), height, width, place)
    assert (ones == seen).all()


@given(st.integers(1, 4), st.integers(-9, 9), st.integers(-9, 9), st.integers(0, 99))
def test_a_mask_is_cropped_as_its_slice_is(factor: int, top: int, left: int, seed: int) -> None:
    """Of whole pixels: at least half of a block, or the block that a small lesion fills most."""
    size, shape = 12, (37, 41)
    drawn = np.zeros(shape, bool)
    row, column, tall, wide = np.random.default_rng(seed).integers((0, 0, 1, 1), (30, 34, 9, 9))
    drawn[row : row + tall, column : column + wide] = True
    side = factor * size
    found = letterbox_mask(drawn, size, Field(top, left, side, side))
    whole = np.pad(drawn, 60)[60 + top :][:side, 60 + left :][:, :side]
    shares = whole.reshape(size, factor, size, factor).mean((1, 3))
    if shares.max() >= 0.5 or not whole.any():
        assert (found == (shares >= 0.5)).all()
    else:
        assert found.sum() == 1
        assert shares[found] == shares.max()


@given(PLACES, PLACES, LENGTHS, LENGTHS, st.floats(0.3, 2), st.floats(0.3, 2), st.floats(20, 300))
def test_a_field_has_its_millimetres_and_its_middle_in_the_heads(
    top: float, left: float, tall: float, wide: float, row: float, column: float, mm: float
) -> None:
    head = HeadBox(top, left, top + tall, left + wide)
    field = field_about(head, (row, column), mm)
    assert (field.height * row, field.width * column) == pytest.approx((mm, mm))
    middle = field.top + field.height / 2, field.left + field.width / 2
    assert middle == pytest.approx((top + tall / 2, left + wide / 2))
    assert head.is_cut(field) == (tall * row > mm or wide * column > mm)
    hanging = field_about(head, (row, column), mm, from_top=True)
    assert hanging.left == field.left
    assert hanging.top == (field.top if tall * row <= mm else top)

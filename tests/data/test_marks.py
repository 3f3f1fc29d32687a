"""Marks: a picture is known again, another is not."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.fft import dct
from scipy.ndimage import gaussian_filter

from brainssl.data import marks as module
from brainssl.data.fingerprint import local_contrast
from brainssl.data.marks import DIFFERING, joined, known, marks
from brainssl.data.read import read_bytes
from brainssl.data.store import letterbox


def pictures(number: int, side: int = 96, seed: int = 0) -> np.ndarray:
    """Smooth random pictures with noise, uint8."""
    generator = np.random.default_rng(seed)
    coarse = gaussian_filter(generator.random((number, side, side)), (0, 5, 5))
    coarse = (coarse - coarse.min()) / np.ptp(coarse)
    return np.rint(230 * coarse + generator.integers(0, 20, coarse.shape)).astype(np.uint8)


def saved_anew(image: np.ndarray, side: int, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    resized = Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)
    resized.save(stream, "JPEG", quality=quality)
    return letterbox(read_bytes(stream.getvalue(), "a").pixels, image.shape[0])


@pytest.mark.parametrize(("side", "quality"), [(96, 75), (80, 60), (150, 90)])
def test_a_picture_that_was_saved_anew_is_known(side: int, quality: int) -> None:
    images = pictures(12)
    again = np.stack([saved_anew(image, side, quality) for image in images])
    assert known(marks(again), marks(images)).all()
    brighter = (images // 2 + 40).astype(np.uint8)
    assert known(marks(brighter), marks(images)).all()


def test_other_and_mirrored_pictures_are_not_known() -> None:
    images = pictures(60)
    ours = marks(images)
    assert not known(marks(pictures(60, seed=1)), ours).any()
    assert not known(marks(images[:, :, ::-1]), ours).any()
    assert known(ours, ours[::-1]).all()


def test_blank_images_are_known_by_nobody() -> None:
    blank = marks(np.stack([np.zeros((40, 40), np.uint8), np.full((40, 40), 9, np.uint8)]))
    assert not blank.any()
    assert not known(blank, blank).any()
    assert not known(blank, blank[:0]).any()


def test_bits_are_the_signs_of_the_lowest_cosines() -> None:
    [image] = pictures(1, side=32)
    contrast = local_contrast(image[None].astype(np.float32) / 255)[0].astype(np.float64)
    waves = dct(dct(contrast, axis=0), axis=1)
    bits = np.unpackbits(marks(image[None])[0])
    order = sorted(
        ((u, v) for u in range(32) for v in range(32)), key=lambda at: at[0] ** 2 + at[1] ** 2
    )
    assert [waves[at] > 0 for at in order[1:257]] == bits.tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(16, 100), st.integers(0, 99))
def test_parts_of_a_line_have_its_mean(size: int, seed: int) -> None:
    line = np.random.default_rng(seed).random(size)
    parts = np.repeat(line, 32).reshape(32, size).mean(axis=1)  # the line, 32 times as fine
    np.testing.assert_allclose(module._means(size) @ line, parts, rtol=1e-5)


@given(st.integers(0, 60), st.integers(0, 2**32 - 1))
def test_so_many_bits_may_differ(flipped: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    theirs = generator.integers(1, 256, (5, 32), dtype=np.uint8)
    bits = np.unpackbits(theirs[3])
    bits[generator.permutation(256)[:flipped]] ^= 1
    assert known(np.packbits(bits)[None], theirs)[0] == (flipped <= DIFFERING)


def test_marks_of_several_sets_stand_once() -> None:
    one, other = np.arange(64, dtype=np.uint8).reshape(2, 32), np.zeros((1, 32), np.uint8)
    both = joined(one, None, np.concatenate([other, one]))
    assert {bytes(mark) for mark in both} == {bytes(mark) for mark in [*one, *other]}
    assert len(both) == 3
    assert joined(None) is None

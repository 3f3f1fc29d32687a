"""Features of a slice: where a head lies and how large it is does not matter, its greys do."""

import numpy as np
import pytest

from brainssl.data.appearance.features import GREYS, SIDE, WIDTH, describe

THUMBNAIL = slice(WIDTH - 9 - SIDE * SIDE * 3 // 2, WIDTH - 9 - SIDE * SIDE // 2)


def head(size: int = 64, top: int = 10, left: int = 14, side: int = 36) -> np.ndarray:
    """A square of greys that are brighter to the right, in black."""
    image = np.zeros((size, size), np.uint8)
    image[top : top + side, left : left + side] = np.linspace(80, 240, side).astype(np.uint8)
    return image


def test_a_head_that_lies_elsewhere_has_the_same_features() -> None:
    np.testing.assert_allclose(describe(head()), describe(head(top=20, left=3)), atol=1e-6)
    np.testing.assert_allclose(describe(head()), describe(head(size=100)), atol=1e-6)


def test_the_thumbnail_is_the_mean_grey_of_twelve_by_twelve_cells() -> None:
    image = head()
    cells = image[10:46, 14:50].reshape(SIDE, 3, SIDE, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(
        describe(image)[THUMBNAIL], (cells / cells.mean()).ravel(), atol=1e-3
    )


def test_a_mirrored_head_has_the_same_greys_and_asymmetry() -> None:
    one, other = describe(head()), describe(np.ascontiguousarray(head()[:, ::-1]))
    np.testing.assert_allclose(one[GREYS.start : 24], other[GREYS.start : 24], atol=0.06)
    np.testing.assert_allclose(one[THUMBNAIL.stop : -9], other[THUMBNAIL.stop : -9], atol=1e-5)
    assert one[THUMBNAIL.stop : -9].max() > 0.5
    even = head()
    even[even > 0] = 100
    assert describe(even)[THUMBNAIL.stop : -9].max() == pytest.approx(0)


@pytest.mark.parametrize("value", [0, 255])
def test_a_blank_slice_has_finite_features(value: int) -> None:
    found = describe(np.full((64, 64), value, np.uint8))
    assert found.shape == (WIDTH,)
    assert np.isfinite(found).all()

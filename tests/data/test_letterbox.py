"""Back from the square of the network to the image, where every pixel lies."""

import numpy as np
import pytest

from brainssl.data.letterbox import letterbox, out_of_letterbox


@pytest.mark.parametrize(("height", "width", "size"), [(60, 41, 96), (33, 80, 32), (17, 17, 17)])
def test_what_lies_in_the_square_comes_back_over_the_same_places(
    height: int, width: int, size: int
) -> None:
    """Of ramps along both axes, whose values tell where a pixel is, to 1/255 and the border."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    for ramp in ((rows + 0.5) / height, (columns + 0.5) / width):
        square = letterbox(ramp, size).astype(np.float32) / 255
        back = out_of_letterbox(square, height, width)
        assert back.shape == (height, width)
        inner = (slice(4, -4), slice(4, -4))
        np.testing.assert_allclose(back[inner], ramp[inner], atol=1 / 255)


def test_the_padding_is_left_out() -> None:
    square = np.zeros((40, 40), np.float32)
    square[:10] = square[30:] = 1  # where an image of 20 × 40 is not
    assert not out_of_letterbox(square, 20, 40)[1:-1].any()

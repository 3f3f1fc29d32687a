"""Pictures of views: the slice itself first, then what the recipe draws."""

import base64
import io

import numpy as np
from PIL import Image

from brainssl.reporting.figures.view_strips import draw_views, recipe_strips
from brainssl.views.geometry import Geometry
from brainssl.views.recipes import TABLE2, UNCHANGED, ViewRecipe


def slices(n: int = 2, size: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, size, size), dtype=np.uint8)


def test_an_unchanged_view_is_the_slice() -> None:
    images = slices()
    drawn = draw_views(images, UNCHANGED, views=3)
    assert drawn.shape == (2, 3, 40, 40)
    for view in range(3):
        np.testing.assert_array_equal(drawn[:, view], images)


def test_views_differ_from_each_other_and_repeat_by_seed() -> None:
    drawn = draw_views(slices(), TABLE2, views=3)
    assert not np.array_equal(drawn[:, 0], drawn[:, 1])
    np.testing.assert_array_equal(drawn, draw_views(slices(), TABLE2, views=3))


def test_a_strip_begins_with_the_slice() -> None:
    flip = ViewRecipe(geometry=Geometry(flip=1.0))
    image = np.zeros((1, 40, 40), np.uint8)
    image[:, :, :20] = 200
    strip = recipe_strips(image, ["Glioma T1"], flip, views=2, side=40)[0]
    assert strip.caption == "Glioma T1"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(strip.data.split(",")[1]))))
    starts = [0, 42, 84]
    bright_left = [pixels[:, s : s + 18].mean() > 150 for s in starts]
    assert bright_left == [True, False, False]

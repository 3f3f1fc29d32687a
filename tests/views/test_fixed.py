"""Fixed views: always the same, and those that the page names."""

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from brainssl.settings.sections import MOST_TEST_VIEWS
from brainssl.views.fixed import MOST, fixed_view


def images(side: int = 24) -> torch.Tensor:
    return torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0))


def test_the_first_two_are_the_image_and_its_mirror_image_bit_for_bit() -> None:
    given = images()
    assert torch.equal(fixed_view(given, 0), given)
    assert np.array_equal(fixed_view(given, 1).numpy(), given.numpy()[..., ::-1])


@pytest.mark.parametrize(
    ("number", "scale", "right", "down"),
    [(2, 1.05, 0, 0), (4, 0.95, 0, 0), (6, 1, 0.04, 0.04), (8, 1, -0.04, -0.04)],
)
def test_the_others_are_enlarged_reduced_and_moved(
    number: int, scale: float, right: float, down: float
) -> None:
    """By SciPy's bilinear resampling about the middle of the image, edges repeated."""
    given, side = images().double().numpy(), 24
    middle = (side - 1) / 2
    places = np.arange(side, dtype=float)
    rows = (places - middle - down * side) / scale + middle
    columns = (places - middle - right * side) / scale + middle
    grid = np.meshgrid(rows, columns, indexing="ij")
    expected = [map_coordinates(one[0], grid, order=1, mode="nearest") for one in given]
    found = fixed_view(images(), number)
    np.testing.assert_allclose(found[:, 0].numpy(), expected, atol=1e-5)
    assert torch.equal(fixed_view(images(), number + 1), found.flip(-1))


def test_every_view_is_another_and_no_setting_asks_for_more() -> None:
    views = [fixed_view(images(), number).numpy().tobytes() for number in range(MOST)]
    assert len(set(views)) == MOST == MOST_TEST_VIEWS
    with pytest.raises(ValueError, match="none of number 10"):
        fixed_view(images(), MOST)


def test_a_batch_is_the_same_images_one_by_one() -> None:
    for number in range(MOST):
        alone = [fixed_view(image[None], number) for image in images()]
        torch.testing.assert_close(fixed_view(images(), number), torch.cat(alone))

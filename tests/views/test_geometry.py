"""Warps against products of 3 x 3 matrices, SciPy's resampling and torchvision's crop."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.affine import compose, resample
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as tv

from brainssl.views.geometry import Geometry, draw_warps, warp

EVERYTHING = Geometry(
    crop_area=(0.2, 0.9), crop_ratio=(0.5, 2.0), zoom=0.3, shift=0.2, rotation=60.0, flip=0.5
)


def draw(geometry: Geometry, count: int = 4000, seed: int = 0) -> np.ndarray:
    warps = draw_warps(geometry, count, torch.Generator().manual_seed(seed))
    assert warps.shape == (count, 2, 3)
    assert warps.dtype == torch.float32
    return warps.double().numpy()


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


def warped(images: torch.Tensor, matrix: np.ndarray, size: int, fill: str = "zeros") -> np.ndarray:
    warps = torch.tensor(np.broadcast_to(matrix[:2], (len(images), 2, 3)), dtype=images.dtype)
    return warp(images, warps, size, fill)[:, 0].numpy()


# What is drawn


def test_the_default_is_the_identity():
    assert (draw(Geometry(), 5) == np.eye(3)[:2]).all()


def test_a_crop_keeps_its_share_and_ratio_within_the_image():
    geometry = Geometry(crop_area=(0.3, 1.0), crop_ratio=(0.75, 1.333))
    warps = draw(geometry)
    width, height = warps[:, 0, 0], warps[:, 1, 1]
    area, ratio = width * height, width / height
    assert area.min() >= 0.3 - 1e-6
    assert area.max() <= 1 + 1e-6
    assert ratio.min() >= 0.75 - 1e-6
    assert ratio.max() <= 1.333 + 1e-6
    assert np.histogram(area, 7, (0.3, 1))[0].min() > 4000 / 7 * 0.8  # uniform
    small = np.log(ratio[area < 0.5])
    assert abs(small.mean()) < 0.03  # log-uniform: as often wide as high
    assert abs(np.histogram(small, 4, np.log([0.75, 1.333]))[0] / len(small) - 0.25).max() < 0.06
    for centre, side in ((warps[:, 0, 2], width), (warps[:, 1, 2], height)):
        assert (abs(centre) + side).max() <= 1 + 1e-6  # inside
        free = side < 0.95
        place = centre[free] / (1 - side[free])
        assert place.min() < -0.95
        assert place.max() > 0.95
        assert abs(place.mean()) < 0.05
    assert (warps[:, 0, 1] == 0).all()
    assert (warps[:, 1, 0] == 0).all()


@pytest.mark.parametrize("area", [(0.9, 0.9), (1.0, 1.0), (0.5, 0.5)])
def test_a_large_crop_of_odd_shape_is_not_cut_below_its_area(area):
    warps = draw(Geometry(crop_area=area, crop_ratio=(0.5, 2.0)))
    assert warps[:, 0, 0] * warps[:, 1, 1] == pytest.approx(area[0], abs=1e-6)


def decompose(warps: np.ndarray) -> dict[str, np.ndarray]:
    """Angle, zoom, flip and translation of warps without crop."""
    linear = warps[:, :, :2]
    determinant = np.linalg.det(linear)
    return {
        "flip": determinant < 0,
        "zoom": 1 / np.sqrt(abs(determinant)),
        "rotation": np.arctan2(-linear[:, 0, 1], linear[:, 1, 1]),
        "shift": warps[:, :, 2],
    }


def test_rotation_zoom_shift_and_flip_stay_in_range_and_fill_it():
    geometry = Geometry(zoom=0.1, shift=0.1, rotation=20.0, flip=0.3)
    found = decompose(draw(geometry))
    for values, low, high in (
        (np.rad2deg(found["rotation"]), -20, 20),
        (found["zoom"], 0.9, 1.1),
        (found["shift"][:, 0], -0.2, 0.2),  # the whole side is 2
        (found["shift"][:, 1], -0.2, 0.2),
    ):
        slack = (high - low) * 1e-5
        assert values.min() >= low - slack
        assert values.max() <= high + slack
        assert np.histogram(values, 5, (low, high))[0].min() > 4000 / 5 * 0.8
    assert found["flip"].mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / 4000))


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_a_certain_flip_is_certain(flip):
    assert (decompose(draw(Geometry(flip=flip, rotation=30.0)))["flip"] == bool(flip)).all()


def test_warps_are_the_product_in_the_documented_order():
    warps = draw(Geometry(zoom=0.3, shift=0.2, rotation=60.0, flip=0.5), 300)
    found = decompose(warps)
    for number, matrix in enumerate(warps):
        oracle = compose(**{name: values[number] for name, values in found.items()})
        assert matrix == pytest.approx(oracle[:2], abs=1e-5)


def test_the_crop_comes_after_the_rotation_and_the_shift():
    """Crop outermost scales rows, and the shift with them; rotation outermost would mix them."""
    geometry = Geometry(crop_area=(0.2, 0.9), crop_ratio=(0.5, 2.0), shift=0.2, rotation=60.0)
    warps = draw(geometry)
    sides = np.linalg.norm(warps[:, :, :2], axis=2)
    assert sides.max() <= 1 + 1e-6
    rotations = warps[:, :, :2] / sides[:, :, None]
    products = rotations @ rotations.transpose(0, 2, 1)
    assert products == pytest.approx(np.broadcast_to(np.eye(2), products.shape), abs=1e-5)
    room = 1 - sides + 0.4 * sides
    assert (abs(warps[:, :, 2]) <= room + 1e-6).all()
    assert sides.prod(axis=1).min() < 0.3


def test_every_component_is_composed_into_one_map():
    """All at once: the scaled rows are those of the rotation, whose scale is the zoom."""
    for matrix in draw(EVERYTHING, 300):
        linear = matrix[:, :2]
        width, height = np.linalg.norm(linear, axis=1)  # side x 1 / zoom
        flip = np.linalg.det(linear) < 0
        angle = np.arctan2(-linear[0, 1] / width, linear[1, 1] / height)
        oracle = compose(crop=(width, height, *matrix[:, 2]), rotation=angle, flip=flip)
        assert matrix == pytest.approx(oracle[:2], abs=1e-5)


def test_up_stays_up():
    """No vertical flip, ever: with rotations below a right angle the image's top stays above."""
    geometry = Geometry(crop_area=(0.2, 1.0), zoom=0.2, shift=0.2, rotation=80.0, flip=0.5)
    assert (draw(geometry, 20_000)[:, 1, 1] > 0).all()


def test_the_same_generator_state_draws_the_same_warps():
    assert (draw(EVERYTHING, 9, seed=5) == draw(EVERYTHING, 9, seed=5)).all()
    assert (draw(EVERYTHING, 9, seed=5) != draw(EVERYTHING, 9, seed=6)).any()
    generator = torch.Generator().manual_seed(5)
    state = torch.random.get_rng_state()
    first = draw_warps(EVERYTHING, 9, generator)
    assert not torch.equal(first, draw_warps(EVERYTHING, 9, generator))
    assert torch.equal(state, torch.random.get_rng_state())  # the global one is left alone


# What a warp does


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(["border", "zeros"]), st.integers(5, 24))
def test_a_warp_is_one_bilinear_resampling(seed, fill, size):
    images = noise(3, 1, 17, 14)
    warps = draw_warps(EVERYTHING, 3, torch.Generator().manual_seed(seed))
    found = warp(images, warps, size, fill)[:, 0].numpy()
    for image, matrix, view in zip(
        images[:, 0].numpy(), warps.double().numpy(), found, strict=True
    ):
        assert view == pytest.approx(resample(image, matrix, size, fill), abs=1e-4)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("size", [16, 25])
def test_a_shift_by_whole_pixels_is_exact(size):
    images = noise(2, 1, size, size)
    found = warped(images, compose(shift=(2 * 3 / size, -2 * 2 / size)), size)
    expected = np.zeros((2, size, size))
    expected[:, 2:, : size - 3] = images[:, 0, : size - 2, 3:]
    assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_a_shift_with_fill_border_repeats_the_edge():
    images = noise(1, 1, 8, 8)
    found = warped(images, compose(shift=(2 * 3 / 8, 0)), 8, "border")
    assert found[0, :, 5:] == pytest.approx(np.repeat(images[0, 0, :, -1:], 3, axis=1), abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_rotation_by_right_angles_is_exact(turns):
    images = noise(2, 1, 15, 15)
    found = warped(images, compose(rotation=turns * np.pi / 2), 15, "border")
    assert found == pytest.approx(torch.rot90(images[:, 0], turns, (1, 2)).numpy(), abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_a_flip_is_left_to_right_and_exact():
    images = noise(2, 1, 15, 15)
    found = warped(images, compose(flip=True), 15)
    assert found == pytest.approx(images[:, 0].flip(2).numpy(), abs=1e-10)


def test_zoom_above_one_enlarges():
    images = torch.zeros(1, 1, 40, 40)
    images[:, :, 15:25, 15:25] = 1
    assert warped(images, compose(zoom=1.5), 40).sum() == pytest.approx(100 * 1.5**2, rel=0.05)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("box", [(4, 6, 16, 12), (0, 0, 32, 32), (11, 3, 9, 21)])
def test_a_crop_is_torchvisions_resized_crop(box):
    top, left, height, width = box
    side, size = 32, 24
    images = noise(2, 1, side, side)
    centre = ((2 * left + width) / side - 1, (2 * top + height) / side - 1)
    matrix = compose(crop=(width / side, height / side, *centre))
    found = warped(images, matrix, size, "border")
    reference = tv.resized_crop(
        images, top, left, height, width, [size, size], InterpolationMode.BILINEAR, antialias=False
    )
    # Torchvision repeats the edge of the crop, a warp sees the pixels beyond it.
    rim = [int(np.ceil(0.5 * size / extent)) for extent in (height, width)]
    inner = np.s_[:, rim[0] : size - rim[0], rim[1] : size - rim[1]]
    assert found[inner] == pytest.approx(reference[:, 0].numpy()[inner], abs=1e-10)


@pytest.mark.parametrize("fill", ["border", "zeros"])
def test_a_batch_is_its_images_one_by_one(fill):
    images = noise(5, 1, 20, 20)
    warps = draw_warps(EVERYTHING, 5, torch.Generator().manual_seed(0))
    batch = warp(images, warps, 12, fill)
    for row in range(5):
        single = warp(images[row : row + 1], warps[row : row + 1], 12, fill)
        assert torch.equal(single[0], batch[row])


@pytest.mark.usefixtures("float64")
def test_a_fill_of_border_keeps_a_constant_image_and_zeros_are_black():
    images = torch.full((50, 1, 16, 16), 0.7)
    warps = draw_warps(Geometry(shift=0.5, rotation=45.0), 50, torch.Generator().manual_seed(0))
    assert warp(images, warps, 16, "border").numpy() == pytest.approx(0.7, abs=1e-10)
    black = warp(images, warps, 16, "zeros")
    assert (black == 0).any()
    assert black.max() <= 0.7 + 1e-6

"""Changes of grey values by hand, and the blur against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from brainssl.views.intensity import Intensity, change_intensity, gaussian_blur


def noise(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 0.6 + 0.2


def change(images: torch.Tensor, seed: int = 0, **values) -> torch.Tensor:
    return change_intensity(images, Intensity(**values), torch.Generator().manual_seed(seed))


def fixed(**values: float) -> dict[str, tuple[float, float]]:
    return {name: (value, value) for name, value in values.items()}


FIXED = fixed(gamma=0.7, contrast=1.3, brightness=0.9, blur_sigma=4.0) | {"blur": 1.0}


def test_the_default_changes_no_bit():
    images = noise(4, 1, 12, 12)
    assert torch.equal(change(images), images)


@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.7])
def test_gamma_is_a_power(gamma):
    images = noise(3, 1, 9, 9)
    expected = np.power(images.double().numpy(), gamma)
    assert change(images, **fixed(gamma=gamma)).numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("contrast", [0.5, 1.4])
def test_contrast_scales_the_distance_to_each_images_own_mean(contrast):
    images = noise(3, 1, 9, 9) * torch.tensor([0.3, 0.6, 1.0]).view(3, 1, 1, 1)
    pixels = images.double().numpy()
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    expected = np.clip((pixels - mean) * contrast + mean, 0, 1)
    assert change(images, **fixed(contrast=contrast)).numpy() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("brightness", [0.0, 0.8, 1.9])
def test_brightness_is_a_factor(brightness):
    images = noise(3, 1, 9, 9)
    expected = np.clip(images.double().numpy() * brightness, 0, 1)
    found = change(images, **fixed(brightness=brightness)).numpy()
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_order_is_blur_gamma_contrast_brightness():
    images = noise(2, 1, 56, 56)
    found = change(images, **FIXED).numpy()
    for image, view in zip(images[:, 0].double().numpy(), found[:, 0], strict=True):
        pixels = gaussian_filter(image, 1.0, mode="nearest", radius=3) ** 0.7  # 4 px at 224 px
        expected = ((pixels - pixels.mean()) * 1.3 + pixels.mean()) * 0.9
        assert view == pytest.approx(np.clip(expected, 0, 1), abs=1e-5)


@pytest.mark.parametrize("radius", [1, 3, 6])
def test_the_blur_is_scipys_for_each_image_by_its_own_width(radius):
    images = noise(4, 1, 17, 13)
    sigma = torch.tensor([0.3, 0.8, 1.5, 2.5])
    found = gaussian_blur(images, sigma, radius)
    assert found.shape == images.shape
    for image, width, view in zip(images[:, 0], sigma.tolist(), found[:, 0], strict=True):
        expected = gaussian_filter(image.double().numpy(), width, mode="nearest", radius=radius)
        assert view.numpy() == pytest.approx(expected, abs=1e-6)


def test_a_blur_of_no_width_changes_nothing():
    images = noise(2, 1, 9, 9)
    assert gaussian_blur(images, torch.tensor([0.0, 1e-9]), 2).numpy() == pytest.approx(images)


@pytest.mark.parametrize("size", [56, 224, 448])
def test_the_blur_scales_with_the_view(size):
    images = noise(1, 1, size, size)
    found = change(images, blur=1.0, **fixed(blur_sigma=2.0))[0, 0].numpy()
    scaled = 2 * size / 224
    image = images[0, 0].double().numpy()
    expected = gaussian_filter(image, scaled, mode="nearest", radius=math.ceil(3 * scaled))
    assert found == pytest.approx(expected, abs=1e-5)


def test_a_batch_is_its_images_one_by_one():
    images = noise(5, 1, 28, 28)
    batch = change(images, **FIXED)
    for row in range(5):
        assert change(images[row : row + 1], **FIXED)[0].numpy() == pytest.approx(
            batch[row].numpy(), abs=1e-6
        )


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("blur", fixed(blur_sigma=40.0)),
        ("jitter", fixed(brightness=0.5)),
        ("jitter", fixed(contrast=0.5)),
        ("jitter", fixed(gamma=2.0)),
    ],
)
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_probabilities_are_kept(name, values, probability):
    images = noise(3000, 1, 4, 4)
    changed = change(images, **values, **{name: probability}).ne(images).any(dim=(1, 2, 3))
    spread = math.sqrt(probability * (1 - probability) / 3000)
    assert changed.double().mean().item() == pytest.approx(probability, abs=4 * spread)


def test_jitter_is_drawn_within_its_range_for_each_image():
    images = torch.full((3000, 1, 2, 2), 0.5)
    bright = change(images, brightness=(0.8, 1.2))[:, 0, 0, 0].double().numpy() / 0.5
    assert bright.min() >= 0.8 - 1e-6
    assert bright.max() <= 1.2 + 1e-6
    assert np.histogram(bright, 5, (0.8, 1.2))[0].min() > 600 * 0.8
    gamma = change(images, gamma=(0.5, 2.0))[:, 0, 0, 0].double().log().numpy() / math.log(0.5)
    octaves = np.log2(gamma)
    assert abs(octaves).max() <= 1 + 1e-5
    assert np.histogram(octaves, 5, (-1, 1))[0].min() > 600 * 0.8  # log-uniform
    pair = torch.tensor([0.4, 0.6]).expand(3000, 1, 1, 2)
    spread = change(pair, contrast=(0.7, 1.3))[:, 0, 0].diff(dim=1).double().numpy() / 0.2
    assert spread.min() >= 0.7 - 1e-5
    assert spread.max() <= 1.3 + 1e-5
    assert np.histogram(spread, 5, (0.7, 1.3))[0].min() > 600 * 0.8


def test_noise_has_a_deviation_between_zero_and_its_limit():
    images = torch.full((400, 1, 32, 32), 0.5)
    residue = (change(images, noise=0.05) - images).double()
    deviation = residue.std(dim=(1, 2, 3)).numpy()
    assert deviation.max() <= 0.05 * 1.1
    assert deviation.min() < 0.005
    assert deviation.mean() == pytest.approx(0.025, rel=0.1)
    assert abs(residue.mean().item()) < 1e-3
    pixels = residue.flatten(1)
    assert abs(torch.corrcoef(pixels[:2])[0, 1]) < 0.15  # images have noise of their own


def test_the_result_stays_in_range_and_float32():
    wild = {"brightness": (0.0, 3.0), "contrast": (0.0, 4.0), "gamma": (0.2, 5.0)}
    images = torch.rand(100, 1, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    views = change(images, **wild, noise=0.5, blur=0.5)
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1
    assert views.isfinite().all()


def test_the_same_generator_state_gives_the_same_changes():
    images = noise(6, 1, 16, 16)
    values = {"brightness": (0.5, 1.5), "blur": 0.5, "noise": 0.1, "jitter": 0.5}
    assert torch.equal(change(images, 3, **values), change(images, 3, **values))
    assert not torch.equal(change(images, 3, **values), change(images, 4, **values))


def test_the_input_is_left_as_it_was():
    images = noise(3, 1, 16, 16)
    before = images.clone()
    change(images, **FIXED, noise=0.1)
    assert torch.equal(images, before)

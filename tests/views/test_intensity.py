"""Changes of grey values by hand, and the blur against SciPy."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from brainssl.views.intensity import Intensity, bias_field, change_intensity, gaussian_blur


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


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("gamma", [0.5, 0.8, 1.7])
def test_gamma_is_a_power(gamma):
    images = noise(3, 1, 9, 9)
    expected = np.power(images.double().numpy(), gamma)
    assert change(images, **fixed(gamma=gamma)).numpy() == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("contrast", [0.5, 1.4])
def test_contrast_scales_the_distance_to_each_images_own_mean(contrast):
    images = noise(3, 1, 9, 9) * torch.tensor([0.3, 0.6, 1.0]).view(3, 1, 1, 1)
    pixels = images.double().numpy()
    mean = pixels.mean(axis=(1, 2, 3), keepdims=True)
    expected = np.clip((pixels - mean) * contrast + mean, 0, 1)
    assert change(images, **fixed(contrast=contrast)).numpy() == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("brightness", [0.0, 0.8, 1.9])
def test_brightness_is_a_factor(brightness):
    images = noise(3, 1, 9, 9)
    expected = np.clip(images.double().numpy() * brightness, 0, 1)
    found = change(images, **fixed(brightness=brightness)).numpy()
    assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_the_order_is_blur_gamma_contrast_brightness():
    images = noise(2, 1, 56, 56)
    found = change(images, **FIXED).numpy()
    for image, view in zip(images[:, 0].double().numpy(), found[:, 0], strict=True):
        pixels = gaussian_filter(image, 1.0, mode="nearest", radius=3) ** 0.7  # 4 px at 224 px
        expected = ((pixels - pixels.mean()) * 1.3 + pixels.mean()) * 0.9
        assert view == pytest.approx(np.clip(expected, 0, 1), abs=1e-10)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("radius", [1, 3, 6])
def test_the_blur_is_scipys_for_each_image_by_its_own_width(radius):
    images = noise(4, 1, 17, 13)
    sigma = torch.tensor([0.3, 0.8, 1.5, 2.5])
    found = gaussian_blur(images, sigma, radius)
    assert found.shape == images.shape
    for image, width, view in zip(images[:, 0], sigma.tolist(), found[:, 0], strict=True):
        expected = gaussian_filter(image.double().numpy(), width, mode="nearest", radius=radius)
        assert view.numpy() == pytest.approx(expected, abs=1e-10)


def test_a_blur_of_no_width_changes_nothing():
    images = noise(2, 1, 9, 9)
    assert gaussian_blur(images, torch.tensor([0.0, 1e-9]), 2).numpy() == pytest.approx(images)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("size", [56, 224, 448])
def test_the_blur_scales_with_the_view(size):
    images = noise(1, 1, size, size)
    found = change(images, blur=1.0, **fixed(blur_sigma=2.0))[0, 0].numpy()
    scaled = 2 * size / 224
    image = images[0, 0].double().numpy()
    expected = gaussian_filter(image, scaled, mode="nearest", radius=math.ceil(3 * scaled))
    assert found == pytest.approx(expected, abs=1e-10)


@pytest.mark.usefixtures("float64")
def test_a_batch_is_its_images_one_by_one():
    images = noise(5, 1, 28, 28)
    batch = change(images, **FIXED)
    for row in range(5):
        assert change(images[row : row + 1], **FIXED)[0].numpy() == pytest.approx(
            batch[row].numpy(), abs=1e-10
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


def log_fields(bias: float, count: int, height: int, width: int) -> np.ndarray:
    """What is laid over images, from how it changes grey ones; nothing is cut off at 0 or 1."""
    images = torch.full((count, 1, height, width), 0.01)
    return (change(images, bias=bias)[:, 0].double() / 0.01).log().numpy()


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("bias", [0.05, 0.2])
def test_the_log_of_a_bias_field_has_mean_0_and_the_deviation_that_is_asked_for(bias):
    fields = log_fields(bias, 2000, 20, 16)
    assert fields.mean(axis=(1, 2)) == pytest.approx(0, abs=1e-10)
    assert fields.std() == pytest.approx(bias, rel=0.03)
    # No place is brighter than another over many images, which have fields of their own.
    assert abs(fields.mean(axis=0)).max() < 5 * fields.std(axis=0).max() / math.sqrt(2000)
    down = (fields[:, -1] - fields[:, 0]).mean(axis=1)
    across = (fields[:, :, -1] - fields[:, :, 0]).mean(axis=1)
    assert down.std() == pytest.approx(across.std(), rel=0.1)


def test_a_bias_field_is_a_polynomial_of_third_degree_and_all_of_it():
    """NumPy fits it without residue, and not so with less."""
    fields = log_fields(0.2, 40, 18, 25).reshape(40, -1).T
    y, x = (grid.ravel() for grid in np.mgrid[-1:1:18j, -1:1:25j])
    powers = {(i, j): y**i * x**j for i in range(4) for j in range(4) if i + j <= 3}

    def residue(*left_out: tuple[int, int]) -> float:
        basis = np.stack([power for key, power in powers.items() if key not in left_out], axis=1)
        return abs(fields - basis @ np.linalg.lstsq(basis, fields, rcond=None)[0]).max()

    assert residue() < 1e-5
    for key in powers:
        if sum(key) == 3:
            assert residue(key) > 1e-2, key


@pytest.mark.usefixtures("float64")
def test_a_bias_field_multiplies_and_comes_after_the_blur():
    images = noise(3, 1, 28, 28) / 2
    blurred = change(images, **{"blur": 1.0} | fixed(blur_sigma=9.0))
    both = change(images, **{"blur": 1.0, "bias": 0.1} | fixed(blur_sigma=9.0))
    expected = np.log(both.double().numpy()) - np.log(blurred.double().numpy())
    assert expected[:, 0] == pytest.approx(log_fields(0.1, 3, 28, 28), abs=1e-10)
    black = torch.zeros(3, 1, 28, 28)
    assert torch.equal(change(black, bias=0.5), black)


@pytest.mark.usefixtures("float64")
def test_bias_fields_of_a_batch_are_those_of_its_images_one_by_one():
    weights = 0.3 * torch.randn(5, 9, generator=torch.Generator().manual_seed(0))
    batch = bias_field(weights, 12, 20)
    assert batch.shape == (5, 1, 12, 20)
    for row in range(5):
        single = bias_field(weights[row : row + 1], 12, 20)
        assert single[0].numpy() == pytest.approx(batch[row].numpy(), abs=1e-10)
    assert bias_field(weights, 1, 1).numpy() == pytest.approx(1)


def test_without_a_bias_field_nothing_is_drawn_for_it():
    """The state is left where six numbers an image, the noise's seed and its strength leave it."""
    generator, by_hand = (torch.Generator().manual_seed(4) for _ in range(2))
    values = {"brightness": (0.5, 1.5), "gamma": (0.5, 2.0), "blur": 0.5, "noise": 0.1}
    change_intensity(noise(7, 1, 16, 16), Intensity(**values, bias=0.0), generator)
    for _ in range(6):
        torch.empty(7, 1, 1, 1).uniform_(generator=by_hand)
    torch.randint(2**32, (), generator=by_hand)
    torch.empty(7, 1, 1, 1).uniform_(generator=by_hand)
    assert torch.equal(generator.get_state(), by_hand.get_state())


@pytest.mark.usefixtures("float64")
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_a_gpu_draws_the_views_of_a_cpu_but_for_the_noise():
    images = noise(6, 1, 64, 64)
    values = {"brightness": (0.5, 1.5), "gamma": (0.5, 2.0), "blur": 0.5, "bias": 0.1}
    here, there = change(images, **values), change(images.cuda(), **values).cpu()
    assert there.numpy() == pytest.approx(here.numpy(), abs=1e-10)
    noisy = Intensity(noise=0.1, brightness=(0.5, 1.5))
    by_cpu, by_gpu = (torch.Generator().manual_seed(2) for _ in range(2))
    change_intensity(images, noisy, by_cpu)
    change_intensity(images.cuda(), noisy, by_gpu)
    assert torch.equal(by_cpu.get_state(), by_gpu.get_state())  # the next view begins alike


def test_the_result_stays_in_range_and_float32():
    wild = {"brightness": (0.0, 3.0), "contrast": (0.0, 4.0), "gamma": (0.2, 5.0)}
    images = torch.rand(100, 1, 16, 16, generator=torch.Generator().manual_seed(0)).round()
    views = change(images, **wild, noise=0.5, blur=0.5, bias=2.0)
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

"""Whole recipes: what is drawn, how often pixels are resampled, and the study's Table 2."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles.affine import resample

from brainssl.settings import load_settings
from brainssl.views.geometry import Geometry, draw_warps
from brainssl.views.intensity import Intensity
from brainssl.views.recipes import TABLE2, UNCHANGED, ViewRecipe, augment_table2, to_unit

WILD = ViewRecipe(
    geometry=Geometry(
        crop_area=(0.3, 1.0), crop_ratio=(0.7, 1.4), zoom=0.2, shift=0.1, rotation=30.0, flip=0.5
    ),
    intensity=Intensity(
        brightness=(0.5, 1.5), contrast=(0.5, 1.5), gamma=(0.5, 2.0), blur=0.5, noise=0.1
    ),
)


def stored(count: int, side: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, side, side), dtype=torch.uint8, generator=generator)


def draw(recipe: ViewRecipe, images: torch.Tensor, size: int, seed: int = 0) -> torch.Tensor:
    return recipe.draw(images, size, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("side", [16, 25, 64, 100])
def test_the_recipe_that_changes_nothing_gives_the_pixels_exactly(side):
    images = stored(3, side)
    views = draw(UNCHANGED, images, side)
    assert (views[:, 0].numpy() == images.numpy().astype(np.float32) / np.float32(255)).all()


def test_grey_values_become_float32_of_one_channel():
    images = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    unit = to_unit(images)
    assert unit.shape == (1, 1, 16, 16)
    assert unit.dtype == torch.float32
    assert (unit.flatten().numpy() == np.arange(256, dtype=np.float32) / np.float32(255)).all()
    assert images.dtype == torch.uint8


@pytest.mark.parametrize("size", [12, 20])
def test_pixels_are_resampled_once(size):
    """The whole geometry equals one bilinear resampling of the original by SciPy."""
    images = stored(6, 20)
    recipe = ViewRecipe(geometry=WILD.geometry)
    views = draw(recipe, images, size)[:, 0].numpy()
    warps = draw_warps(recipe.geometry, 6, torch.Generator().manual_seed(0)).double().numpy()
    for image, matrix, view in zip(images.numpy() / 255, warps, views, strict=True):
        assert view == pytest.approx(resample(image, matrix, size, "zeros"), abs=1e-4)


def test_a_flip_alone_costs_no_sharpness():
    images = stored(3, 25)
    views = draw(ViewRecipe(geometry=Geometry(flip=1.0)), images, 25)
    assert views.numpy() == pytest.approx(to_unit(images).flip(3).numpy(), abs=1e-5)


@pytest.mark.parametrize("recipe", [WILD, TABLE2, UNCHANGED])
def test_views_are_float32_in_range(recipe):
    views = draw(recipe, stored(64, 24), 16)
    assert views.shape == (64, 1, 16, 16)
    assert views.dtype == torch.float32
    assert views.min() >= 0
    assert views.max() <= 1


def test_the_same_state_gives_the_same_views_and_another_state_others():
    images = stored(4, 24)
    assert torch.equal(draw(WILD, images, 16, seed=1), draw(WILD, images, 16, seed=1))
    assert not torch.equal(draw(WILD, images, 16, seed=1), draw(WILD, images, 16, seed=2))
    generator = torch.Generator().manual_seed(1)
    first, second = (WILD.draw(images, 16, generator) for _ in range(2))
    assert not torch.equal(first, second)
    torch.manual_seed(99)
    assert torch.equal(first, draw(WILD, images, 16, seed=1))


def test_each_image_of_a_batch_gets_a_view_of_its_own():
    views = draw(WILD, stored(1, 24).expand(8, 24, 24), 24)
    assert len({view.numpy().tobytes() for view in views}) == 8


def test_a_batch_is_its_images_one_by_one():
    fixed = ViewRecipe(
        geometry=Geometry(flip=1.0, fill="border"),
        intensity=Intensity(
            brightness=(0.9, 0.9),
            gamma=(0.7, 0.7),
            contrast=(1.2, 1.2),
            blur=1.0,
            blur_sigma=(9.0, 9.0),
        ),
    )
    images = stored(5, 20)
    batch = draw(fixed, images, 16)
    for row in range(5):
        single = draw(fixed, images[row : row + 1], 16)
        assert single[0].numpy() == pytest.approx(batch[row].numpy(), abs=1e-6)


def test_autocast_does_not_blunt_the_views():
    images = stored(4, 100)
    exact = draw(TABLE2, images, 100)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(draw(TABLE2, images, 100), exact)


def test_the_stored_images_are_left_as_they_were():
    images = stored(4, 24)
    before = images.clone()
    draw(WILD, images, 24)
    assert torch.equal(images, before)


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_the_views_of_a_preset_are_a_recipe(preset):
    views = load_settings(preset)[0].views
    recipe = ViewRecipe.of(views.model_dump())
    for name, value in views.model_dump(exclude={"strength"}).items():
        part = recipe.geometry if hasattr(recipe.geometry, name) else recipe.intensity
        assert getattr(part, name) == value
    assert recipe.geometry.flip == 0.5
    warps = draw_warps(recipe.geometry, 3000, torch.Generator().manual_seed(0))
    assert (warps[:, 1, 1] > 0).all()  # never upside down


def test_an_unknown_value_is_no_part_of_a_recipe():
    with pytest.raises(TypeError, match="hue"):
        ViewRecipe.of({"flip": 0.5, "hue": 0.1})


def test_table_2_is_the_studys():
    """Rotation 20 degrees, shift and zoom 10 %, left-right flip, brightness 0.8 to 1.2, nearest."""
    assert vars(TABLE2.geometry) == {
        "crop_area": (1.0, 1.0),
        "crop_ratio": (1.0, 1.0),
        "zoom": 0.1,
        "shift": 0.1,
        "rotation": 20.0,
        "flip": 0.5,
        "fill": "border",
    }
    intensity = TABLE2.intensity
    assert intensity.brightness == (0.8, 1.2)
    assert intensity.jitter == 1.0
    assert (intensity.contrast, intensity.gamma) == ((1.0, 1.0), (1.0, 1.0))
    assert (intensity.blur, intensity.bias, intensity.noise) == (0.0, 0.0, 0.0)


def test_stored_augmentations_are_table_2_views_of_each_image():
    images = stored(6, 24).numpy()
    before = images.copy()
    found = augment_table2(images, np.random.default_rng(3))
    assert found.dtype == np.uint8
    assert found.shape == images.shape
    assert (images == before).all()
    assert (found == augment_table2(images, np.random.default_rng(3))).all()
    assert (found != augment_table2(images, np.random.default_rng(4))).any(axis=(1, 2)).all()
    seed = int(np.random.default_rng(3).integers(2**63))
    views = draw(TABLE2, torch.from_numpy(images), 24, seed=seed)[:, 0].numpy()
    assert abs(found - views.astype(np.float64) * 255).max() <= 0.5 + 1e-4


def test_read_only_images_can_be_augmented():
    images = stored(3, 16).numpy()[::-1]
    images.flags.writeable = False
    assert augment_table2(images, np.random.default_rng(0)).shape == (3, 16, 16)


def ranges(recipe: ViewRecipe) -> dict[str, tuple[float, float]]:
    """The ends of what may be drawn; of one number, it stands for both sides of no change."""
    own = vars(recipe.geometry) | vars(recipe.intensity)
    pairs = {name: value for name, value in own.items() if isinstance(value, tuple)}
    single = ("zoom", "shift", "rotation", "bias", "noise")
    return pairs | {name: (0.0, own[name]) for name in single}


WILDEST = ViewRecipe(
    geometry=WILD.geometry,
    intensity=Intensity(**{**vars(WILD.intensity), "bias": 0.2, "jitter": 0.7}),
)


@pytest.mark.parametrize("recipe", [WILDEST, TABLE2, UNCHANGED])
def test_the_strength_of_1_is_the_recipe_itself(recipe):
    assert recipe.stronger(1.0) is recipe
    assert ViewRecipe.of({"rotation": 3.0, "strength": 1.0}) == ViewRecipe.of({"rotation": 3.0})


@given(factor=st.floats(0.0, 4.0), more=st.floats(0.01, 1.0))
def test_a_stronger_recipe_goes_farther_within_what_there_is(factor, more):
    """Ranges stay in order and possible, and those of a stronger recipe hold those of a weaker."""
    weak, strong = ranges(WILDEST.stronger(factor)), ranges(WILDEST.stronger(factor + more))
    for name, (low, high) in weak.items():
        assert strong[name][0] <= low + 1e-9 or name == "blur_sigma"  # a width, from 0
        assert low <= high <= strong[name][1] + 1e-9
    assert 0 < weak["crop_area"][0] <= weak["crop_area"][1] <= 1
    assert weak["zoom"][1] < 1
    assert weak["rotation"][1] <= 180
    assert min(weak[name][0] for name in ("brightness", "contrast", "gamma", "crop_ratio")) > 0


@given(factor=st.floats(0.1, 2.0), again=st.floats(0.1, 2.0))
def test_twice_stronger_is_stronger_by_the_product(factor, again):
    twice = ranges(WILDEST.stronger(factor).stronger(again))
    for name, ends in ranges(WILDEST.stronger(factor * again)).items():
        assert twice[name] == pytest.approx(ends, rel=1e-6)


def test_twice_as_far_is_on_a_log_scale_for_factors():
    far = ranges(WILDEST.stronger(2.0))
    assert far["brightness"] == pytest.approx((0.5**2, 1.5**2))
    assert far["crop_area"] == pytest.approx((0.3**2, 1.0))
    assert far["gamma"] == pytest.approx((0.25, 4.0))
    assert far["rotation"] == (0.0, 60.0)
    assert far["noise"] == pytest.approx((0.0, 0.2))
    assert 1 - far["zoom"][1] == pytest.approx(0.8**2)


@pytest.mark.parametrize("recipe", [WILDEST, TABLE2])
def test_the_strength_of_0_leaves_what_probabilities_do(recipe):
    """Each view is its image, or that mirrored: as often as a flip is drawn."""
    images = stored(200, 16)
    views = draw(recipe.stronger(0.0), images, 16)
    same = (views - to_unit(images)).abs().amax(dim=(1, 2, 3)) < 1e-5
    mirrored = (views - to_unit(images).flip(3)).abs().amax(dim=(1, 2, 3)) < 1e-5
    assert (same ^ mirrored).all()
    assert 60 < int(mirrored.sum()) < 140
    probabilities = ("flip", "jitter", "blur", "fill")
    before, after = (vars(r.geometry) | vars(r.intensity) for r in (recipe, recipe.stronger(0.0)))
    assert all(before[name] == after[name] for name in probabilities)

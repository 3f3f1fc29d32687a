"""Lesions: shape, compartments and mass effect."""

from dataclasses import replace

import numpy as np
import pytest

from brainssl.simulation.anatomy import Head
from brainssl.simulation.growth import TUMOUR_FAMILIES
from brainssl.simulation.lesions import Lesion, Noise, draw_lesion


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.draw(np.random.default_rng(2))


@pytest.fixture(scope="module")
def glioma(head: Head) -> Lesion:
    generator = np.random.default_rng(0)
    while True:
        lesion = draw_lesion("Glioma", head, generator)
        if lesion.kind == "high-grade":
            return lesion


def around(lesion: Lesion, reach: float, count: int = 4000) -> np.ndarray:
    offsets = np.random.default_rng(9).uniform(-reach, reach, (3, count))
    return (lesion.centre[:, None] + offsets).astype(np.float32)


def deep_white(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Surroundings far below the surface, all white matter."""
    brain = np.zeros((3, count), np.float32)
    brain[0] = 1
    return np.full(count, -40, np.float32), brain


def test_noise_has_zero_mean_and_unit_variance() -> None:
    points = np.random.default_rng(0).uniform(-100, 100, (3, 20000)).astype(np.float32)
    values = Noise.draw(np.random.default_rng(1), 6.0).at(points)
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() == pytest.approx(1, abs=0.05)


def test_an_unknown_family_is_refused(head: Head) -> None:
    with pytest.raises(ValueError, match="no lesion of family 'Normal'"):
        draw_lesion("Normal", head, np.random.default_rng(0))


@pytest.mark.parametrize("family", TUMOUR_FAMILIES)
def test_volume_is_near_that_of_the_ball_of_its_radius(family: str, head: Head) -> None:
    lesion = replace(
        draw_lesion(family, head, np.random.default_rng(4)), irregularity=0.0, canal=None
    )
    reach = 2.0 * lesion.radius
    inside = lesion.boundary(around(lesion, reach, 60000)) < 0
    volume = inside.mean() * (2 * reach) ** 3
    assert volume == pytest.approx(4 / 3 * np.pi * lesion.radius**3, rel=0.1)


def test_a_high_grade_glioma_has_a_rim_around_a_core_and_oedema_outside(glioma: Lesion) -> None:
    points = around(glioma, 3 * glioma.radius)
    hull, brain = deep_white(points.shape[1])
    layers = glioma.layers(points, hull, brain)
    swollen, body, _, _, core = layers.alphas
    distance = glioma.boundary(points)
    assert core[distance < -2 * glioma.rim - 2].min() > 0.9
    assert core[distance > 0].max() < 0.5
    assert body[distance < -glioma.softness].min() > 0.9
    assert swollen[(distance > 1) & (distance < 0.3 * glioma.oedema)].mean() > 0.3
    assert not layers.inside[distance > glioma.softness].any()
    assert layers.inside[distance < -glioma.softness].all()


def test_oedema_spares_what_is_not_white_matter(glioma: Lesion) -> None:
    points = around(glioma, 2 * glioma.radius)
    hull, white = deep_white(points.shape[1])
    fluid = np.roll(white, 2, axis=0)
    assert glioma.layers(points, hull, fluid).alphas[0].max() == 0
    assert glioma.layers(points, hull, white).alphas[0].max() > 0.5


def test_nothing_intra_axial_grows_outside_the_brain(glioma: Lesion) -> None:
    points = around(glioma, glioma.radius)
    _, brain = deep_white(points.shape[1])
    outside = np.full(points.shape[1], 3.0, np.float32)
    assert glioma.layers(points, outside, brain).alphas.max() == 0


def test_mass_effect_moves_points_inwards_less_with_distance_and_not_at_the_skull(
    glioma: Lesion,
) -> None:
    direction = np.array([[1], [0], [0]], np.float32)
    radii = np.array([1.1, 2.0, 4.0]) * glioma.radius
    points = (glioma.centre[:, None] + direction * radii).astype(np.float32)
    shift = np.linalg.norm(points - glioma.push(points, np.full(3, 40, np.float32)), axis=0)
    assert shift[0] > shift[1] > shift[2] > 0
    # Without the fade, volume is kept: r^3 - r'^3 = m R^3.
    fade = np.exp(-((radii[0] / (2.6 * glioma.radius + 14)) ** 2))
    before = np.cbrt(radii[0] ** 3 - glioma.mass * glioma.radius**3)
    assert shift[0] == pytest.approx((radii[0] - before) * fade, rel=1e-3)
    held = glioma.push(points, np.full(3, -3, np.float32))
    np.testing.assert_allclose(held, points)


def test_bubbles_fill_a_neurocytoma(head: Head) -> None:
    lesion = draw_lesion("Neurocytoma", head, np.random.default_rng(1))
    points = around(lesion, lesion.radius)
    hull, brain = deep_white(points.shape[1])
    layers = lesion.layers(points, hull, brain)
    share = (layers.alphas[3] > 0.5)[layers.inside].mean()
    assert 0.02 < share < 0.9
    assert layers.tissues[3] == lesion.core

"""The deformed brain: tissue fractions, distances and the maps to and from the template."""

import numpy as np
import pytest

from brainssl.simulation.anatomy import Grid, Head, load_template, ramp, smooth_noise


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.draw(np.random.default_rng(3), ventricle_growth=0.0)


def columns(*points: tuple[float, float, float]) -> np.ndarray:
    return np.array(points, np.float32).T


def test_grid_is_linear_between_voxels() -> None:
    values = np.arange(27, dtype=np.float32).reshape(3, 3, 3)
    grid = Grid(values, np.array([10.0, 0, 0], np.float32), 2.0)
    # One voxel along x is worth 9, along y 3, along z 1.
    got = grid.at(columns((11, 1, 1), (12, 2, 3)))
    np.testing.assert_allclose(got, [0.5 * 9 + 0.5 * 3 + 0.5, 9 + 3 + 1.5])


def test_ramp_is_a_soft_indicator() -> None:
    distance = np.array([-5, -1, 0, 0.5, 5], np.float32)
    np.testing.assert_allclose(ramp(distance, 2.0), [1, 1, 0.5, 0.25, 0])


def test_noise_has_unit_variance_and_the_correlation_asked_for() -> None:
    noise = smooth_noise(np.random.default_rng(0), 8.0, 16.0)
    assert noise.std() == pytest.approx(1, abs=1e-3)
    # White noise filtered with a Gaussian of sigma s has correlation exp(-d^2 / (4 s^2)).
    lagged = float((noise[:-2] * noise[2:]).mean())
    assert lagged == pytest.approx(np.exp(-(16.0**2) / (4 * 16.0**2)), abs=0.15)


def test_template_hull_is_negative_inside_and_grows_by_a_millimetre_a_millimetre() -> None:
    hull = load_template().hull
    # Above the vertex the surface is nearly flat, so the distance rises one for one.
    a, b = hull.at(columns((0, -20, 90), (0, -20, 100)))
    assert b - a == pytest.approx(10, abs=1.5)
    assert hull.at(columns((30, -20, 30)))[0] < -15


def test_the_lateral_ventricles_are_found_on_both_sides() -> None:
    ventricles = load_template().ventricles
    frontal_horns = ventricles.at(columns((5, 10, 12), (-5, 10, 12)))
    assert (frontal_horns < 0).all()
    assert ventricles.at(columns((40, 0, 40)))[0] > 10


def test_fractions_sum_to_one_and_name_the_right_tissue(head: Head) -> None:
    deep_white, frontal_horn = (26.0, -20.0, 30.0), (5.0, 10.0, 12.0)
    white, grey, csf = head.brain(columns(deep_white, frontal_horn))
    np.testing.assert_allclose(white + grey + csf, 1, atol=1e-5)
    assert white[0] > 0.8
    assert csf[1] > 0.5


def test_from_template_inverts_to_template(head: Head) -> None:
    for point in ((20.0, -37.0, -36.0), (-50.0, 10.0, 20.0), (0.0, -90.0, 5.0)):
        back = head.to_template(head.from_template(point)[:, None])[:, 0]
        np.testing.assert_allclose(back, point, atol=0.05)


def test_growth_widens_the_ventricles_and_fades_with_distance() -> None:
    narrow = Head.draw(np.random.default_rng(3), ventricle_growth=0.0)
    wide = Head.draw(np.random.default_rng(3), ventricle_growth=8.0)
    axis = np.linspace(-60, 60, 81)
    points = np.stack(np.meshgrid(axis, axis - 10, [14.0, 45.0], indexing="ij"))
    points = points.reshape(3, -1).astype(np.float32)
    before, after = narrow.brain(points), wide.brain(points)
    distance = load_template().ventricles.at(points)
    assert after[2, distance < 6].mean() > 0.9  # all but the septum
    assert after[2].sum() > 1.3 * before[2].sum()
    change = np.abs(after - before).sum(axis=0)
    assert change[distance > 40].mean() < 0.5 * change[(distance > 2) & (distance < 8)].mean()


def test_two_patients_differ() -> None:
    points = columns((30, -20, 30), (40, 10, 10))
    one, two = (Head.draw(np.random.default_rng(s)).to_template(points) for s in (1, 2))
    assert np.abs(one - two).max() > 0.5

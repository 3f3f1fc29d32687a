"""What surrounds the brain: layers in the right order, and solids in the right place."""

import numpy as np
import pytest

from brainssl.simulation.anatomy import INDEX, TISSUES, Head, load_template
from brainssl.simulation.head import capsule, ellipsoid, smooth_union, tissues


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.draw(np.random.default_rng(5), ventricle_growth=0.0)


def test_ellipsoid_distance_equals_a_sphere_s() -> None:
    points = np.random.default_rng(0).normal(0, 20, (3, 50)).astype(np.float32)
    expected = np.linalg.norm(points - np.array([[1], [2], [3]]), axis=0) - 5
    np.testing.assert_allclose(ellipsoid(points, (1, 2, 3), (5, 5, 5)), expected, rtol=1e-4)


def test_capsule_distance_by_hand() -> None:
    points = np.array([[5, 4, 0], [-3, 0, 0], [14, 3, 0]], np.float32).T
    got = capsule(points, (0, 0, 0), (10, 0, 0), 2.0)
    np.testing.assert_allclose(got, [2, 1, 3], atol=1e-5)


def test_smooth_union_is_the_minimum_away_from_the_seam() -> None:
    a = np.array([-10.0, 5.0, 0.0], np.float32)
    b = np.array([5.0, -10.0, 0.0], np.float32)
    np.testing.assert_allclose(smooth_union(a, b, 4.0), [-10, -10, -1], atol=1e-6)


def test_fractions_are_a_partition(head: Head) -> None:
    points = np.random.default_rng(1).uniform(-120, 120, (3, 4000)).astype(np.float32)
    parts = tissues(head, points, points)
    assert parts.shape == (len(TISSUES), 4000)
    assert parts.min() >= -1e-5
    np.testing.assert_allclose(parts.sum(axis=0), 1, atol=1e-4)


def test_going_out_from_the_vertex_one_meets_csf_bone_fat_skin_air(head: Head) -> None:
    z = np.arange(60, 120, 0.25, dtype=np.float32)
    ray = np.stack([np.full_like(z, 25), np.full_like(z, -20), z])
    parts = tissues(head, ray, ray)
    surface = z[np.argmin(np.abs(load_template().hull.at(ray)))]
    places = {name: z[parts[INDEX[name]] > 0.5] for name in ("fat", "skin", "void")}
    assert places["skin"].min() > places["fat"].min() > surface
    bone = places["void"][places["void"] < places["fat"].min()]
    assert bone.size, "no skull between brain and scalp"
    assert (parts[INDEX["void"]][z > places["skin"].max() + 2] > 0.99).all(), "air is not empty"
    assert parts[INDEX["csf"]][np.abs(z - surface) < 4].max() > 0.5


def test_eyes_hold_fluid_in_fat_and_the_maxillary_sinus_holds_air(head: Head) -> None:
    points = np.array([[33, 60, -38], [-33, 60, -38], [30, 36, -38], [28, 50, -68]], np.float32).T
    parts = tissues(head, points, points)
    assert (parts[INDEX["csf"], :2] > 0.9).all()
    assert parts[INDEX["fat"], 2] > 0.5
    assert parts[INDEX["void"], 3] > 0.9

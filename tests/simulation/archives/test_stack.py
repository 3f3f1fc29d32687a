"""Whole series: where their voxels lie, and the signal there."""

import numpy as np
import pytest

from brainssl.simulation.anatomy import Head
from brainssl.simulation.archives.stack import (
    Stack,
    brain_points,
    masks,
    place_stack,
    scout,
    signals,
)
from brainssl.simulation.lesions import draw_lesion
from brainssl.simulation.scanner import Timing
from brainssl.simulation.series import PLANES, lesion_mask, signal_at

T1W, T2W = Timing(500, 14), Timing(4000, 100)


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.draw(np.random.default_rng(2))


@pytest.fixture(scope="module")
def brain(head: Head) -> np.ndarray:
    return brain_points(head)


def placed(brain: np.ndarray, plane: str, slices: int = 20, size: int = 64, seed: int = 1) -> Stack:
    generator = np.random.default_rng(seed)
    return place_stack(brain, plane, slices=slices, size=size, generator=generator)


def voxels(stack: Stack, points: np.ndarray) -> np.ndarray:
    """Columns, rows and slices of points, by the inverse of the affine."""
    inverse = np.linalg.inv(stack.affine)
    return inverse[:3, :3] @ points + inverse[:3, 3:]


def test_the_brain_is_that_of_a_person(brain: np.ndarray) -> None:
    litres = brain.shape[1] * 5.0**3 / 1e6
    assert 1.0 < litres < 2.2  # with the fluid in and between the folds


@pytest.mark.parametrize("plane", PLANES)
def test_slices_cover_the_brain_from_end_to_end(plane: str, brain: np.ndarray) -> None:
    stack = placed(brain, plane)
    column, row, number = voxels(stack, brain)
    for place in (column, row):
        assert place.min() > 0
        assert place.max() < stack.size - 1
    assert -0.5 < number.min() < 0  # half a slice's distance, and no empty slice beyond
    assert stack.slices - 1 < number.max() < stack.slices - 0.5
    assert stack.spacing / 1.3 <= stack.thickness <= stack.spacing


@pytest.mark.parametrize("plane", PLANES)
def test_points_are_those_of_the_affine(plane: str, brain: np.ndarray) -> None:
    stack = placed(brain, plane)
    points = stack.points(7).reshape(3, stack.size, stack.size)
    expected = stack.affine @ (11, 5, 7, 1)  # column, row, slice
    np.testing.assert_allclose(points[:, 5, 11], expected[:3], atol=1e-4)
    off = stack.points(7, (0.5, 0.0, -1.0)).reshape(points.shape)[:, 5, 11]
    move = 0.5 * stack.pixel * stack.frame[0] - stack.thickness * stack.frame[2]
    np.testing.assert_allclose(off - points[:, 5, 11], move, atol=1e-4)


def test_the_affine_is_a_rotation_and_three_spacings(brain: np.ndarray) -> None:
    stack = placed(brain, "coronal")
    axes = stack.affine[:3, :3]
    expected = np.diag(np.square([stack.pixel, stack.pixel, stack.spacing]))
    np.testing.assert_allclose(axes.T @ axes, expected, atol=1e-9)


def test_what_is_drawn_does_not_depend_on_the_number_of_voxels(brain: np.ndarray) -> None:
    coarse, fine = placed(brain, "axial"), placed(brain, "axial", slices=40, size=128)
    np.testing.assert_array_equal(coarse.frame, fine.frame)
    assert coarse.pixel * 64 == pytest.approx(fine.pixel * 128)
    middles = [s.affine @ ((s.size - 1) / 2, (s.size - 1) / 2, (s.slices - 1) / 2, 1) for s in
               (coarse, fine)]  # fmt: skip
    np.testing.assert_allclose(*middles)


def test_a_localiser_crosses_the_middle_of_the_brain(brain: np.ndarray) -> None:
    middle = (brain.min(axis=1) + brain.max(axis=1)) / 2
    for plane in PLANES:
        stack = scout(brain, plane, 64)
        np.testing.assert_allclose(voxels(stack, middle[:, None])[:, 0], (31.5, 31.5, 1), atol=1e-6)


def test_signals_of_several_timings_are_those_of_each_alone(head: Head, brain: np.ndarray) -> None:
    lesion = draw_lesion("Meningioma", head, np.random.default_rng(5))
    stack = placed(brain, "axial", slices=2)
    together = signals(head, lesion, stack, [T1W, T2W], 1.5)
    for timing, found in zip((T1W, T2W), together, strict=True):
        (alone,) = signals(head, lesion, stack, [timing], 1.5)
        np.testing.assert_array_equal(found, alone)
    middle = [(0.0, 0.0, 0.0)]
    (found,) = signals(head, lesion, stack, [T2W], 1.5, middle)
    expected, _ = signal_at(head, lesion, stack.points(1), T2W, 1.5)
    np.testing.assert_allclose(found[1].ravel(), expected, rtol=1e-5, atol=1e-6)


def test_masks_are_read_at_the_middle_of_voxels(head: Head, brain: np.ndarray) -> None:
    lesion = draw_lesion("Meningioma", head, np.random.default_rng(5))
    stack = placed(brain, "sagittal", slices=12)
    found = masks(head, lesion, stack)
    assert found.any()
    number, row, column = np.argwhere(found).T
    places = stack.affine[:3] @ np.stack([column, row, number, np.ones(len(row))])
    assert lesion_mask(head, lesion, places.astype(np.float32)).mean() > 0.99
    assert not masks(head, None, stack).any()

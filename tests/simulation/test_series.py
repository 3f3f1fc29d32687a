"""Slices: geometry, and the signal and mask that they cut out of a patient."""

from dataclasses import replace

import numpy as np
import pytest

from brainssl.simulation.anatomy import Head, load_template
from brainssl.simulation.growth import TUMOUR_FAMILIES
from brainssl.simulation.lesions import Lesion, draw_lesion
from brainssl.simulation.scanner import Timing, Tissue
from brainssl.simulation.series import (
    PLANES,
    Series,
    lesion_extent,
    lesion_mask,
    place_series,
    render,
    signal_at,
)

T1W, T1C, T2W = Timing(500, 14), Timing(500, 14, contrast=True), Timing(4000, 100)
SIZE = 64


@pytest.fixture(scope="module")
def head() -> Head:
    return Head.draw(np.random.default_rng(2))


@pytest.fixture(scope="module")
def glioma(head: Head) -> Lesion:
    generator = np.random.default_rng(0)
    while True:
        lesion = draw_lesion("Glioma", head, generator)
        if lesion.kind == "high-grade":
            return replace(lesion, solid=Tissue(1200, 110, 0.88, 0.4), patchiness=0.0)


def test_axial_slices_hang_with_the_nose_up_and_the_right_side_on_the_left() -> None:
    frame = np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], np.float32)
    series = Series("axial", frame, np.zeros(3, np.float32), 200.0, 5.0, (10.0,))
    points = series.grid(SIZE, 10.0).reshape(3, SIZE, SIZE)
    assert points[0, 0, 0] > 0 > points[0, 0, -1]  # x, to the patient's right, falls along a row
    assert points[1, 0, 0] > 0 > points[1, -1, 0]  # y, to the front, falls down a column
    np.testing.assert_allclose(points[2], 10.0)
    assert points[0, 0, 0] - points[0, 0, 1] == pytest.approx(200 / SIZE, rel=1e-4)


@pytest.mark.parametrize("family", TUMOUR_FAMILIES)
@pytest.mark.parametrize("plane", PLANES)
def test_every_slice_cuts_the_lesion_within_the_head(family: str, plane: str, head: Head) -> None:
    generator = np.random.default_rng(7)
    lesion = draw_lesion(family, head, generator)
    series = place_series(head, lesion, plane, 4, generator)
    gaps = np.diff(series.positions)
    assert (gaps > 0).all()
    np.testing.assert_allclose(gaps, gaps[0], rtol=1e-5)
    signals, masks = render(head, lesion, series, T2W, 1.5, SIZE)
    assert signals.shape == masks.shape == (4, SIZE, SIZE)
    assert masks.any(axis=(1, 2)).all()
    assert signals[masks].min() > 0.01, "part of the mask lies in air or bone"


def test_extent_of_a_ball_is_its_chord_at_a_quarter_of_the_area(head: Head) -> None:
    lesion = draw_lesion("Neurocytoma", head, np.random.default_rng(1))
    axes = (np.eye(3) / 16).astype(np.float32)
    ball = replace(lesion, irregularity=0.0, radius=16.0, axes=axes, canal=None, softness=0.8)
    low, high = lesion_extent(head, ball, np.array([0, 0, 1], np.float32))
    # Area falls to a quarter where the chord's radius is half: at R sqrt(3)/2 from the centre.
    assert high - low == pytest.approx(2 * 16 * np.sqrt(0.75), abs=3.0)
    assert (high + low) / 2 == pytest.approx(ball.centre[2], abs=2.0)


@pytest.mark.parametrize("family", TUMOUR_FAMILIES)
def test_a_mask_asks_for_anatomy_only_where_it_counts(family: str, head: Head) -> None:
    """The same lesion, with every tissue worked out at every point."""
    lesion = replace(draw_lesion(family, head, np.random.default_rng(4)), mass=0.0)
    offsets = np.random.default_rng(0).uniform(-2, 2, (3, 5000)) * lesion.radius
    points = (lesion.centre[:, None] + offsets).astype(np.float32)
    mapped = head.to_template(points)
    hull = load_template().hull.at(mapped)
    everywhere = lesion.layers(points, hull, head.brain(mapped)).inside
    assert everywhere.any()
    np.testing.assert_array_equal(lesion_mask(head, lesion, points), everywhere)
    np.testing.assert_array_equal(signal_at(head, lesion, points, T1W, 1.5)[1], everywhere)


def test_the_rim_enhances_and_necrosis_does_not(head: Head, glioma: Lesion) -> None:
    offsets = np.random.default_rng(0).uniform(-1, 1, (3, 6000)) * 1.5 * glioma.radius
    points = (glioma.centre[:, None] + offsets).astype(np.float32)
    before, inside = signal_at(head, glioma, points, T1W, 1.5)
    after, _ = signal_at(head, glioma, points, T1C, 1.5)
    distance = glioma.boundary(points)
    rim = inside & (distance > -0.5 * glioma.rim) & (distance < -glioma.softness)
    core = inside & (distance < -2 * glioma.rim - 2)
    assert np.median(after[rim] / before[rim]) > 1.3
    assert np.median(after[core] / before[core]) < 1.1
    assert np.median(after[rim]) > 1.3 * np.median(after[core])


def test_oedema_is_bright_on_t2_and_dark_on_t1(head: Head, glioma: Lesion) -> None:
    wet = replace(glioma, oedema=20.0, mass=0.0)
    dry = replace(glioma, oedema=0.0, mass=0.0)
    offsets = np.random.default_rng(0).uniform(-1, 1, (3, 6000)) * 2 * glioma.radius
    points = (glioma.centre[:, None] + offsets).astype(np.float32)
    near = (glioma.boundary(points) > 3) & (glioma.boundary(points) < 8)
    for timing, brighter in ((T1W, False), (T2W, True)):
        change = (
            signal_at(head, wet, points, timing, 1.5)[0]
            - signal_at(head, dry, points, timing, 1.5)[0]
        )
        assert (change[near].mean() > 0) == brighter


def test_a_lesion_changes_nothing_far_away(head: Head, glioma: Lesion) -> None:
    series = Series(
        "axial",
        np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], np.float32),
        np.zeros(3, np.float32),
        220.0,
        4.0,
        (float(glioma.centre[2]),),
    )
    points = series.grid(SIZE, series.positions[0])
    with_lesion, _ = signal_at(head, glioma, points, T2W, 1.5)
    without, nothing = signal_at(head, None, points, T2W, 1.5)
    assert not nothing.any()
    far = np.linalg.norm(points - glioma.centre[:, None], axis=0) > 2.2 * (2.6 * glioma.radius + 14)
    np.testing.assert_array_equal(with_lesion[far], without[far])
    assert np.abs(with_lesion - without).max() > 0.05


def test_csf_is_dark_on_t1_and_bright_on_t2_in_the_picture(head: Head) -> None:
    frontal_horn = head.from_template((5.0, 10.0, 12.0))
    white = head.from_template((27.0, -20.0, 32.0))
    points = np.stack([frontal_horn, white], axis=1)
    t1, _ = signal_at(head, None, points, T1W, 1.5)
    t2, _ = signal_at(head, None, points, T2W, 1.5)
    assert t1[0] < 0.7 * t1[1]
    assert t2[0] > 1.5 * t2[1]

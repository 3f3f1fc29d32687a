"""Which slices show the brain: known areas, an independent threshold, and simulated heads."""

import numpy as np
import pytest
from oracles.heads import SHAPE, distance, head
from skimage.filters import threshold_multiotsu

from brainssl.data.volumes.brain import LEAST, brain_shares, lower_threshold, thinning
from brainssl.data.volumes.volume import Volume
from brainssl.data.volumes.window import window_of
from brainssl.simulation.anatomy import Head
from brainssl.simulation.scanner import Timing
from brainssl.simulation.series import Series, render


def windowed(values: np.ndarray) -> np.ndarray:
    samples = values.astype(np.float32)
    return window_of(Volume(samples, None, None, 16, (), ())).applied(samples)


@pytest.mark.parametrize("seed", range(6))
def test_the_threshold_is_the_lower_one_of_three_classes(seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts = [
        generator.normal(mean, 0.13, count)
        for mean, count in zip((0.06, 0.45, 0.9), generator.integers(500, 4000, 3), strict=True)
    ]
    values = np.concatenate(parts).clip(0, 1)
    counts, edges = np.histogram(values, 64, (0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    # Of a class that ends at a bin scikit-image names the centre of the bin.
    expected = threshold_multiotsu(hist=(counts, centres), classes=3)[0]
    assert centres[lower_threshold(counts) - 1] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_shares_are_those_of_the_ellipsoid(seed: int) -> None:
    shares = brain_shares(windowed(head(seed)))
    inside = (distance(SHAPE, 1 + 0.06 * np.random.default_rng(seed).normal(size=3)) < 1).sum(
        (1, 2)
    )
    assert shares == pytest.approx(inside / inside.max(), abs=0.03)
    assert (shares[inside == 0] == 0).all()
    assert 0 < (shares < LEAST).sum() < len(shares) / 2


def test_what_hangs_together_with_nothing_does_not_count() -> None:
    values = head(1)
    values[0, 3:9, 3:9] = 600  # a label burnt into the slice of air
    assert brain_shares(windowed(values))[0] == 0


def test_a_bright_lesion_does_not_hide_the_rest() -> None:
    plain, ill = (brain_shares(windowed(head(5, lesion=lesion))) for lesion in (False, True))
    assert ill == pytest.approx(plain, abs=0.03)


def test_padding_is_no_head() -> None:
    levels = windowed(head(2))
    padding = np.zeros(levels.shape, bool)
    padding[:, :, :5] = True
    levels[padding] = 0
    assert brain_shares(levels, padding) == pytest.approx(brain_shares(levels), abs=0.05)


def test_a_volume_that_shows_nothing_has_no_brain() -> None:
    assert not brain_shares(np.zeros((3, 8, 8), np.float32)).any()


def test_one_slice_has_all_of_it() -> None:
    assert brain_shares(windowed(head(1)[12:13])).tolist() == [1.0]


def test_thinning_keeps_the_sides_within_the_limit() -> None:
    assert [thinning(side, 20) for side in (20, 128, 129, 512)] == [1, 1, 2, 4]
    whole = windowed(head(1, (24, 300, 280)))
    assert brain_shares(whole[:, ::3, ::3]) == pytest.approx(brain_shares(whole), abs=0.02)


@pytest.mark.parametrize(
    "timing", [Timing(500, 14), Timing(500, 14, contrast=True), Timing(4000, 100)]
)
def test_the_phantom_is_told_from_the_air_above_it(timing: Timing) -> None:
    """Rendered without noise, a slice shows as much head as it has pixels with a signal."""
    frame = np.array([[-1, 0, 0], [0, -1, 0], [0, 0, 1]], np.float32)
    places = tuple(np.linspace(-40.0, 130.0, 18))
    series = Series("axial", frame, np.zeros(3, np.float32), 240.0, 5.0, places)
    signals, _ = render(Head.draw(np.random.default_rng(2)), None, series, timing, 1.5, 64)
    noise = 0.01 * signals.max() * np.random.default_rng(0).normal(size=(2, *signals.shape))
    shares = brain_shares(windowed(np.hypot(signals + noise[0], noise[1])))
    areas = (signals > 0.05 * np.percentile(signals, 99)).sum((1, 2))
    assert (shares[areas == 0] == 0).all()
    assert (areas == 0).sum() >= 2
    assert (shares[areas > 0.35 * areas.max()] >= LEAST).all()
    assert (shares[areas < 0.05 * areas.max()] < LEAST).all()

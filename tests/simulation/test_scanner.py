"""Physics: relaxation, spin echo, contrast agent, noise and the display window."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from brainssl.simulation.anatomy import TISSUES
from brainssl.simulation.scanner import (
    SCANNERS,
    TISSUE_CONSTANTS,
    Exposure,
    Timing,
    Tissue,
    acquire,
    add_rician_noise,
    bias_field,
    normal_signals,
    shortened_t1,
    spin_echo,
    to_display,
)

T1W, T1C, T2W = Timing(500, 14), Timing(500, 14, contrast=True), Timing(4000, 100)


def test_spin_echo_by_hand() -> None:
    # 0.77 (1 - e^-1) e^-0.2 for white matter of BrainWeb at TR 500, TE 14.
    got = spin_echo(Tissue(500, 70, 0.77), T1W, 1.5)
    assert got == pytest.approx(0.77 * (1 - 0.36787944) * 0.81873075, rel=1e-6)


def test_every_field_knows_every_tissue() -> None:
    for constants in TISSUE_CONSTANTS.values():
        assert set(constants) == set(TISSUES)


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda s: s.name)
def test_contrast_of_brain_is_that_of_t1_and_t2_on_every_scanner(scanner) -> None:
    generator = np.random.default_rng(0)
    for _ in range(20):
        t1, t2 = (scanner.timing(s, generator) for s in ("T1", "T2"))
        one = dict(zip(TISSUES, normal_signals(t1, scanner.field), strict=True))
        two = dict(zip(TISSUES, normal_signals(t2, scanner.field), strict=True))
        assert one["fat"] > one["white"] > one["grey"] > one["csf"] > one["void"] == 0
        assert two["csf"] > two["grey"] > two["white"] > two["void"] == 0


def test_relaxivity_by_hand() -> None:
    # 1/T1' = 1/1.2 s + 4.78 * 0.3 /s, hence 441 ms.
    assert shortened_t1(1200, 0.3, 4.78) == pytest.approx(1000 / (1 / 1.2 + 1.434), rel=1e-9)


@given(
    t1=st.floats(300, 3000),
    t2=st.floats(20, 400),
    low=st.floats(0, 1),
    more=st.floats(0.01, 1),
)
def test_more_contrast_agent_is_brighter(t1: float, t2: float, low: float, more: float) -> None:
    dim, bright = (spin_echo(Tissue(t1, t2, 0.9, c), T1C, 1.5) for c in (low, low + more))
    native = spin_echo(Tissue(t1, t2, 0.9, low), T1W, 1.5)
    assert native <= dim < bright


def test_contrast_agent_counts_only_where_it_is_given() -> None:
    plain, enhancing = Tissue(1000, 90, 0.9), Tissue(1000, 90, 0.9, 0.5)
    assert spin_echo(plain, T1W, 3.0) == spin_echo(enhancing, T1W, 3.0)
    assert spin_echo(plain, T2W, 3.0) == spin_echo(enhancing, T2W, 3.0)


@pytest.mark.parametrize(("signal", "sigma"), [(0.0, 2.0), (3.0, 1.0), (50.0, 2.0)])
def test_noise_is_rician(signal: float, sigma: float) -> None:
    image = np.full((200, 200), signal, np.float32)
    noisy = add_rician_noise(image, sigma, np.random.default_rng(0))
    law = stats.rice(signal / sigma, scale=sigma)
    assert noisy.mean() == pytest.approx(law.mean(), rel=0.01)
    assert noisy.std() == pytest.approx(law.std(), rel=0.02)
    assert stats.kstest(noisy.ravel()[:5000], law.cdf).pvalue > 0.001


def test_background_is_rayleigh() -> None:
    noisy = add_rician_noise(np.zeros((300, 300), np.float32), 1.5, np.random.default_rng(1))
    assert noisy.mean() == pytest.approx(1.5 * math.sqrt(math.pi / 2), rel=0.01)


def test_bias_field_is_smooth_and_bounded() -> None:
    flat = bias_field((64, 64), np.zeros(2), 0.0, 0.0)
    np.testing.assert_array_equal(flat, 1)
    field = bias_field((64, 64), np.array([0.3, -0.2]), 0.3, 1.0)
    assert 0.4 < field.min() < 1 < field.max() < 1.6
    assert np.abs(np.diff(field, axis=0)).max() < 0.03


def test_window_maps_black_to_0_and_white_to_255() -> None:
    image = np.array([[-1.0, 1.0, 2.0, 3.0, 9.0]], np.float32)
    np.testing.assert_array_equal(to_display(image, 1.0, 3.0, 1.0), [[0, 0, 128, 255, 255]])


def test_a_series_shares_one_window() -> None:
    generator = np.random.default_rng(0)
    exposure = Exposure(np.zeros(2), 0.0, 0.0, 1e-6, 100.0, 0.0, 1.0)
    signals = np.stack([np.full((32, 32), v, np.float32) for v in (0.25, 0.5)])
    dim, bright = acquire(signals, exposure, 0.0, generator)
    assert dim.dtype == np.uint8
    assert dim.mean() == pytest.approx(127.5, abs=1)
    assert bright.mean() == pytest.approx(255, abs=1)

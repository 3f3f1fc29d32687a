"""The look of a slice: what is no brain stands out, however many brains there are."""

import numpy as np
from scipy.spatial.distance import mahalanobis

from brainssl.evaluation.appearance import appearance, oddness, whitening


def heads(n: int, seed: int) -> np.ndarray:
    """Bright ellipses with a darker middle and some noise, on black."""
    generator = np.random.default_rng(seed)
    rows, columns = (np.mgrid[:32, :32] + 0.5) / 32 - 0.5
    found = []
    for _ in range(n):
        wide, high, level = (*generator.uniform(0.3, 0.42, 2), generator.uniform(90, 160))
        radius = np.hypot(rows / high, columns / wide)
        pixels = np.where(radius < 1, level, 0) + np.where(radius < 0.3, -40, 0)
        pixels = pixels + (radius < 1) * generator.normal(0, 8, (32, 32))
        found.append(np.clip(pixels, 0, 255).astype(np.uint8))
    return np.stack(found)


def test_noise_negatives_blanks_and_other_shapes_are_odd() -> None:
    known = whitening(appearance(heads(200, 0)))
    usual = np.sort(oddness(appearance(heads(200, 1)), known))[-4]
    rows, columns = np.mgrid[:32, :32] / 32 - 0.5
    limbs = np.hypot(rows, np.abs(columns) - 0.25) < 0.15
    odd = np.stack(
        [
            np.random.default_rng(2).integers(0, 256, (32, 32)).astype(np.uint8),
            255 - heads(1, 3)[0],
            np.zeros((32, 32), np.uint8),
            (limbs * 140).astype(np.uint8),
        ]
    )
    assert (oddness(appearance(odd), known) > 1.5 * usual).all()


def test_it_is_a_mahalanobis_distance() -> None:
    seen = appearance(heads(300, 0)).astype(np.float64)
    covariance = np.cov(seen.T)
    inverse = np.linalg.inv(covariance + 0.01 * np.trace(covariance) / 20 * np.eye(20))
    expected = [mahalanobis(one, seen.mean(axis=0), inverse) for one in seen[:9]]
    found = oddness(seen[:9].astype(np.float32), whitening(seen.astype(np.float32)))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_images_that_are_all_the_same_leave_finite_distances() -> None:
    same = appearance(np.repeat(heads(1, 0), 5, axis=0))
    known = whitening(same)
    assert np.isfinite(oddness(appearance(heads(3, 1)), known)).all()
    assert oddness(same, known).max() < oddness(appearance(heads(3, 1)), known).min()

"""Made-up heads, each of its own outline and folds, and their fingerprints."""

import numpy as np
from scipy.ndimage import gaussian_filter

from brainssl.data.duplicates import fingerprint


def head_of(patient: int, size: int = 96) -> np.ndarray:
    """A made-up head in air: an outline and folds of its own, half of them alike left and right."""
    generator = np.random.default_rng(patient)
    even, odd = gaussian_filter(generator.standard_normal((2, size, size)), (0, 2.2, 2.2))
    folds = even + even[:, ::-1] + odd
    y, x = np.mgrid[:size, :size] / size - 0.5
    long, broad = generator.uniform(0.28, 0.34), generator.uniform(0.22, 0.27)
    angle, phase = np.arctan2(y, x), generator.uniform(0, 2 * np.pi, 3)
    outline = 1 + 0.06 * sum(np.cos(n * angle + phase[n - 2]) for n in (2, 3, 4))
    inside = np.hypot(y / long, x / broad) < outline
    picture = np.where(inside, 0.5 + 0.2 * folds / folds.std(), 0.02)
    return np.clip(gaussian_filter(picture, 0.7), 0, 1).astype(np.float32)


def prints_of(pictures: list[np.ndarray]) -> np.ndarray:
    return np.stack([fingerprint(np.ascontiguousarray(p, np.float32)) for p in pictures])

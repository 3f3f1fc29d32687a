"""Every way to divide a handful of groups into three parts, judged by plain formulae."""

import itertools

import numpy as np


def absent_cells(filled: np.ndarray) -> np.ndarray:
    """Count, for (..., parts, classes), the pairs of part and class without an image."""
    return (filled == 0).sum(axis=(-2, -1))


def all_fillings(counts: np.ndarray, parts: int = 3) -> np.ndarray:
    """Return the class counts of each part for all parts ** groups assignments."""
    ways = np.array(list(itertools.product(range(parts), repeat=len(counts))))
    return np.stack([(ways == part).astype(float) @ counts for part in range(parts)], axis=1)


def chi_square(filled: np.ndarray, aim: np.ndarray) -> np.ndarray:
    """Squared miss relative to the aim, where an aim below one image counts as one."""
    return ((filled - aim) ** 2 / np.maximum(aim, 1)).sum(axis=(-2, -1))

"""Affine maps as products of 3 x 3 matrices, and bilinear resampling by SciPy."""

import numpy as np
from scipy.ndimage import map_coordinates


def compose(
    *,
    crop: tuple[float, float, float, float] = (1, 1, 0, 0),
    shift: tuple[float, float] = (0, 0),
    rotation: float = 0,
    zoom: float = 1,
    flip: bool = False,
) -> np.ndarray:
    """Return crop @ shift @ rotate @ zoom @ flip, acting on (x, y, 1) in [-1, 1].

    `crop` is (width, height, centre x, centre y); `rotation` in radians; `zoom` divides.
    """
    width, height, x, y = crop
    c, s = np.cos(rotation), np.sin(rotation)
    return (
        np.array([[width, 0, x], [0, height, y], [0, 0, 1]])
        @ np.array([[1, 0, shift[0]], [0, 1, shift[1]], [0, 0, 1]])
        @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        @ np.diag([1 / zoom, 1 / zoom, 1])
        @ np.diag([-1 if flip else 1, 1, 1])
    )


def resample(image: np.ndarray, matrix: np.ndarray, size: int, fill: str) -> np.ndarray:
    """Resample (h, w) once, bilinearly; -1 and 1 are the outer edges of the outer pixels."""
    centre = (2 * np.arange(size) + 1) / size - 1
    y, x = np.meshgrid(centre, centre, indexing="ij")
    points = matrix[:2] @ np.stack([x.ravel(), y.ravel(), np.ones(size * size)])
    height, width = image.shape
    columns = ((points[0] + 1) * width - 1) / 2
    rows = ((points[1] + 1) * height - 1) / 2
    mode = {"border": "nearest", "zeros": "grid-constant"}[fill]
    sampled = map_coordinates(image.astype(np.float64), [rows, columns], order=1, mode=mode)
    return sampled.reshape(size, size)

"""Volumes read at once against SciPy, which reads them one by one."""

import numpy as np
import pytest
from scipy import ndimage

from brainssl.simulation.volume import Grid, at_once


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(7, 9, 11), (1, 2, 5)])
@pytest.mark.parametrize("count", [1, 20_000])
def test_volumes_are_read_as_by_scipy(shape: tuple[int, int, int], order: str, count: int) -> None:
    generator = np.random.default_rng(0)
    origin = generator.normal(size=3).astype(np.float32)
    volumes = [np.asarray(generator.normal(size=shape), np.float32, order=order) for _ in range(3)]
    # Inside, outside and exactly on voxels and borders.
    points = generator.normal(0, 15, (3, count)).astype(np.float32)
    points[:, ::3] = origin[:, None] + 2.5 * np.rint(points[:, ::3] / 2.5)
    got = at_once([Grid(volume, origin, 2.5) for volume in volumes], points)
    voxels = (points - origin[:, None]) / np.float32(2.5)
    for volume, values in zip(volumes, got, strict=True):
        expected = ndimage.map_coordinates(volume, voxels, np.float32, order=1, mode="nearest")
        np.testing.assert_array_equal(values, expected)
        np.testing.assert_array_equal(Grid(volume, origin, 2.5).at(points), expected)


def test_a_periodic_volume_repeats() -> None:
    grid = Grid(np.arange(8, dtype=np.float32).reshape(2, 2, 2), np.zeros(3, np.float32), 1.0, True)
    points = np.array([[0, 2, -2, 1], [0, 4, 0, 1], [1, 1, -1, 3]], np.float32)
    np.testing.assert_array_equal(grid.at(points), [1, 1, 1, 7])


@pytest.mark.parametrize("change", [{"spacing": 2.0}, {"periodic": True}, {"shape": (3, 4, 6)}])
def test_volumes_of_other_geometry_are_refused(change: dict[str, object]) -> None:
    def grid(
        shape: tuple[int, ...] = (3, 4, 5), spacing: float = 1.0, periodic: bool = False
    ) -> Grid:
        return Grid(np.zeros(shape, np.float32), np.zeros(3, np.float32), spacing, periodic)

    points = np.zeros((3, 2), np.float32)
    with pytest.raises(ValueError, match="geometry"):
        at_once([grid(), grid(**change)], points)
    with pytest.raises(ValueError, match="periodic"):
        at_once([grid(periodic=True)] * 2, points)

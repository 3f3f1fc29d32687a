"""Resampling to a plane, against values known at each place in the patient."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.nifti_volumes import ramp
from scipy.spatial.transform import Rotation

from brainssl.data.volumes.hanging import hung, plane_of
from brainssl.data.volumes.planes import resampled
from brainssl.data.volumes.volume import Volume
from brainssl.foundation.errors import BadUseError, BrainsslError

PLANES = ("axial", "coronal", "sagittal")


def places(volume: Volume) -> np.ndarray:
    """mm of each voxel, LPS: slices, rows, columns, 3."""
    assert volume.affine is not None
    indices = np.stack(np.indices(volume.samples.shape)[::-1], -1)
    return indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]


def linear(shape: tuple[int, int, int], affine: np.ndarray) -> Volume:
    """A volume whose value is linear in mm: trilinear interpolation is exact on it."""
    empty = Volume(np.zeros(shape, np.float32), affine, None, 16, (), ())
    return replace(empty, samples=of_place(places(empty)).astype(np.float32))


def of_place(mm: np.ndarray) -> np.ndarray:
    return mm @ (0.5, -0.25, 2.0) + 40


def tilted(spacing: tuple[float, float, float], degrees: float) -> np.ndarray:
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", (degrees, degrees / 2, -degrees), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag(spacing)
    affine[:3, 3] = (-20, 5, 9)
    return affine


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("degrees", [0, 20])
@pytest.mark.parametrize("spacing", [None, 0.7])
def test_values_stay_where_they_are(plane: str, degrees: float, spacing: float | None) -> None:
    volume = linear((9, 14, 12), tilted((1.0, 1.2, 3.0), degrees))
    new = resampled(volume, plane, spacing)
    assert plane_of(new) == plane
    assert new.spacing == pytest.approx([spacing or 1.0] * 3)
    # Half a voxel at the border repeats the last value: look where all neighbours are.
    assert volume.affine is not None
    inverse = np.linalg.inv(volume.affine)
    own = places(new) @ inverse[:3, :3].T + inverse[:3, 3]
    inside = ((own >= 0) & (own <= np.array(volume.samples.shape[::-1]) - 1)).all(-1)
    assert inside.mean() > 0.2
    np.testing.assert_allclose(new.samples[inside], of_place(places(new))[inside], atol=2e-3)
    within = ((own > -0.49) & (own < np.array(volume.samples.shape[::-1]) - 0.51)).all(-1)
    if new.padding is not None:
        assert not new.padding[inside].any()
        outside = ((own < -0.8) | (own > np.array(volume.samples.shape[::-1]) - 0.2)).any(-1)
        assert new.padding[outside].all()
        assert not np.array_equal(within, np.zeros_like(within))


def test_of_the_same_grid_nothing_changes() -> None:
    samples = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
    volume = Volume(samples, np.diag([-1.0, 1, -1, 1]), None, 16, (), ())
    new = resampled(volume, "axial")
    np.testing.assert_allclose(new.samples, hung(volume).samples, atol=1e-5)
    assert new.padding is None
    np.testing.assert_allclose(new.affine, hung(volume).affine, atol=1e-6)


def test_the_result_hangs_already() -> None:
    volume = linear((4, 5, 6), tilted((1, 1, 2), 10))
    for plane in PLANES:
        new = resampled(volume, plane)
        np.testing.assert_array_equal(hung(new).samples, new.samples)


def test_shrinking_does_not_alias() -> None:
    samples = np.zeros((16, 16, 16), np.float32)
    samples[..., ::2] = 1  # a pattern finer than the new grid
    new = resampled(Volume(samples, np.eye(4), None, 16, (), ()), "axial", 4.0)
    assert new.samples.shape == (4, 4, 4)
    assert np.abs(new.samples - 0.5).max() < 0.1


def test_what_was_not_measured_darkens_nothing() -> None:
    samples = np.full((8, 8, 8), 100, np.float32)
    padding = np.zeros(samples.shape, bool)
    padding[:, :, :4], samples[:, :, :4], samples[0, 0, 7] = True, 0, 99
    volume = Volume(samples, np.eye(4), padding, 16, (), ())
    for spacing in (0.5, 2.0):
        new = resampled(volume, "axial", spacing)
        assert new.padding is not None
        assert 0.4 < new.padding.mean() < 0.6
        assert new.samples[~new.padding].min() > 98.9


def test_what_cannot_be_is_told() -> None:
    volume = Volume(ramp(dtype="float32"), None, None, 16, (), ())
    with pytest.raises(BrainsslError, match="nothing says how a volume lies"):
        resampled(volume, "axial")
    placed = replace(volume, affine=np.eye(4))
    with pytest.raises(BrainsslError, match="too many voxels once it is resampled"):
        resampled(placed, "axial", 1e-3)
    with pytest.raises(BadUseError, match="name millimetres above 0"):
        resampled(placed, "axial", 0)
    with pytest.raises(BadUseError, match="choose one of axial, coronal, sagittal"):
        resampled(placed, "oblique")  # type: ignore[arg-type]

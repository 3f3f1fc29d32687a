"""Volumes get square pixels: by one rule, in the same way for stores and predictions."""

from pathlib import Path

import numpy as np
import pytest
from oracles.heads import SHAPE, ball, head, save

from brainssl.data.letterbox import letterbox
from brainssl.data.volumes.choice import ALL
from brainssl.data.volumes.origin import look_at_volume
from brainssl.data.volumes.slices import open_volume
from brainssl.data.volumes.square import NOT_SQUARE, SQUARED, is_square, squared
from brainssl.data.volumes.volume import Volume, VolumeRef
from brainssl.foundation.errors import BrainsslError
from brainssl.inference.volumes import Cut, cut

MOST = 10**6


def made(
    values: np.ndarray, spacing: tuple[float, float, float], padding: np.ndarray | None = None
) -> Volume:
    """A volume turned by half a radian about its slices' normal."""
    turn = np.array([[np.cos(0.5), -np.sin(0.5), 0], [np.sin(0.5), np.cos(0.5), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing[::-1]
    affine[:3, 3] = 7, -3, 11
    return Volume(values.astype(np.float32), affine, padding, 16, (), ())


def places(volume: Volume) -> np.ndarray:
    """Where each voxel lies, in mm."""
    assert volume.affine is not None
    slices, rows, columns = np.indices(volume.samples.shape)
    at = np.stack([columns, rows, slices, np.ones_like(rows)], -1)
    return np.asarray((at @ volume.affine.T)[..., :3])


@pytest.mark.parametrize("spacing", [(5, 2.0, 0.8), (5, 0.7, 1.9), (1, 3, 2)])
def test_what_rises_evenly_in_the_patient_still_does(spacing: tuple[float, float, float]) -> None:
    """A ramp in mm is resampled to itself, so values and their places fit; the ends are held."""
    volume = made(np.zeros((3, 11, 9)), spacing)
    ramp = np.array([0.3, -0.2, 0.1])
    volume = made(places(volume) @ ramp, spacing)
    found = squared(volume, max_voxels=MOST)
    assert is_square(found.pixel_spacing)
    assert not is_square(volume.pixel_spacing)
    fine = min(spacing[1:])
    assert found.spacing == pytest.approx((spacing[0], fine, fine))
    inside = (slice(None), slice(3, -3), slice(3, -3))
    assert found.samples[inside] == pytest.approx((places(found) @ ramp)[inside], abs=1e-4)
    middles = [places(one).reshape(-1, 3).mean(0) for one in (volume, found)]
    assert middles[0] == pytest.approx(middles[1])
    extent = [one.samples.shape[1] * one.spacing[1] for one in (volume, found) if one.spacing]
    assert abs(extent[0] - extent[1]) <= fine / 2 + 1e-9
    assert found.flags == (SQUARED,)


def test_what_was_not_measured_has_no_weight() -> None:
    values = np.full((1, 4, 8), 100.0)
    padding = np.zeros(values.shape, bool)
    padding[:, :2], values[:, :2] = True, -5
    found = squared(made(values, (1, 2, 1), padding=padding), max_voxels=MOST)
    assert found.padding is not None
    assert found.padding[0, :, 0].tolist() == [True] * 4 + [False] * 4
    assert set(found.samples[~found.padding]) == {100}
    assert set(found.samples[found.padding]) == {-5}


def test_too_much_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match="too many pixels once they are square"):
        squared(made(np.zeros((2, 8, 8)), (1, 1e6, 1)), max_voxels=MOST)
    file = save(tmp_path / "odd.nii", head(1), (6, 5, 2.5))
    with pytest.raises(BrainsslError, match=r"^odd: has too many pixels"):
        open_volume(VolumeRef("nifti", (file,), "odd"), max_voxels=head(1).size)


def test_stores_and_predictions_see_the_same_square_pixels(tmp_path: Path) -> None:
    """A head that is twice as coarse from row to row comes out as tall as the one that is not."""
    whole = head(1, lesion=True)
    thin, marked = whole[:, ::2], ball().astype(np.uint8)[:, ::2]
    spacing = (12.0, 10.0, 5.0)
    ref = VolumeRef("nifti", (save(tmp_path / "a.nii.gz", thin, spacing),), "a")
    mask = VolumeRef("nifti", (save(tmp_path / "m.nii.gz", marked, spacing),), "m")
    seen = look_at_volume((ref, mask), choice=ALL, plane="native", reader=3)
    assert not isinstance(seen, Exception)
    assert seen.spacing == pytest.approx((5, 5))
    told = cut(ref, slices=ALL, plane="native", reader=3, size=32)
    assert isinstance(told, Cut)
    shown = list(seen.origin.images())
    assert all(image.shape == SHAPE[1:] for image, _, _ in shown)
    stored = np.stack([letterbox(image, 32) for image, _, _ in shown])
    assert stored.tobytes() == told.pixels.tobytes()
    assert all(SQUARED in flags for flags in told.flags)
    file = save(tmp_path / "w.nii.gz", whole, (12.0, 5.0, 5.0))
    truth = open_volume(VolumeRef("nifti", (file,), "w"))
    opened = open_volume(ref, mask=mask)
    middle = SHAPE[0] // 2
    error = np.abs(opened.slice(middle).pixels - truth.slice(middle).pixels)
    assert np.median(error) < 0.05
    assert opened.lesion is not None
    overlap = (opened.lesion & ball()).sum() / (opened.lesion | ball()).sum()
    assert overlap > 0.7


def test_the_version_before_leaves_them_as_they_are(tmp_path: Path) -> None:
    thin = head(1)[:, ::2]
    ref = VolumeRef("nifti", (save(tmp_path / "a.nii.gz", thin, (12.0, 10.0, 5.0)),), "a")
    opened = open_volume(ref, reader=2)
    assert (opened.volume.samples == thin).all()
    assert NOT_SQUARE in opened.volume.flags
    same = save(tmp_path / "b.nii.gz", head(1), (12.0, 5.2, 5.0))
    slices = [open_volume(VolumeRef("nifti", (same,), "b"), reader=one).slice(9) for one in (2, 3)]
    assert slices[0].pixels.tobytes() == slices[1].pixels.tobytes()
    assert slices[0].provenance == slices[1].provenance

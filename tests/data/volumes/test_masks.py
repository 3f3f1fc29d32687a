"""Masks on the grid of their image, whatever axes their own headers would choose."""

from pathlib import Path

import numpy as np
import pytest
from oracles.cheng_files import write_cheng
from oracles.nifti_volumes import placed, ramp, write_nifti

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.hanging import hung
from brainssl.data.volumes.masks import mask_volume, read_mask
from brainssl.data.volumes.matlab import read_matlab
from brainssl.data.volumes.nifti import read_nifti
from brainssl.data.volumes.volume import VolumeRef

CUBE = (5, 5, 5)


@pytest.mark.parametrize("dim_info", [1 << 4, 2 << 4, 3 << 4])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_mask_is_read_along_the_axes_of_its_image(
    tmp_path: Path, dim_info: int, mirrored: bool
) -> None:
    affine = placed((1, 1, 1))
    image = read_nifti(write_nifti(tmp_path / "t1.nii", ramp(CUBE), affine, dim_info=dim_info))
    data = ramp(CUBE)
    drawn = (data > 90) & (data < 101)
    own = affine.copy()
    if mirrored:  # the same places, stored the other way round
        drawn = drawn[::-1]
        own[:3, 3] += 4 * own[:3, 0]
        own[:3, 0] *= -1
    ref = write_nifti(tmp_path / "seg.nii", drawn.astype(np.uint8) * 4, own)
    mask = read_mask(ref, image)
    np.testing.assert_array_equal(mask, (image.samples > 90) & (image.samples < 101))
    turned = hung(mask_volume(mask, image)).samples > 0
    np.testing.assert_array_equal(turned, (hung(image).samples > 90) & (hung(image).samples < 101))


@pytest.mark.parametrize(("shape", "shift"), [((5, 5, 6), 0.0), (CUBE, 0.2), (CUBE, 3.0)])
def test_a_mask_elsewhere_is_refused(tmp_path: Path, shape: tuple[int, ...], shift: float) -> None:
    affine = placed((1, 1, 1))
    image = read_nifti(write_nifti(tmp_path / "t1.nii", ramp(CUBE), affine))
    affine[0, 3] += shift
    ref = write_nifti(tmp_path / "seg.nii", np.ones(shape, np.uint8), affine)
    with pytest.raises(UnreadableImage, match=r"seg\.nii: is a mask on another grid"):
        read_mask(ref, image)


def test_a_mask_of_the_figshare_collection(tmp_path: Path) -> None:
    drawn = np.eye(6, 8) > 0
    write_cheng(tmp_path / "1.mat", np.ones((6, 8), np.int16), drawn)
    ref = VolumeRef("matlab", (tmp_path / "1.mat",), "1.mat")
    np.testing.assert_array_equal(read_mask(ref, read_matlab(ref)), drawn[None])

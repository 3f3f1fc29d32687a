"""What a header says without a pixel; hostile ones are one line each."""

import gzip
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from oracles.nifti_volumes import ramp, write_nifti

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.nifti_headers import nifti_header


@pytest.mark.parametrize(
    ("data", "fields", "message"),
    [
        (ramp((4, 5, 6, 1, 3)), {}, "holds vectors or matrices in each voxel"),
        (ramp((4, 5, 6, 3)), {"intent_code": 1007}, "holds vectors or matrices"),
        (ramp((7, 1, 1)), {}, "has 7 × 1 × 1 voxels, which make no slice"),
    ],
)
def test_what_is_no_volume_of_intensities_is_refused(
    tmp_path: Path, data: np.ndarray, fields: dict[str, int], message: str
) -> None:
    write_nifti(tmp_path / "v.nii", data, **fields)
    with pytest.raises(UnreadableImage, match=message):
        nifti_header(tmp_path / "v.nii", "v")


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = nib.Nifti1Header()
    header.set_data_shape((30_000, 30_000, 30_000))
    header.set_data_dtype("uint8")
    header["vox_offset"], header["magic"] = 352, b"n+1"
    bomb = gzip.compress(header.binaryblock + b"\0" * 2**20)
    (tmp_path / "v.nii.gz").write_bytes(bomb)
    with pytest.raises(UnreadableImage, match=r"more than 1,073,741,824 bytes"):
        nifti_header(tmp_path / "v.nii.gz", "v")


def test_the_header_alone_is_read(tmp_path: Path) -> None:
    write_nifti(tmp_path / "v.nii.gz")
    content = (tmp_path / "v.nii.gz").read_bytes()
    plain = gzip.decompress(content)[:352]
    (tmp_path / "v.nii.gz").write_bytes(gzip.compress(plain))  # no pixel is there
    header = nifti_header(tmp_path / "v.nii.gz")
    assert header.shape == (6, 5, 4)
    assert header.pixel == pytest.approx((1.0, 0.9))

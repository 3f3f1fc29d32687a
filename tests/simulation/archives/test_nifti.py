"""Volumes as NIfTI files."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from brainssl.simulation.archives.nifti import write_nifti

AFFINE = np.array([[-2.0, 0.1, 0, 90], [0.1, 2.0, 0.3, -80], [0, -0.2, 5.0, -60], [0, 0, 0, 1]])
axes, _, _ = np.linalg.svd(AFFINE[:3, :3])
AFFINE[:3, :3] = axes * (2.0, 2.0, 5.0)


@pytest.mark.parametrize("kind", [np.uint16, np.uint8, bool])
def test_nibabel_reads_what_was_written(kind: type, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(0, 2, (3, 5, 4)).astype(kind)
    write_nifti(tmp_path / "deep" / "a.nii.gz", samples, AFFINE)
    image = nib.load(tmp_path / "deep" / "a.nii.gz")
    assert image.shape == (4, 5, 3)
    assert image.get_data_dtype() == (np.int16 if kind is np.uint16 else np.uint8)
    data = np.asarray(image.dataobj)
    for slice_, row, column in ((0, 0, 0), (2, 4, 1), (1, 3, 3)):
        assert data[column, row, slice_] == samples[slice_, row, column]
    np.testing.assert_allclose(image.get_sform(), AFFINE, atol=1e-5)
    np.testing.assert_allclose(image.get_qform(), AFFINE, atol=1e-4)
    assert image.header.get_xyzt_units() == ("mm", "sec")


def test_bytes_tell_neither_time_nor_name(tmp_path: Path) -> None:
    samples = np.arange(60, dtype=np.uint16).reshape(3, 5, 4)
    files = [tmp_path / name for name in ("a.nii.gz", "b.nii.gz")]
    for file in files:
        write_nifti(file, samples, AFFINE)
    first, second = (file.read_bytes() for file in files)
    assert first == second
    assert first[3] == 0  # flags: no name
    assert first[4:8] == b"\0\0\0\0"  # no time

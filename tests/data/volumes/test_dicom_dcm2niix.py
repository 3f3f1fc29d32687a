"""The same voxels at the same places as dcm2niix, an independent reader."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from oracles.dicom_files import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    TILTED,
    enhanced,
    mosaic,
    pattern,
    positions,
    series,
    write,
)

from brainssl.data.volumes.dicom import read_dicom
from brainssl.data.volumes.volume import VolumeRef


def converted(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Samples as (column, row, slice) and the map from there to LPS."""
    dcm2niix, nibabel = pytest.importorskip("dcm2niix"), pytest.importorskip("nibabel")
    out = folder.parent / "out"
    out.mkdir()
    command = [dcm2niix.bin, "-z", "n", "-b", "n", "-f", "x", "-o", str(out), str(folder)]
    subprocess.run(command, check=True, capture_output=True)
    (file,) = out.glob("*.nii")
    image = nibabel.load(file)
    return np.asarray(image.get_fdata()), np.diag([-1.0, -1.0, 1.0, 1.0]) @ image.affine


def assert_same(paths: list[Path], folder: Path) -> None:
    volume = read_dicom(VolumeRef("dicom", tuple(paths), "v"))
    assert volume.affine is not None
    samples, affine = converted(folder)
    slices, rows, columns = np.indices(volume.samples.shape)
    ours = np.stack([columns, rows, slices, np.ones_like(slices)])
    theirs = np.einsum("ij,j...->i...", np.linalg.inv(affine) @ volume.affine, ours)[:3]
    at = np.rint(theirs).astype(int)
    assert np.abs(theirs - at).max() < 2e-3  # of a voxel
    assert np.allclose(samples[at[0], at[1], at[2]], volume.samples, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, SAGITTAL, *TILTED])
def test_series_of_single_slices(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    folder = tmp_path / "in"
    paths = series(folder, orientation=orientation, SeriesNumber=2)
    assert_same(paths, folder)


def test_rescaled_signed_slices(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    facts = {"RescaleSlope": 1.5, "RescaleIntercept": -100.0, "SeriesNumber": 2}
    assert_same(series(folder, PixelRepresentation=1, **facts), folder)


@pytest.mark.parametrize("orientation", [AXIAL, SAGITTAL, TILTED[1]])
def test_mosaics(tmp_path: Path, orientation: tuple[float, ...]) -> None:
    folder = tmp_path / "in"
    path = write(mosaic(pattern((5, 16, 16)), orientation), folder / "a.dcm")
    assert_same([path], folder)


def test_enhanced_frames_in_no_order_with_one_rescaling_each(tmp_path: Path) -> None:
    # A Philips, for of any other scanner dcm2niix gives all frames the rescaling of the last.
    folder = tmp_path / "in"
    places = positions(AXIAL, 4)
    frames = [
        {"position": places[at], "place": at + 1, "slope": 1.0 + at, "intercept": 2.0 * at}
        for at in (2, 0, 3, 1)
    ]
    dataset = enhanced(
        pattern((4, 12, 16)), frames, SeriesNumber=2, InstanceNumber=1, Manufacturer="Philips"
    )
    assert_same([write(dataset, folder / "a.dcm")], folder)

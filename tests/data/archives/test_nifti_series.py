"""Series by their headers: place of slices, grid, and of several volumes the one that counts."""

from pathlib import Path

import numpy as np
import pytest
from oracles.nifti_volumes import placed, ramp, write_nifti

from brainssl.data.archives.nifti_series import (
    plane_told,
    read_b_values,
    read_headers,
    same_grid,
    series_of,
)
from brainssl.data.volumes.nifti import nifti_header, read_nifti


def test_headers_are_read_and_failures_told(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii")
    (tmp_path / "b.nii").write_bytes(b"no")
    done: list[tuple[int, int]] = []
    found, unreadable = read_headers(
        tmp_path, ["a.nii", "b.nii"], progress=lambda *told: done.append(told), workers=1
    )
    assert set(found) == {"a.nii"}
    assert unreadable == [("b.nii", "is no NIfTI file")]
    assert done == [(1, 2), (2, 2)]


def test_a_series_says_what_its_volume_is(tmp_path: Path) -> None:
    write_nifti(tmp_path / "x" / "a.nii")
    write_nifti(tmp_path / "x" / "seg.nii")
    header = nifti_header(tmp_path / "x" / "a.nii")
    series = series_of(tmp_path, "x/a.nii", header, mask="x/seg.nii")
    assert (series.name, series.shape, series.patient) == ("x/a", (6, 5, 4), None)
    assert series.pixel == pytest.approx((1, 0.9))
    assert series.plane.value == "axial"
    assert read_nifti(series.volume).samples.shape == series.shape
    assert series.mask is not None
    assert series.mask.files == (tmp_path / "x" / "seg.nii",)


@pytest.mark.parametrize(
    ("b_values", "volume"),
    [
        ([0, 1000, 1000, 2000], 1),
        ([0, 500, 1000, 0], 2),
        ([0, 0, 3000, 2000], 3),
        ([0, 5, 0, 0], None),
        ([0, 1000], None),
        ([], None),
    ],
)
def test_of_diffusion_the_volume_of_a_clinic_stands(
    tmp_path: Path, b_values: list[float], volume: int | None
) -> None:
    write_nifti(tmp_path / "dwi.nii", ramp((4, 5, 6, 4)))
    header = nifti_header(tmp_path / "dwi.nii")
    series = series_of(tmp_path, "dwi.nii", header, b_values=b_values)
    assert series.volume.volume == volume
    assert series.exclusion == (None if volume is not None else "several volumes")


def test_b_values(tmp_path: Path) -> None:
    file = tmp_path / "x.bval"
    file.write_text("0 1000\t5\n")
    assert read_b_values(file) == [0, 1000, 5]
    file.write_text("zero")
    assert read_b_values(file) == []


def test_the_plane_is_told_with_its_angle(tmp_path: Path) -> None:
    affine = placed((1, 1, 5))[:, [2, 0, 1, 3]]  # slices along the first axis, still axial
    write_nifti(tmp_path / "a.nii", affine=affine)
    told = plane_told(nifti_header(tmp_path / "a.nii"))
    assert (told.value, told.confidence) == ("axial", 0.99)
    assert told.evidence == ("orientation: 0 degrees from axial",)


@pytest.mark.parametrize(
    ("shape", "shift", "dim_info", "same"),
    [
        ((5, 5, 5), 0.0, 0, True),
        ((5, 5, 5), 0.0, 1 << 4, True),  # another axis of slices, the same voxels
        ((5, 5, 5), 0.05, 0, True),
        ((5, 5, 5), 0.15, 0, False),
        ((5, 5, 6), 0.0, 0, False),
    ],
)
def test_the_same_grid(
    tmp_path: Path, shape: tuple[int, ...], shift: float, dim_info: int, same: bool
) -> None:
    affine = placed((1, 1, 1))
    write_nifti(tmp_path / "a.nii", np.zeros((5, 5, 5), np.uint8), affine)
    affine[1, 3] += shift
    write_nifti(tmp_path / "b.nii", np.zeros(shape, np.uint8), affine, dim_info=dim_info)
    a, b = (nifti_header(tmp_path / name) for name in ("a.nii", "b.nii"))
    assert same_grid(a, b) is same

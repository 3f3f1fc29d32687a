"""Which axis becomes slices and where voxels lie, against nibabel's affine."""

import struct
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.nifti_volumes import patched, placed, ramp, write_nifti
from scipy.spatial.transform import Rotation

from brainssl.data.volumes.nifti import nifti_header, read_nifti

# Bytes in a NIfTI-1 header; sform_code and quatern_b follow the second.
PIXDIM, QFORM_CODE, SROW_X = 76, 252, 280


def signed(order: tuple[int, ...], signs: tuple[int, ...], spacing: list[float]) -> np.ndarray:
    """One of the 48 ways in which axes can lie, with spacings along them."""
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * np.array(signs) * spacing
    affine[:3, 3] = (12.5, -30.0, 4.0)
    return affine


@settings(max_examples=60)
@given(
    order=st.permutations(range(3)),
    signs=st.tuples(*[st.sampled_from((1, -1))] * 3),
    wide=st.sampled_from((None, 0, 1, 2)),
    tilt=st.tuples(*[st.floats(-15, 15)] * 3),
)
def test_each_voxel_stays_where_it_is(
    order: list[int], signs: tuple[int, ...], wide: int | None, tilt: tuple[float, ...]
) -> None:
    spacing = [1.0, 1.1, 0.95]
    if wide is not None:
        spacing[wide] = 4.0
    affine = signed(tuple(order), signs, spacing)
    affine[:3, :3] = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix() @ affine[:3, :3]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.nii"
        volume = read_nifti(write_nifti(path, ramp((4, 5, 6)), affine))
        stored = nib.load(path)
        world = stored.affine
        values = np.asarray(stored.dataobj)
    assert volume.affine is not None
    for value in (0, 17, 63, 119):
        at = np.argwhere(values == value)[0]
        right, front, up = (world @ [*at, 1])[:3]
        slice_, row, column = np.argwhere(volume.samples == value)[0]
        place = volume.affine @ [column, row, slice_, 1]
        np.testing.assert_allclose(place[:3], (-right, -front, up), atol=1e-4)
    # Of a tilt so small the axis nearest to foot to head is the one that was so without it.
    upwards = order.index(2) if wide is None else wide
    assert volume.samples.shape[0] == (4, 5, 6)[upwards]


@pytest.mark.parametrize(
    ("spacing", "dim_info", "slices", "why"),
    [
        ((1, 1, 1), 0, 6, "nearest to foot to head"),
        ((5, 1, 1), 0, 4, "largest spacing"),
        ((1, 1.2, 1), 0, 5, "largest spacing"),
        ((1, 1.19, 1), 0, 6, "nearest to foot to head"),
        ((1, 3, 3), 0, 6, "nearest to foot to head"),
        ((1, 1, 1), 2 << 4, 5, "dim_info"),
        ((5, 1, 1), 1 << 4, 4, "dim_info"),
    ],
)
def test_the_axis_of_the_slices(
    tmp_path: Path, spacing: tuple[float, ...], dim_info: int, slices: int, why: str
) -> None:
    write_nifti(tmp_path / "v.nii", affine=placed(spacing), dim_info=dim_info)
    header = nifti_header(tmp_path / "v.nii")
    assert header.shape[0] == slices
    assert any(why in step for step in header.provenance)
    assert "slice axis doubtful" not in header.flags


def test_a_header_at_odds_with_itself_is_flagged(tmp_path: Path) -> None:
    write_nifti(tmp_path / "v.nii", affine=placed((5, 1, 1)), dim_info=3 << 4)
    header = nifti_header(tmp_path / "v.nii")
    assert header.shape == (6, 5, 4)
    assert "slice axis doubtful" in header.flags


def both(path: Path, sform: np.ndarray, qform: np.ndarray, codes: tuple[int, int]) -> None:
    image = nib.Nifti1Image(ramp(), None)
    image.header.set_zooms((1, 1, 5))
    image.set_qform(qform, codes[1])
    image.set_sform(sform, codes[0])
    nib.save(image, path)


@pytest.mark.parametrize(
    ("codes", "taken"), [((1, 1), "sform"), ((2, 0), "sform"), ((0, 1), "qform")]
)
def test_sform_stands_before_qform(tmp_path: Path, codes: tuple[int, int], taken: str) -> None:
    sform, qform = placed((1, 1, 5)), placed((1, 1, 5))
    sform[0, :] *= -1
    both(tmp_path / "v.nii", sform, qform, codes)
    header = nifti_header(tmp_path / "v.nii")
    assert header.affine is not None
    assert np.sign(header.affine[0, 0]) == (1 if taken == "sform" else -1)
    np.testing.assert_allclose(
        header.affine[0, 0] * -1, nib.load(tmp_path / "v.nii").affine[0, 0], rtol=1e-6
    )
    assert any(step.startswith(f"{taken} taken (code ") for step in header.provenance)
    assert ("sform and qform differ" in header.flags) is (codes == (1, 1))


def test_a_shift_alone_is_no_difference(tmp_path: Path) -> None:
    sform, qform = placed((1, 1, 5)), placed((1, 1, 5))
    sform[:3, 3] += 40
    both(tmp_path / "v.nii", sform, qform, (1, 1))
    assert "sform and qform differ" not in nifti_header(tmp_path / "v.nii").flags


def test_without_either_nothing_is_known(tmp_path: Path) -> None:
    both(tmp_path / "v.nii", np.eye(4), placed((1, 1, 5)), (0, 0))
    header = nifti_header(tmp_path / "v.nii")
    assert header.affine is None
    assert "orientation unknown" in header.flags
    assert header.shape == (6, 5, 4)
    assert header.pixel == pytest.approx((1, 1))


@pytest.mark.parametrize(
    ("sizes", "unit", "expected"),
    [
        ((0.9, 0.8, 5), 0, (0.8, 0.9)),
        ((0.0009, 0.0008, 0.005), 1, (0.8, 0.9)),
        ((1, 1, 1), 2, None),  # so it is written by who does not know
        ((0, 0, 0), 2, None),
    ],
)
def test_pixels_have_a_size_without_a_place(
    tmp_path: Path,
    sizes: tuple[float, float, float],
    unit: int,
    expected: tuple[float, float] | None,
) -> None:
    file = tmp_path / "v.nii"
    write_nifti(file, affine=placed((1, 1, 5)), xyzt_units=unit)
    patched(file, QFORM_CODE, bytes(4))
    patched(file, PIXDIM + 4, struct.pack("<3f", *sizes))
    header = nifti_header(file)
    assert header.affine is None
    assert header.pixel == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize("row", [[0, 0, 0, 0], [np.nan, 0, 0, 0]])
def test_a_damaged_sform_is_not_taken(tmp_path: Path, row: list[float]) -> None:
    write_nifti(tmp_path / "v.nii")
    patched(tmp_path / "v.nii", QFORM_CODE, struct.pack("<hh", 0, 1))
    patched(tmp_path / "v.nii", SROW_X, struct.pack("<4f", *row))
    header = nifti_header(tmp_path / "v.nii")
    assert header.affine is None
    assert {"damaged orientation", "orientation unknown"} <= set(header.flags)


@pytest.mark.parametrize("quaternion", [np.nan, 5.0])
def test_a_damaged_qform_is_not_taken(tmp_path: Path, quaternion: float) -> None:
    write_nifti(tmp_path / "v.nii")
    patched(tmp_path / "v.nii", QFORM_CODE, struct.pack("<hhf", 1, 0, quaternion))
    header = nifti_header(tmp_path / "v.nii")
    assert header.affine is None
    assert "damaged orientation" in header.flags


@pytest.mark.parametrize(
    ("unit", "size", "expected"),
    [("meter", 0.001, 1.0), ("micron", 1000.0, 1.0), ("meter", 1.0, 1.0), ("mm", 1.0, 1.0)],
)
def test_other_units_become_millimetres(
    tmp_path: Path, unit: str, size: float, expected: float
) -> None:
    code = {"meter": 1, "mm": 2, "micron": 3}[unit]
    write_nifti(tmp_path / "v.nii", affine=placed((size, size, size)), xyzt_units=code)
    assert nifti_header(tmp_path / "v.nii").pixel == pytest.approx([expected] * 2)


@pytest.mark.parametrize(("degrees", "oblique"), [(0, False), (17, False), (24, False), (27, True)])
def test_oblique_is_more_than_a_tilted_head(tmp_path: Path, degrees: float, oblique: bool) -> None:
    affine = placed((1, 1, 5))
    turn = Rotation.from_euler("x", degrees, degrees=True).as_matrix()
    affine[:3, :3] = turn @ affine[:3, :3]
    write_nifti(tmp_path / "v.nii", affine=affine)
    assert ("oblique" in nifti_header(tmp_path / "v.nii").flags) is oblique

"""Hanging, against nibabel's closest canonical orientation and the places of voxels."""

import itertools
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.nifti_volumes import ramp, write_nifti
from scipy.spatial.transform import Rotation

from brainssl.data.volumes.hanging import hung, plane_of
from brainssl.data.volumes.nifti import read_nifti
from brainssl.data.volumes.volume import Volume

WAYS = [
    (order, signs)
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1, -1), repeat=3)
]


def canonical(image: nib.Nifti1Image, plane: str) -> np.ndarray:
    """What nibabel turned to right, front, head, indexed as hung slices are."""
    ras = np.asarray(nib.as_closest_canonical(image).dataobj)
    if plane == "axial":  # slices to the head, rows to the back, columns to the left
        return ras[::-1, ::-1, :].transpose(2, 1, 0)
    if plane == "coronal":  # slices to the front, rows to the feet, columns to the left
        return ras[::-1, :, ::-1].transpose(1, 2, 0)
    return ras[::-1, ::-1, ::-1].transpose(0, 2, 1)  # to the left, to the feet, to the back


@settings(max_examples=150)
@given(
    way=st.sampled_from(WAYS),
    wide=st.sampled_from((0, 1, 2)),
    tilt=st.tuples(*[st.floats(-14, 14)] * 3),
)
def test_hung_as_nibabel_turns_it(
    way: tuple[tuple[int, ...], tuple[int, ...]], wide: int, tilt: tuple[float, ...]
) -> None:
    order, signs = way
    spacing = np.ones(3)
    spacing[wide] = 4.0
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", tilt, degrees=True).as_matrix()
    affine[:3, :3] = turn @ (np.eye(3)[:, list(order)] * signs * spacing)
    affine[:3, 3] = (3, -8, 20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.nii"
        read = read_nifti(write_nifti(path, ramp((4, 5, 6)), affine))
        image = nib.load(path)
        plane = ("sagittal", "coronal", "axial")[order[wide]]
        expected = canonical(image, plane)
        stored, world = np.asarray(image.dataobj), image.affine
    volume = hung(read)
    assert plane_of(read) == plane_of(volume) == plane
    np.testing.assert_array_equal(volume.samples, expected)
    assert volume.samples.flags.c_contiguous
    assert volume.affine is not None
    for value in (0, 58, 119):
        right, front, up = (world @ [*np.argwhere(stored == value)[0], 1])[:3]
        slice_, row, column = np.argwhere(volume.samples == value)[0]
        place = volume.affine @ [column, row, slice_, 1]
        np.testing.assert_allclose(place[:3], (-right, -front, up), atol=1e-4)
    np.testing.assert_array_equal(hung(volume).samples, volume.samples)


def volume_of(affine: np.ndarray | None) -> Volume:
    samples = ramp((3, 4, 5), "float32")
    padding = samples > 30
    return Volume(samples, affine, padding, 16, ("decoded",), ())


def test_padding_turns_with_the_values() -> None:
    affine = np.diag([-1.0, -1, -2, 1])
    volume = hung(volume_of(affine))
    assert volume.padding is not None
    np.testing.assert_array_equal(volume.padding, volume.samples > 30)
    assert volume.samples[0, 0, 0] == 59
    assert volume.provenance == (
        "decoded",
        "hung as axial: columns reversed, rows reversed, slices reversed",
    )


@pytest.mark.parametrize(
    "affine", [None, np.diag([1.0, 0, 1, 1]), np.diag([np.nan, 1, 1, 1]), np.ones((4, 4))]
)
def test_without_an_orientation_nothing_is_turned(affine: np.ndarray | None) -> None:
    volume = volume_of(affine)
    assert plane_of(volume) == "unknown"
    assert hung(volume).samples is volume.samples
    assert hung(hung(volume)).flags == ("orientation unknown",)


def test_a_head_hangs_as_radiologists_see_it() -> None:
    # Marks at the patient's right, front and head, in a volume whose axes all run the other way.
    affine = np.diag([1.0, 1, 3, 1])  # left, back, head
    samples = np.zeros((7, 9, 11), np.float32)
    samples[3, 4, 0], samples[3, 0, 5], samples[6, 4, 5] = 1, 2, 3
    turned = Volume(samples[::-1, ::-1, ::-1], affine @ np.array(
        [[-1, 0, 0, 10], [0, -1, 0, 8], [0, 0, -1, 6], [0, 0, 0, 1.0]]
    ), None, 8, (), ())  # fmt: skip
    seen = hung(turned).samples
    assert seen[3, 4, 0] == 1  # the patient's right is on the left
    assert seen[3, 0, 5] == 2  # the front is up
    assert seen[6, 4, 5] == 3  # the head comes last

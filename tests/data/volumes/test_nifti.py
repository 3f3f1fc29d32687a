"""Reading NIfTI, against nibabel's own reading; hostile files are one line each."""

import gzip
import struct
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from oracles.nifti_volumes import patched, placed, ramp, write_nifti

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.nifti import nifti_header, read_nifti
from brainssl.data.volumes.volume import VolumeRef

SLOPE, VOX_OFFSET = 112, 108  # bytes in a NIfTI-1 header


def as_nibabel(path: Path) -> np.ndarray:
    """Slices along the third axis, columns along the first."""
    return np.asarray(nib.load(path).get_fdata()).transpose(2, 1, 0)


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz", "v.img", "V.NII.GZ"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "int16", "uint16", "int32", "uint32", "int64", "float32", "float64"]
)
def test_values_are_those_of_nibabel(tmp_path: Path, name: str, dtype: str) -> None:
    image = nib.Nifti1Image(ramp(dtype=dtype), placed(), dtype=dtype)
    nib.save(image, tmp_path / name.lower())
    (tmp_path / name.lower()).rename(tmp_path / name)
    volume = read_nifti(VolumeRef("nifti", (tmp_path / name,), name))
    expected = np.arange(120).reshape(4, 5, 6).transpose(2, 1, 0)
    np.testing.assert_array_equal(volume.samples, expected)
    assert volume.samples.dtype == np.float32
    assert volume.samples.flags.c_contiguous
    assert volume.source_bits == 8 * np.dtype(dtype).itemsize
    assert volume.padding is None
    assert volume.spacing == pytest.approx((5.0, 1.0, 0.9))


def test_of_a_pair_either_file_will_do(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(ramp(), placed()), tmp_path / "v.hdr")
    one, other = (
        read_nifti(VolumeRef("nifti", (tmp_path / name,), name)) for name in ("v.hdr", "v.img")
    )
    np.testing.assert_array_equal(one.samples, other.samples)
    (tmp_path / "v.img").unlink()
    with pytest.raises(UnreadableImage, match=r"v\.hdr: is half of a pair: put its \.img"):
        read_nifti(VolumeRef("nifti", (tmp_path / "v.hdr",), "v.hdr"))


@pytest.mark.parametrize("order", ["<", ">"])
def test_second_version_and_either_byte_order(tmp_path: Path, order: str) -> None:
    header = nib.Nifti2Header(endianness=order)
    header.set_data_dtype("int16")
    image = nib.Nifti2Image(ramp(), placed(), header)
    nib.save(image, tmp_path / "v.nii")
    volume = read_nifti(VolumeRef("nifti", (tmp_path / "v.nii",), "v"))
    np.testing.assert_array_equal(volume.samples, as_nibabel(tmp_path / "v.nii"))


@pytest.mark.parametrize(("slope", "intercept"), [(2.5, -1000.0), (1e-3, 0.0), (-1.0, 7.0)])
def test_values_are_scaled(tmp_path: Path, slope: float, intercept: float) -> None:
    ref = write_nifti(tmp_path / "v.nii")
    patched(tmp_path / "v.nii", SLOPE, struct.pack("<ff", slope, intercept))
    volume = read_nifti(ref)
    expected = as_nibabel(tmp_path / "v.nii")
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(volume.samples, expected, rtol=1e-6)
    assert any("scaled by" in step for step in volume.provenance)


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_a_slope_that_is_none_scales_nothing(tmp_path: Path, slope: float) -> None:
    ref = write_nifti(tmp_path / "v.nii")
    patched(tmp_path / "v.nii", SLOPE, struct.pack("<ff", slope, 5.0))
    np.testing.assert_array_equal(read_nifti(ref).samples, ramp().transpose(2, 1, 0))


def test_what_is_no_number_is_padding(tmp_path: Path) -> None:
    data = ramp(dtype="float64") - 50
    data[0, 0, 0], data[1, 2, 3], data[3, 4, 5] = np.nan, -np.inf, 1e300
    volume = read_nifti(write_nifti(tmp_path / "v.nii.gz", data))
    assert volume.padding is not None
    at = [(int(s), int(r), int(c)) for s, r, c in np.argwhere(volume.padding)]
    assert at == [(0, 0, 0), (3, 2, 1), (5, 4, 3)]
    assert "not finite" in volume.flags
    assert np.isfinite(volume.samples).all()
    assert volume.samples[0, 0, 0] == -49  # the smallest that is a number
    assert volume.samples[0, 0, 1] == data[1, 0, 0]


def test_nothing_but_nan_is_refused(tmp_path: Path) -> None:
    ref = write_nifti(tmp_path / "v.nii", np.full((4, 5, 6), np.nan))
    with pytest.raises(UnreadableImage, match="holds no finite value"):
        read_nifti(ref)


def test_of_complex_values_it_is_the_magnitude(tmp_path: Path) -> None:
    data = (ramp(dtype="float32") * np.exp(1j)).astype(np.complex64)
    volume = read_nifti(write_nifti(tmp_path / "v.nii", data))
    np.testing.assert_allclose(volume.samples, ramp().transpose(2, 1, 0), rtol=1e-5)
    assert "complex" in volume.flags
    assert volume.source_bits == 32


@pytest.mark.parametrize("grey", [True, False])
def test_colours_become_grey(tmp_path: Path, grey: bool) -> None:
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    data = np.zeros((4, 5, 6), kind)
    for channel in "RGB":
        data[channel] = ramp(dtype="uint8")
    if not grey:
        data["G"][1, 1, 1] = 200
    volume = read_nifti(write_nifti(tmp_path / "v.nii", data))
    expected = ramp(dtype="float64")
    if not grey:
        expected[1, 1, 1] = 0.413 * expected[1, 1, 1] + 0.587 * 200
    np.testing.assert_allclose(volume.samples, expected.transpose(2, 1, 0), rtol=1e-5)
    assert ("coloured annotation" in volume.flags) is not grey
    assert volume.source_bits == 8


def test_of_several_volumes_one_is_read(tmp_path: Path) -> None:
    data = ramp((4, 5, 6, 3))
    for name in ("v.nii", "v.nii.gz"):
        ref = write_nifti(tmp_path / name, data)
        assert nifti_header(tmp_path / name).volumes == 3
        for number in range(3):
            volume = read_nifti(replace(ref, volume=number))
            np.testing.assert_array_equal(volume.samples, data[..., number].transpose(2, 1, 0))
            assert f"volume {number + 1} of 3" in volume.provenance
        with pytest.raises(UnreadableImage, match="holds 3 volumes; name one of them"):
            read_nifti(ref)
        with pytest.raises(UnreadableImage, match="holds 3 volumes; there is no number 4"):
            read_nifti(replace(ref, volume=3))


def test_dimensions_of_one_are_none(tmp_path: Path) -> None:
    ref = write_nifti(tmp_path / "v.nii", ramp((4, 5, 6, 1, 1)))
    assert read_nifti(ref).samples.shape == (6, 5, 4)


def test_a_single_slice_is_one(tmp_path: Path) -> None:
    flat = read_nifti(write_nifti(tmp_path / "flat.nii", ramp((4, 5))))
    assert flat.samples.shape == (1, 5, 4)
    side = read_nifti(write_nifti(tmp_path / "side.nii", ramp((1, 5, 6)), placed((1, 1, 1))))
    np.testing.assert_array_equal(side.samples[0], ramp((5, 6)).T)


def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 2**15, (20, 20, 20), np.int16)


@pytest.mark.parametrize("kept", [0.02, 0.5, 0.999])
@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_a_truncated_file_is_refused(tmp_path: Path, name: str, kept: float) -> None:
    ref = write_nifti(tmp_path / name, noise())
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(UnreadableImage, match=rf"^{name}: is (truncated; fetch it anew|damaged)"):
        read_nifti(ref)


def test_a_checksum_that_is_wrong_is_heard(tmp_path: Path) -> None:
    ref = write_nifti(tmp_path / "v.nii.gz", noise())
    content = bytearray((tmp_path / "v.nii.gz").read_bytes())
    content[-8] ^= 1
    (tmp_path / "v.nii.gz").write_bytes(bytes(content))
    with pytest.raises(UnreadableImage, match="is damaged"):
        read_nifti(ref)


def test_of_a_file_of_several_volumes_all_must_be_there(tmp_path: Path) -> None:
    ref = replace(write_nifti(tmp_path / "v.nii", ramp((4, 5, 6, 3))), volume=0)
    content = (tmp_path / "v.nii").read_bytes()
    (tmp_path / "v.nii").write_bytes(content[:-10])
    with pytest.raises(UnreadableImage, match="is truncated"):
        read_nifti(ref)


@pytest.mark.parametrize("packed", [True, False])
def test_more_pixels_than_the_header_says_are_refused(tmp_path: Path, packed: bool) -> None:
    ref = write_nifti(tmp_path / "v.nii")
    content = (tmp_path / "v.nii").read_bytes()
    pack = gzip.compress if packed else bytes
    (tmp_path / "v.nii").write_bytes(pack(content + b"\0" * 40))  # a slice
    with pytest.raises(UnreadableImage, match="holds more pixels than its header says"):
        read_nifti(ref)
    (tmp_path / "v.nii").write_bytes(pack(content + b"\0" * 39))
    assert "39 bytes after the pixels were not read" in read_nifti(ref).provenance


def test_what_unpacks_to_more_than_it_declares_is_not_read_to_its_end(tmp_path: Path) -> None:
    ref = write_nifti(tmp_path / "v.nii")
    content = (tmp_path / "v.nii").read_bytes()
    with gzip.open(tmp_path / "v.nii", "wb", compresslevel=1) as packed:
        packed.write(content)
        for _ in range(64):
            packed.write(bytes(2**20))
    with pytest.raises(UnreadableImage, match="holds more pixels"):
        read_nifti(ref)


@pytest.mark.parametrize("offset", [-1.0, 3.0, 1e30, np.nan])
def test_an_offset_that_cannot_be_is_refused(tmp_path: Path, offset: float) -> None:
    ref = write_nifti(tmp_path / "v.nii")
    patched(tmp_path / "v.nii", VOX_OFFSET, struct.pack("<f", offset))
    with pytest.raises(UnreadableImage):
        read_nifti(ref)


def test_random_bytes_in_the_header_never_escape(tmp_path: Path) -> None:
    ref = write_nifti(tmp_path / "v.nii")
    content = (tmp_path / "v.nii").read_bytes()
    generator = np.random.default_rng(1)
    told = []
    for _ in range(300):
        broken = bytearray(content)
        for place in generator.integers(4, 344, 3):
            broken[place] = generator.integers(256)
        (tmp_path / "v.nii").write_bytes(bytes(broken))
        try:
            assert np.isfinite(read_nifti(ref).samples).all()
        except UnreadableImage as error:
            told.append(str(error))
    assert len(told) > 10
    assert all(line.startswith("v.nii: ") and "\n" not in line for line in told)

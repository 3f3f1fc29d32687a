"""Slices of the figshare collection, as MATLAB shows them; hostile files are one line each."""

import gzip
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
from oracles.cheng_files import write_cheng

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.matlab import matlab_header, read_matlab, read_matlab_mask
from brainssl.data.volumes.volume import VolumeRef

IMAGE = np.arange(35, dtype=np.int16).reshape(5, 7) * 100
MASK = IMAGE > 2000


def ref(folder: Path) -> VolumeRef:
    return VolumeRef("matlab", (folder / "1.mat",), "1.mat")


def test_rows_and_columns_are_those_of_matlab(tmp_path: Path) -> None:
    write_cheng(tmp_path / "1.mat", IMAGE, MASK)
    volume = read_matlab(ref(tmp_path))
    np.testing.assert_array_equal(volume.samples, IMAGE[None])
    assert volume.samples.dtype == np.float32
    assert volume.affine is None
    assert volume.source_bits == 16
    np.testing.assert_array_equal(read_matlab_mask(ref(tmp_path)).samples, MASK[None])


@pytest.mark.parametrize(
    ("label", "expected"),
    [(1, "meningioma"), (2, "glioma"), (3, "pituitary tumour"), (4, None), (np.nan, None)],
)
def test_what_a_file_says(tmp_path: Path, label: float, expected: str | None) -> None:
    write_cheng(tmp_path / "1.mat", IMAGE, MASK, label=label, patient="MR017260B")
    header = matlab_header(tmp_path / "1.mat")
    assert (header.shape, header.label, header.patient, header.mask) == (
        (5, 7),
        expected,
        "MR017260B",
        True,
    )


@pytest.mark.parametrize("patient", ["../../etc", "A B", "x" * 65, "é"])
def test_what_can_be_no_pseudonym_is_none(tmp_path: Path, patient: str) -> None:
    write_cheng(tmp_path / "1.mat", IMAGE, patient=patient)
    assert matlab_header(tmp_path / "1.mat").patient is None
    assert not matlab_header(tmp_path / "1.mat").mask


def test_an_older_file_is_refused_with_the_mend(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "1.mat", {"cjdata": {"image": IMAGE}})
    with pytest.raises(UnreadableImage, match=r"^1\.mat: is of an older .* save\(…, '-v7\.3'\)$"):
        read_matlab(ref(tmp_path))


def test_a_link_out_of_the_file_is_not_followed(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["image"] = IMAGE
    for link in (
        h5py.ExternalLink(str(tmp_path / "secret.h5"), "/image"),
        h5py.SoftLink("/elsewhere"),
    ):
        write_cheng(tmp_path / "1.mat", IMAGE, image=link)
        with pytest.raises(UnreadableImage, match="has an object image of a kind that is not read"):
            read_matlab(ref(tmp_path))


def test_pixels_outside_of_the_file_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(70))
    write_cheng(tmp_path / "1.mat", IMAGE)
    with h5py.File(tmp_path / "1.mat", "r+") as file:
        del file["cjdata/image"]
        outside = [(str(tmp_path / "secret"), 0, 70)]
        file["cjdata"].create_dataset("image", (7, 5), "int16", external=outside)
    with pytest.raises(UnreadableImage, match="has an object image of a kind that is not read"):
        read_matlab(ref(tmp_path))
    with h5py.File(tmp_path / "1.mat", "r+") as file:
        del file["cjdata/image"]
        layout = h5py.VirtualLayout((7, 5), "int16")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret"), "image", (7, 5))
        file["cjdata"].create_virtual_dataset("image", layout)
    with pytest.raises(UnreadableImage, match="has an object image of a kind that is not read"):
        read_matlab(ref(tmp_path))


def test_what_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    write_cheng(tmp_path / "1.mat", IMAGE)
    for shape, chunks in (((10_000, 10_000), (10, 10)), ((4, 4, 4), (4, 4, 4)), ((0, 4), None)):
        with h5py.File(tmp_path / "1.mat", "r+") as file:
            del file["cjdata/image"]
            file["cjdata"].create_dataset("image", shape, "int16", chunks=chunks)
        with pytest.raises(UnreadableImage, match="which is no slice"):
            read_matlab(ref(tmp_path))


def test_what_is_no_file_of_the_collection(tmp_path: Path) -> None:
    (tmp_path / "1.mat").write_bytes(b"MATLAB 7.3" + bytes(600))
    with pytest.raises(UnreadableImage, match=r"is no MATLAB 7\.3 file"):
        read_matlab(ref(tmp_path))
    with h5py.File(tmp_path / "1.mat", "w") as file:
        file["other"] = 1
    with pytest.raises(UnreadableImage, match="holds no cjdata"):
        read_matlab(ref(tmp_path))
    write_cheng(tmp_path / "1.mat", IMAGE, image=np.array([[b"text"]]))
    with pytest.raises(UnreadableImage, match="of a kind that is not read"):
        read_matlab(ref(tmp_path))
    write_cheng(tmp_path / "1.mat", np.full((4, 4), np.nan))
    with pytest.raises(UnreadableImage, match="holds values that are no numbers"):
        read_matlab(ref(tmp_path))


def test_a_packed_file_is_refused_though_it_be_cut_short(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(range(256)) * 8)
    for length in (12, 20, len(packed)):
        (tmp_path / "a.mat").write_bytes(packed[:length])
        with pytest.raises(UnreadableImage, match="is no MATLAB"):
            matlab_header(tmp_path / "a.mat")


def test_broken_bytes_never_escape(tmp_path: Path) -> None:
    write_cheng(tmp_path / "1.mat", IMAGE, MASK)
    content = (tmp_path / "1.mat").read_bytes()
    generator, told = np.random.default_rng(0), []
    for number in range(60):
        broken = bytearray(content[: len(content) // 2] if number % 3 == 0 else content)
        for place in generator.integers(512, len(broken), 20):
            broken[place] = generator.integers(256)
        (tmp_path / "1.mat").write_bytes(bytes(broken))
        try:
            read_matlab(ref(tmp_path))
        except UnreadableImage as error:
            told.append(str(error))
    assert len(told) > 20
    assert all(line.startswith("1.mat: ") and "\n" not in line for line in told)

"""Files are opened safely, whatever they are."""

import gzip
import os
import struct
from pathlib import Path

import pytest

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.nifti_bytes import count_rest, exactly, opened, skip
from brainssl.data.volumes.nifti_headers import nifti_header


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"hello" * 200, "is no NIfTI file"),
        (struct.pack("<i", 348) + bytes(344), "older Analyze format"),
        (struct.pack("<i", 348) + bytes(20), "is truncated"),
        (b"/annex/objects/MD5E-s12--0.nii.gz\n", "datalad get"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (b"\x1f\x8b" + bytes(400), "is damaged or no NIfTI"),
    ],
)
def test_what_is_no_nifti_is_told_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.nii.gz").write_bytes(content)
    with pytest.raises(UnreadableImage, match=message) as caught:
        nifti_header(tmp_path / "v.nii.gz", "named so")
    assert str(caught.value).startswith("named so: ")
    assert "\n" not in str(caught.value)


def test_a_pipe_does_not_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.nii")
    with pytest.raises(UnreadableImage, match="is not a regular file"):
        nifti_header(tmp_path / "v.nii", "v")


@pytest.mark.parametrize("packed", [False, True])
def test_parts_of_a_file(tmp_path: Path, packed: bool) -> None:
    content = bytes(range(200))
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    with opened(tmp_path / "x", "x") as (handle, told):
        assert told is packed
        skip(handle, 50, packed=packed)
        assert exactly(handle, 10) == content[50:60]
        assert count_rest(handle, 1000) == 140
    with opened(tmp_path / "x", "x") as (handle, _):
        assert count_rest(handle, 20) == 21  # more than was allowed, and no further
    with opened(tmp_path / "x", "x") as (handle, _), pytest.raises(EOFError):
        exactly(handle, 201)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"^x: cannot be opened \(No such file"):
        nifti_header(tmp_path / "none.nii", "x")

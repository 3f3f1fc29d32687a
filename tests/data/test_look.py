"""What a scan keeps of images, and how much memory that takes."""

import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from brainssl.data.look import Fingerprints, Seen
from brainssl.data.on_disk import OnDisk

COUNT, BYTES = 1000, 2 * 32 * 32 * 2


def test_fingerprints_are_gathered_in_order_and_none_stays_in_memory(tmp_path: Path) -> None:
    tracemalloc.start()
    gathered = Fingerprints(tmp_path)
    for number in range(COUNT):
        print_of = np.full((2, 32, 32), number, np.float16)
        left = gathered.taken_from(Seen(20, 30, 8, "", f"{number}", "", print_of))
        assert (left.width, left.file_digest, left.fingerprint.size) == (20, f"{number}", 0)
    whole = gathered.together()
    total = int(whole[:, 1, 5, 7].astype(np.int64).sum())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (whole.shape, whole.dtype) == ((COUNT, 2, 32, 32), np.float16)
    assert total == sum(range(COUNT))
    assert peak < 0.1 * COUNT * BYTES
    assert not list(tmp_path.iterdir()), "a kill leaves nothing"


def test_arrays_on_disk_are_as_they_came_from_any_one_on(tmp_path: Path) -> None:
    arrays = np.random.default_rng(0).integers(0, 99, (7, 3, 5), dtype=np.uint8)
    held = OnDisk((3, 5), np.uint8, tmp_path)
    assert held.together().shape == (0, 3, 5)
    for number, array in enumerate(arrays):
        early = held.together(number // 2)
        held.append(array.T.copy().T)  # whatever its order in memory
        np.testing.assert_array_equal(early, arrays[number // 2 : number])
        np.testing.assert_array_equal(held.together(number), array[None])
    np.testing.assert_array_equal(held.together(2), arrays[2:], strict=True)
    with pytest.raises(ValueError, match="read-only"):
        held.together()[0] = 1
    with pytest.raises(ValueError, match="uint8"):
        held.append(arrays[0].astype(np.int64))
    assert len(held) == 7


def test_a_full_disk_is_told_with_its_folder_and_once(tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does, in the middle of an array."""
    told = subprocess.run(
        [sys.executable, "-c", _FILL, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert told.stdout.split() == [str(tmp_path), "2"]
    assert told.stderr == ""


_FILL = """
import resource, sys
from pathlib import Path
import numpy as np
from brainssl.data.on_disk import OnDisk
resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500))
held = OnDisk((1000,), np.uint8, Path(sys.argv[1]))
try:
    while True:
        held.append(np.zeros(1000, np.uint8))
except OSError as error:
    print(error.filename, len(held))
"""

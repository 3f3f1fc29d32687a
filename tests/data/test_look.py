"""What a scan keeps of images, and how much memory that takes."""

import tracemalloc

import numpy as np

from brainssl.data.look import Fingerprints, Seen

COUNT, BYTES = 1000, 2 * 32 * 32 * 2


def test_fingerprints_are_gathered_in_order_and_none_is_held_twice() -> None:
    tracemalloc.start()
    gathered = Fingerprints()
    for number in range(COUNT):
        print_of = np.full((2, 32, 32), number, np.float16)
        left = gathered.taken_from(Seen(20, 30, 8, "", f"{number}", "", print_of))
        assert (left.width, left.file_digest, left.fingerprint.size) == (20, f"{number}", 0)
        del print_of
    whole = gathered.together()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (whole.shape, whole.dtype) == ((COUNT, 2, 32, 32), np.float16)
    np.testing.assert_array_equal(whole[:, 1, 5, 7], np.arange(COUNT))
    assert peak > COUNT * BYTES, "what is measured"
    assert peak < 1.5 * COUNT * BYTES

"""All sixteen bits of colours, as libpng reads them, without importing what takes gigabytes."""

import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from oracles.odd_pictures import chunk, head, passes, png
from torchvision.io import ImageReadMode, decode_png

from brainssl.data.deep_png import sixteen_bits

KINDS = {3: 2, 2: 4, 4: 6}  # of colour, by the number of channels
SAMPLES = st.tuples(st.integers(1, 11), st.integers(1, 11), st.sampled_from([2, 3, 4])).flatmap(
    lambda shape: arrays(np.uint16, shape)
)


def filtered(samples: np.ndarray, first: int) -> bytes:
    """Rows with the five filters of the standard in turn, byte by byte as it states them."""
    beside, rows = samples.shape[2] * 2, bytearray()
    above = bytes(samples.shape[1] * beside)
    for number, row in enumerate(samples.astype(">u2")):
        own, kind = row.tobytes(), (first + number) % 5
        rows.append(kind)
        for at, value in enumerate(own):
            left, corner = (own[at - beside], above[at - beside]) if at >= beside else (0, 0)
            up = above[at]
            estimate = left + up - corner
            nearest = min((left, up, corner), key=lambda one: abs(estimate - one))
            rows.append((value - (0, left, up, (left + up) // 2, nearest)[kind]) % 256)
        above = own
    return bytes(rows)


def made(samples: np.ndarray, first: int = 0, *, laced: bool = False) -> bytes:
    height, width, channels = samples.shape
    parts = passes(samples) if laced else [samples]
    packed = zlib.compress(b"".join(filtered(part, first) for part in parts if part.size))
    halves = (chunk(b"IDAT", half) for half in (packed[:40], packed[40:]))
    return png(head(width, height, 16, KINDS[channels], laced), *halves)


def by_libpng(data: bytes) -> np.ndarray:
    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return np.moveaxis(decode_png(encoded, ImageReadMode.UNCHANGED).numpy(), 0, -1)


@given(SAMPLES, st.integers(0, 4), st.booleans())
def test_samples_come_out_as_they_went_in(samples: np.ndarray, first: int, laced: bool) -> None:
    data = made(samples, first, laced=laced)
    found = sixteen_bits(data)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, samples)
    np.testing.assert_array_equal(found, by_libpng(data))


def test_what_ends_too_early_is_no_picture() -> None:
    whole = made(np.arange(4 * 60 * 60, dtype=np.uint16).reshape(60, 60, 4))
    at = whole.index(b"IDAT", whole.index(b"IDAT") + 4) - 4
    with pytest.raises(ValueError, match="not enough image data"):
        sixteen_bits(whole[:at])


def test_reading_one_imports_no_torch() -> None:
    """A process that decodes for strangers may take little memory."""
    data = made(np.arange(6 * 8 * 3, dtype=np.uint16).reshape(6, 8, 3) * 400)
    script = (
        "import sys; from brainssl.data.read import read_bytes; "
        "read_bytes(sys.stdin.buffer.read(), 'a.png'); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], input=data, check=True)

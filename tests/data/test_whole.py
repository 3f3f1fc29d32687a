"""A picture whose pixels end early is refused: no decoder's black or grey rows pass for pixels."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from oracles.pictures import chunk, encoded, noise
from PIL import Image, ImageFile

from brainssl.data.read import UnreadableImage, read_bytes
from brainssl.data.scan import scan
from brainssl.data.whole import ends_early

SHARES = [tenth / 10 for tenth in range(1, 10)]
HEIGHT, WIDTH = 24, 40
SAVED = {
    "PNG": {},
    "JPEG": {"quality": 90},
    "TIFF": {},
    "BMP": {},
    "GIF": {},
    "WEBP": {"lossless": True},
}
KINDS = [(depth, channels, woven) for depth in (8, 16) for channels in (1, 3) for woven in (0, 1)]


def scan_lines(pixels: np.ndarray, woven: int) -> bytes:
    """Return what a PNG packs, each row of a pass behind its filter (Adam7 where it is woven)."""
    passes = [(0, 0, 1, 1)]
    if woven:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    parts = [pixels[y::down, x::across] for y, x, down, across in passes]
    return b"".join(b"\0" + row.tobytes() for part in parts if part.size for row in part)


def png_of(kind: tuple[int, int, int], share: float = 1.0) -> bytes:
    """Return a PNG that is whole but for its pixels: of those, so many rows are packed."""
    depth, channels, woven = kind
    shape = (HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH)
    levels = np.random.default_rng(1).integers(0, 2**depth, shape)
    rows = scan_lines(levels.astype(f">u{depth // 8}"), woven)
    kept = rows if share == 1 else rows[: int(HEIGHT * share) * (1 + WIDTH * channels * depth // 8)]
    packed = zlib.compress(kept)
    colour = 2 if channels == 3 else 0
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, woven)
    halves = (packed[: len(packed) // 2], packed[len(packed) // 2 :])
    body = b"".join(chunk(b"IDAT", half) for half in halves)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        read_bytes(data, "a.x")
    assert "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("kind", SAVED)
def test_a_file_that_is_cut_anywhere_is_refused(kind: str) -> None:
    whole = encoded(noise(3, HEIGHT, WIDTH), kind, **SAVED[kind])
    read_bytes(whole, "a.x")
    for share in SHARES:
        assert refusal(whole[: int(len(whole) * share)])
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.parametrize("kind", KINDS)
def test_a_png_whose_rows_end_early_is_refused(kind: tuple[int, int, int]) -> None:
    assert read_bytes(png_of(kind), "a.x").pixels.shape == (HEIGHT, WIDTH)
    for share in SHARES:
        assert refusal(png_of(kind, share)) == "is truncated: its pixels end early; fetch it anew"


@pytest.mark.parametrize("colours", [2, 4, 16, 256])
@pytest.mark.parametrize("size", [(1, 1), (3, 5), (7, 9), (8, 8), (17, 33)])
def test_every_depth_and_size_counts_as_whole(colours: int, size: tuple[int, int]) -> None:
    levels = np.arange(size[0] * size[1]).reshape(size) % colours
    image = Image.fromarray(levels.astype(np.uint8))
    data = encoded(np.asarray(image))
    assert not ends_early(data, "PNG")
    image.putpalette([0, 9, 8] * 256)
    for depth in (1, 2, 4, 8):
        if 2**depth >= colours:
            held = io.BytesIO()
            image.save(held, "PNG", bits=depth)
            assert held.getvalue()[24] == depth
            assert not ends_early(held.getvalue(), "PNG")


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("colour", [False, True])
def test_a_jpeg_whose_scan_ends_early_is_refused(how: dict[str, object], colour: bool) -> None:
    levels = noise(5, 64, 72)
    pixels = np.stack([levels, levels.T[:64].repeat(2, 1)[:, :72], levels], 2) if colour else levels
    whole = encoded(pixels, "JPEG", quality=90, **how)
    assert not ends_early(whole, "JPEG")
    assert not ends_early(whole + b"\0" * 50, "JPEG")
    for share in SHARES[3:]:
        assert refusal(whole[: int(len(whole) * share)] + b"\xff\xd9").startswith("is truncated: ")


def test_training_reads_none_of_them(tmp_path: Path) -> None:
    for at in range(4):
        folder = tmp_path / "source" / "AB"[at % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"p{at}.png").write_bytes(png_of((8, 1, 0), 0.5 if at == 3 else 1.0))
    found = scan(tmp_path / "source")
    assert len(found.manifest) == 3
    [(path, reason)] = found.unreadable
    assert path == "B/p3.png"
    assert "its pixels end early" in reason

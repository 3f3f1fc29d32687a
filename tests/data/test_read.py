import io
import os
import struct
import tracemalloc
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from oracles.odd_pictures import pictures
from PIL import Image

from brainssl.data.grey import CHANNEL_TOLERANCE
from brainssl.data.normalisation import WINDOW
from brainssl.data.read import FORMATS, UnreadableImage, file_bytes, read_bytes, read_slice

LEVELS = np.arange(256, dtype=np.uint8).reshape(8, 32)

levels_of = partial(read_bytes, reader=1)
"""Version 1 leaves 8 bits as they are in the file, by which one tells what was decoded."""


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG written by hand, so that nothing of Pillow's writer is trusted."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def windowed(samples: np.ndarray) -> np.ndarray:
    """The definition, written independently: percentiles of what lies above the minimum."""
    ordered = np.sort(samples[samples > samples.min()].astype(np.float64))
    positions = np.array([0.005, 0.995]) * (len(ordered) - 1)
    low, high = np.interp(positions, np.arange(len(ordered)), ordered)
    return np.clip((samples - low) / (high - low), 0, 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_eight_bit_grey_is_the_level_over_255(kind: str) -> None:
    read = levels_of(encoded(Image.fromarray(LEVELS), kind), "a")
    np.testing.assert_array_equal(read.pixels, LEVELS.astype(np.float32) / np.float32(255))
    assert read.pixels.dtype == np.float32
    assert read.source_bits == 8
    assert read.flags == ()
    assert read.provenance[0].startswith(f"decoded {kind}")


def test_jpeg_is_close_and_the_same_from_disk_and_memory(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    data = encoded(Image.fromarray(smooth), "JPEG", quality=95)
    (tmp_path / "a.jpg").write_bytes(data)
    from_disk, from_memory = read_slice(tmp_path / "a.jpg", reader=1), levels_of(data, "upload")
    np.testing.assert_array_equal(from_disk.pixels, from_memory.pixels)
    assert np.abs(from_disk.pixels * 255 - smooth).max() <= 4


def test_sixteen_bit_png_keeps_its_contrast() -> None:
    samples = np.linspace(0, 60_000, 32 * 32).astype(np.uint16).reshape(32, 32)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    read = levels_of(png(32, 32, 16, 0, rows), "deep.png")
    np.testing.assert_allclose(read.pixels, windowed(samples), atol=1e-6)
    assert len(np.unique(read.pixels)) > 900, "a clipped image would be white"
    assert read.source_bits == 16
    assert any("percentile" in step for step in read.provenance)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_deep_tiff_is_scaled_by_its_foreground(dtype: type) -> None:
    samples = np.zeros((40, 40), dtype)
    samples[10:30, 10:30] = np.random.default_rng(0).uniform(100, 900, (20, 20)).astype(dtype)
    read = levels_of(encoded(Image.fromarray(samples), "TIFF"), "deep.tif")
    np.testing.assert_allclose(read.pixels, windowed(samples), atol=1e-6)
    assert read.source_bits == np.dtype(dtype).itemsize * 8
    assert (read.pixels[:5] == 0).all()


def test_sixteen_bit_tiff_with_white_as_zero_is_inverted() -> None:
    samples = np.random.default_rng(1).integers(1, 4000, (24, 24)).astype(np.uint16)
    samples[:4] = 4000  # the background of an inverted film
    black = encoded(Image.fromarray((4000 - samples).astype(np.uint16)), "TIFF")
    white = encoded(Image.fromarray(samples), "TIFF", tiffinfo={262: 0})
    np.testing.assert_allclose(
        levels_of(white, "w").pixels, levels_of(black, "b").pixels, atol=1e-6
    )


def test_values_that_are_not_finite_are_background() -> None:
    samples = np.random.default_rng(2).uniform(1, 2, (16, 16)).astype(np.float32)
    samples[0] = [np.nan, np.inf] * 8
    read = read_bytes(encoded(Image.fromarray(samples), "TIFF"), "f.tif")
    assert (read.pixels[0] == 0).all()
    assert np.isfinite(read.pixels).all()
    assert "not finite" in read.flags


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_one_bit(kind: str) -> None:
    mask = np.random.default_rng(3).random((9, 13)) > 0.5
    read = levels_of(encoded(Image.fromarray(mask), kind), "m")
    np.testing.assert_array_equal(read.pixels, mask.astype(np.float32))
    if kind != "BMP":
        assert read.source_bits == 1


def test_four_bit_png_spans_black_to_white() -> None:
    rows = b"\0" + bytes([0x0F, 0x5A])
    read = levels_of(png(4, 1, 4, 0, rows), "g.png")
    np.testing.assert_allclose(read.pixels, np.array([[0, 15, 5, 10]]) / 15, atol=1e-7)
    assert read.source_bits == 4


def test_grey_saved_as_rgb_is_collapsed_exactly() -> None:
    grey = read_bytes(encoded(Image.fromarray(LEVELS)), "a")
    rgb = read_bytes(encoded(Image.fromarray(np.stack([LEVELS] * 3, 2))), "b")
    np.testing.assert_array_equal(rgb.pixels, grey.pixels)
    assert rgb.flags == ()


def test_grey_rgb_jpeg_is_not_called_coloured() -> None:
    noise = np.random.default_rng(4).integers(0, 256, (64, 64), dtype=np.uint8)
    data = encoded(Image.fromarray(np.stack([noise] * 3, 2)), "JPEG", quality=60)
    assert read_bytes(data, "a").flags == ()


def test_coloured_annotation_is_flagged_and_becomes_luminance() -> None:
    rgb = np.full((50, 50, 3), 100, np.uint8)
    rgb[10:14, 10:14] = (255, 0, 0)
    read = levels_of(encoded(Image.fromarray(rgb)), "a")
    assert read.flags == ("coloured annotation",)
    assert read.pixels[11, 11] == pytest.approx(0.299, abs=1e-6)
    assert read.pixels[0, 0] == pytest.approx(100 / 255, abs=1e-6)
    tinted = np.full((50, 50, 3), (120, 60, 10), np.uint8)
    assert "coloured" in levels_of(encoded(Image.fromarray(tinted)), "b").flags


def test_palette_is_looked_up() -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 10, 10, 200, 200, 200, 0, 0, 255])
    image.putdata([0, 1, 1])
    read = levels_of(encoded(image), "p.png")
    np.testing.assert_allclose(read.pixels, np.array([[10, 200, 200]]) / 255, atol=1e-6)
    assert read.flags == ("palette",)


def test_alpha_lies_on_black() -> None:
    grey = np.full((2, 2), 200, np.uint8)
    alpha = np.array([[255, 0], [128, 255]], np.uint8)
    expected = 200 / 255 * alpha / 255
    for planes, mode in ((2, "LA"), (4, "RGBA")):
        stack = np.stack([grey] * (planes - 1) + [alpha], 2)
        read = levels_of(encoded(Image.fromarray(stack)), mode)
        np.testing.assert_allclose(read.pixels, expected, atol=1e-6)
        assert read.flags == ("alpha",)


@pytest.mark.parametrize("kind", [kind for kind in ("WEBP", "GIF", "AVIF") if kind in FORMATS])
def test_pictures_of_the_web_are_read_whatever_they_are_called(kind: str) -> None:
    own = {"WEBP": {"lossless": True}, "AVIF": {"quality": 100}, "GIF": {}}[kind]
    read = levels_of(encoded(Image.fromarray(LEVELS), kind, **own), "slice.jpg")
    np.testing.assert_allclose(read.pixels, LEVELS / np.float32(255), atol=3 / 255)
    assert "suffix differs" in read.flags


def test_an_alpha_channel_that_hides_everything_is_ignored() -> None:
    stack = np.stack([LEVELS, np.zeros_like(LEVELS)], 2)
    read = levels_of(encoded(Image.fromarray(stack)), "a")
    np.testing.assert_array_equal(read.pixels, LEVELS / np.float32(255))
    assert read.flags == ("alpha ignored",)
    assert "alpha channel that hides everything ignored" in read.provenance


def test_opaque_alpha_changes_nothing() -> None:
    stack = np.stack([LEVELS, np.full_like(LEVELS, 255)], 2)
    read = levels_of(encoded(Image.fromarray(stack)), "a")
    np.testing.assert_array_equal(read.pixels, LEVELS / np.float32(255))
    assert read.flags == ()


def test_transparent_level_of_deep_png_is_black() -> None:
    samples = np.array([[100, 200, 300, 65_000]], np.uint16)
    data = encoded(Image.fromarray(samples), transparency=65_000)
    read = read_bytes(data, "t.png")
    assert read.pixels[0, 3] == 0
    assert read.pixels[0, 2] == 1
    assert "alpha" in read.flags


ORIENTED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.T,
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].T,
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_exif_orientation_is_applied_once(kind: str, orientation: int) -> None:
    levels = np.kron(np.array([[0, 80, 160], [240, 120, 40]], np.uint8), np.ones((16, 16)))
    image = Image.fromarray(levels.astype(np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    read = levels_of(encoded(image, kind, exif=exif), "a")
    np.testing.assert_allclose(read.pixels * 255, ORIENTED[orientation](levels), atol=3)
    assert ("exif rotated" in read.flags) == (orientation != 1)


def test_content_decides_and_a_lying_suffix_is_flagged(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(LEVELS), "PNG"))
    read = read_slice(path, reader=1)
    np.testing.assert_array_equal(read.pixels, LEVELS / np.float32(255))
    assert read.flags == ("suffix differs",)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_truncated_files_are_errors(kind: str, share: float) -> None:
    noise = np.random.default_rng(5).integers(0, 256, (64, 64), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), kind)
    with pytest.raises(UnreadableImage, match=r"^a\.x: .*") as caught:
        read_bytes(data[: int(len(data) * share)], "a.x")
    assert caught.value.reason


def test_a_flipped_bit_in_a_png_is_noticed() -> None:
    data = bytearray(encoded(Image.fromarray(LEVELS)))
    data[data.index(b"IDAT") + 12] ^= 1
    with pytest.raises(UnreadableImage):
        read_bytes(bytes(data), "a")


@pytest.mark.parametrize("size", [(30_000, 30_000), (9_000, 9_000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_decoding(
    size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(UnreadableImage, match="pixels"):
        read_bytes(png(*size, 8, 0, b"\0"), "bomb.png")


def test_limits_are_honoured(tmp_path: Path) -> None:
    data = encoded(Image.fromarray(LEVELS))
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(UnreadableImage, match="bytes"):
        read_slice(tmp_path / "a.png", max_bytes=len(data) - 1)
    with pytest.raises(UnreadableImage, match="pixels"):
        read_slice(tmp_path / "a.png", max_pixels=LEVELS.size - 1)
    assert read_slice(tmp_path / "a.png", max_bytes=len(data), max_pixels=LEVELS.size)


def test_a_small_file_costs_little_memory(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert file_bytes(tmp_path / "a") == b"abc"
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_file_that_grows_while_it_is_read_is_whole_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    before = path.stat()
    monkeypatch.setattr("brainssl.data.read.os.fstat", lambda _: before)
    path.write_bytes(bytes(range(100)))
    assert file_bytes(path, max_bytes=100) == bytes(range(100))
    with pytest.raises(UnreadableImage, match="larger than the limit of 99 bytes"):
        file_bytes(path, max_bytes=99)


@pytest.mark.parametrize("kind", ["PPM", "TGA", "ICO"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(
        UnreadableImage, match="not an image in PNG, JPEG, TIFF, BMP, WebP, GIF or AVIF"
    ):
        read_bytes(encoded(Image.fromarray(LEVELS), kind), "a")


def test_missing_empty_folder_and_pipe_are_told(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    os.mkfifo(tmp_path / "pipe.png")
    for name in ("missing.png", "empty.png", "pipe.png", ""):
        with pytest.raises(UnreadableImage, match=str(tmp_path)):
            read_slice(tmp_path / name)


def test_first_page_is_read_and_told() -> None:
    pages = [Image.fromarray(LEVELS), Image.fromarray(LEVELS[::-1].copy())]
    read = levels_of(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:]), "a.tif")
    np.testing.assert_array_equal(read.pixels, LEVELS / np.float32(255))
    assert read.flags == ("several pages",)


def test_blank_image_is_flagged() -> None:
    assert "blank" in read_bytes(encoded(Image.new("L", (4, 4), 7)), "a").flags
    deep = read_bytes(encoded(Image.fromarray(np.full((4, 4), 900, np.uint16))), "b")
    assert "blank" in deep.flags
    assert (deep.pixels == 0).all()


def deep_png(samples: np.ndarray, colour: int) -> bytes:
    """Encode (h, w, channels) of 16 bits."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    return png(samples.shape[1], samples.shape[0], 16, colour, rows)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4), (4, 2)])
@pytest.mark.parametrize("largest", [250, 4095, 65535])
def test_sixteen_bits_in_several_channels_are_read_as_sixteen_bit_grey(
    colour: int, channels: int, largest: int
) -> None:
    grey = np.linspace(0, largest, 48).round().astype(np.uint16).reshape(6, 8)
    stack = np.repeat(grey[..., None], channels, 2)
    if channels in (2, 4):
        stack[..., -1] = 65535
    read = read_bytes(deep_png(stack, colour), "c.png")
    alone = read_bytes(encoded(Image.fromarray(grey)), "g.png")
    np.testing.assert_allclose(read.pixels, alone.pixels, atol=1e-6)
    assert read.source_bits == 16
    assert read.flags == ()


def test_sixteen_bit_colour_is_laid_on_black_and_weighed() -> None:
    generator = np.random.default_rng(0)
    stack = generator.integers(0, 4096, (5, 7, 4)).astype(np.uint16)
    stack[..., 3] = generator.integers(0, 65536, (5, 7))
    read = levels_of(deep_png(stack, 6), "c.png")
    light = stack[..., :3] @ np.array([0.299, 0.587, 0.114]) * stack[..., 3] / 65535
    low, high = np.percentile(light[light > light.min()], WINDOW)
    np.testing.assert_allclose(read.pixels, np.clip((light - low) / (high - low), 0, 1), atol=1e-5)
    assert set(read.flags) == {"coloured", "alpha"}


SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=24)


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint8, SHAPES), st.sampled_from(["PNG", "TIFF", "BMP"]))
def test_any_grey_image_survives_losslessly(levels: np.ndarray, kind: str) -> None:
    read = levels_of(encoded(Image.fromarray(levels), kind), "a")
    np.testing.assert_array_equal(read.pixels, levels.astype(np.float32) / np.float32(255))


@settings(max_examples=60, deadline=None)
@given(arrays(np.uint16, SHAPES), st.integers(0, 3_000), st.sampled_from(["PNG", "TIFF"]))
def test_deep_images_keep_order_range_and_ignore_an_offset(
    samples: np.ndarray, offset: int, kind: str
) -> None:
    samples = samples // 2
    pixels = read_bytes(encoded(Image.fromarray(samples), kind), "a").pixels
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    order = np.argsort(samples, axis=None)
    assert (np.diff(pixels.ravel()[order]) >= 0).all()
    shifted = read_bytes(encoded(Image.fromarray((samples + offset).astype(np.uint16)), kind), "b")
    np.testing.assert_allclose(shifted.pixels, pixels, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_any_float_image_gives_finite_pixels_in_range(samples: np.ndarray) -> None:
    pixels = read_bytes(encoded(Image.fromarray(samples), "TIFF"), "a").pixels
    assert np.isfinite(pixels).all()
    assert pixels.min() >= 0
    assert pixels.max() <= 1


@settings(max_examples=80, deadline=None)
@given(
    arrays(np.uint8, (12, 12, 3)),
    st.integers(0, CHANNEL_TOLERANCE),
)
def test_channels_collapse_only_within_the_tolerance(rgb: np.ndarray, spread: int) -> None:
    near = (rgb[..., :1] // 2 + np.array([0, spread // 2, spread])).astype(np.uint8)
    collapsed = levels_of(encoded(Image.fromarray(near)), "a")
    assert not set(collapsed.flags) & {"coloured", "coloured annotation"}
    np.testing.assert_allclose(collapsed.pixels * 255, near.mean(axis=2), atol=1e-4)


@pytest.mark.filterwarnings("ignore")
@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(["PNG", "JPEG", "TIFF", "BMP"]),
    st.lists(st.tuples(st.integers(0, 2_000), st.integers(0, 255)), min_size=1, max_size=12),
    st.integers(0, 400),
)
def test_damaged_bytes_give_a_slice_or_unreadable_image(
    kind: str, damage: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(encoded(Image.fromarray(LEVELS), kind))
    for position, value in damage:
        data[position % len(data)] = value
    damaged = bytes(data[: len(data) - cut % len(data)])
    outcome = read_or_reason(damaged)
    if isinstance(outcome, str):
        assert outcome.startswith("a: ")
        assert "\n" not in outcome
    else:
        assert outcome.ndim == 2
        assert outcome.min() >= 0
        assert outcome.max() <= 1


def read_or_reason(data: bytes) -> np.ndarray | str:
    try:
        return read_bytes(data, "a").pixels
    except UnreadableImage as error:
        return str(error)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_never_crash(data: bytes) -> None:
    with pytest.raises(UnreadableImage):
        read_bytes(data, "a")


def test_a_tiff_that_cannot_be_decoded_is_still_called_one(tmp_path: Path) -> None:
    """64-bit integers, which Pillow does not know."""
    tags = [(256, 4, 1, 2), (257, 4, 1, 2), (258, 3, 1, 64), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, 2), (279, 4, 1, 32), (339, 3, 1, 2)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    directory = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    data = b"II*\0" + struct.pack("<I", 40) + bytes(32) + directory
    with pytest.raises(UnreadableImage, match="is a TIFF that cannot be decoded"):
        read_bytes(data, "deep.tif")


def test_what_libtiff_writes_is_not_told_beside_our_line(capfd: pytest.CaptureFixture[str]) -> None:
    """A strip that unpacks to less than it should: Pillow's C library says so by itself."""
    [one] = [o for o in pictures() if o.name == "bomb-strip-unpacks-to-64-MiB.tif"]
    with pytest.raises(UnreadableImage, match="is corrupt or truncated"):
        read_bytes(one.data, "a.tif")
    assert capfd.readouterr() == ("", "")
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"

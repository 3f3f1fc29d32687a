"""Burned-in text: found beside a head, and nothing else is taken for it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import gaussian_filter

from brainssl.data.audit import audit
from brainssl.data.lettering import TEXT, lines, shared
from brainssl.data.scan import scan


def head(seed: int, size: int = 160) -> np.ndarray:
    """Return a bright rim around textured tissue in noisy air, in [0, 1]."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[-1.4 : 1.4 : size * 1j, -1.7 : 1.7 : size * 1j]
    far = np.hypot(y, x)
    texture = gaussian_filter(generator.standard_normal((size, size)), 1.5)
    levels = 0.45 + 0.1 * texture / texture.std()
    levels = np.where(far < 1, levels, 0.03 * np.abs(generator.standard_normal((size, size))))
    levels = np.where((far > 0.92) & (far < 1), 0.9, levels)
    # Ears: they stand apart, in a row, and are of one brightness.
    for at, radius in ((-1.15, 0.1), (1.15, 0.1)):
        levels = np.where(np.hypot(y, x - at) < radius, 0.8, levels)
    return np.asarray(gaussian_filter(levels, 0.5).clip(0, 1), np.float32)


def written(
    pixels: np.ndarray, text: str, place: tuple[int, int], *, size: int = 12, level: float = 1.0
) -> np.ndarray:
    image = Image.new("L", pixels.shape[::-1])
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).text(place, text, fill=255, font=font)
    cover = np.asarray(image, np.float32) / np.float32(255)
    return np.asarray(pixels * (1 - cover) + np.float32(level) * cover, np.float32)


@pytest.mark.parametrize("text", ["Ab, Cdefg", "DOE^JANE", "14.03.1962", "ID 4711"])
@pytest.mark.parametrize(("size", "level"), [(9, 1.0), (12, 0.5), (20, 0.8)])
def test_a_line_is_found_where_it_stands(text: str, size: int, level: float) -> None:
    pixels = written(head(0), text, (2, 2), size=size, level=level)
    found = lines(pixels)
    changed = np.abs(pixels - head(0)) > 0.2
    assert changed[found].any()
    rows, columns = np.nonzero(found)
    assert rows.max() < 30
    assert columns.max() <= np.nonzero(changed)[1].max()


@pytest.mark.parametrize("seed", range(5))
def test_a_head_with_ears_is_no_text(seed: int) -> None:
    pixels = head(seed)
    assert not lines(pixels).any()
    assert not lines(pixels[::2, ::2]).any()
    assert not lines(pixels[40:, 30:]).any()  # cut by the border


def test_single_letters_noise_and_blank_pictures_are_no_text() -> None:
    assert not lines(written(head(0), "R", (2, 70))).any()
    noise = np.random.default_rng(0).random((96, 96), np.float32)
    assert not lines(noise).any()
    assert not lines(np.zeros((5, 3), np.float32)).any()
    assert not lines(np.ones((96, 96), np.float32)).any()


def test_ticks_of_a_scale_are_no_text() -> None:
    """Bars of one size on uneven ground, or lone strokes of different lengths."""
    pixels = np.zeros((96, 96), np.float32)
    for at, height in enumerate((4, 8, 16, 8, 4, 8, 16)):
        pixels[90 - height : 90, 5 + 6 * at : 7 + 6 * at] = 1
    assert not lines(pixels).any()


def test_of_a_series_what_most_slices_have_at_one_place_is_text() -> None:
    plain = [lines(head(seed)) for seed in range(4)]
    here = [lines(written(head(seed), f"SLICE {seed}", (2, 2))) for seed in range(4)]
    there = [lines(written(head(seed), "STRAY", (2, 30 * seed))) for seed in range(4)]
    assert shared(here) == [True] * 4
    assert shared([*here[:3], plain[3]]) == [True, True, True, False]
    assert shared([here[0], *plain[1:]]) == [False] * 4
    assert shared(there) == [False] * 4
    assert shared(here[:1]) == [True]  # a secondary capture
    assert shared([]) == []


def test_the_audit_says_which_images_show_text(tmp_path: Path) -> None:
    for seed in range(6):
        folder = tmp_path / "source" / ("A" if seed % 2 else "B")
        folder.mkdir(parents=True, exist_ok=True)
        pixels = head(seed)
        if seed in (1, 4):
            pixels = written(pixels, "DOE, JANE", (2, 2))
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(folder / f"{seed}.png")
    manifest = scan(tmp_path / "source").manifest.set_index("path")
    assert manifest["flags"].to_dict() == {
        f"{name}/{seed}.png": TEXT if seed in (1, 4) else ""
        for name, seeds in (("A", (1, 3, 5)), ("B", (0, 2, 4)))
        for seed in seeds
    }
    report = audit(tmp_path / "source", out=tmp_path / "out")
    expected = {"images": 2, "by_picture": 2, "by_header": 0, "paths": ["A/1.png", "B/4.png"]}
    assert report["text"] == expected
    (finding,) = [one["text"] for one in report["findings"] if "text burned in" in one["text"]]
    assert finding.startswith("2 images seem to have text burned in (2 by the picture), e.g. A/1")
    page = (tmp_path / "out" / "audit.html").read_text("utf-8")
    assert "<h2>Text in pictures</h2>" in page

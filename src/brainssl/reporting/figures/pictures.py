"""Pictures of slices: contact sheets and the strips of a report's sample grid."""

import base64
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import UInt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from brainssl.foundation.depth import shallow
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame

_FONTS = ("DejaVuSans.ttf", "LiberationSans-Regular.ttf", "Arial.ttf", "Arial Unicode.ttf")
_FONT_SIZE = 11
_GAP = 6
_PAPER, _INK = 255, 40


@dataclass(frozen=True)
class Picture:
    """An image inside the page: `data` is a data URI, `alt` says what is to be seen."""

    data: str
    alt: str
    caption: str
    width: int
    height: int


def contact_sheet(
    images: UInt[np.ndarray, "n h w"], captions: Sequence[str], columns: int
) -> Image.Image:
    """Return the images in rows of `columns`, each with its caption below, on white.

    Captions are set small, and wrapped to at most three lines of the image's width.

    Args:
        images: Grey slices.
        captions: One an image, or none at all.
        columns: Images in a row.

    Raises:
        BrainsslError: no image, no column, or captions that do not match the images.
    """
    if len(images) == 0 or columns < 1:
        raise BrainsslError("a contact sheet needs at least one image and one column")
    if captions and len(captions) != len(images):
        raise BrainsslError(f"{len(images)} images came with {len(captions)} captions: give each")
    font, accents = _font()
    height, width = images.shape[1:]
    texts = [_wrap(_writable(text, accents), font, width) for text in captions]
    line = _FONT_SIZE + 3
    below = max((len(lines) for lines in texts), default=0) * line + (4 if captions else 0)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = Image.new(
        "L",
        (columns * (width + _GAP) + _GAP, rows * (height + below + _GAP) + _GAP),
        color=_PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for i, pixels in enumerate(images):
        x = _GAP + i % columns * (width + _GAP)
        y = _GAP + i // columns * (height + below + _GAP)
        sheet.paste(Image.fromarray(np.ascontiguousarray(shallow(pixels))), (x, y))
        for j, text in enumerate(texts[i] if texts else ()):
            draw.text((x, y + height + 3 + j * line), text, fill=_INK, font=font)
    return sheet


def sample_strips(
    images: UInt[np.ndarray, "n h w"],
    manifest: pd.DataFrame,
    classes: Sequence[str],
    *,
    per_class: int = 4,
    side: int = 96,
    budget: int = 1_000_000,
) -> list[Picture]:
    """Return one strip of slices a class, each slice from another group as far as there are any.

    The choice is even over the groups in their order, and the same every time. All strips
    together stay below `budget` bytes: JPEG quality yields first, then the number of slices.
    """
    rows = {
        name: _spread(manifest[manifest["label"] == name], per_class)
        for name in classes
        if (manifest["label"] == name).any()
    }
    for count, quality in ((per_class, 82), (per_class, 60), (max(1, per_class // 2), 50), (1, 40)):
        strips = [
            strip_of(
                np.stack([images[i] for i in chosen[:count]]),
                caption=name,
                alt=f"{len(chosen[:count])} slices of the class {name}",
                side=side,
                quality=quality,
            )
            for name, chosen in rows.items()
        ]
        if sum(len(strip.data) for strip in strips) <= budget:
            break
    return strips if rows else []


def read_images(store: Path) -> tuple[UInt[np.ndarray, "n h w"], pd.DataFrame] | None:
    """Map a store's images and read its manifest; None where there is no store to be read."""
    try:
        images = np.load(store / "images.npy", mmap_mode="r", allow_pickle=False)
        manifest = read_frame(store / "manifest.parquet")
    except (OSError, ValueError):
        return None
    usable = images.ndim == 3 and len(images) == len(manifest) and "label" in manifest
    return (images, manifest) if usable else None


def study_images(folder: Path) -> tuple[UInt[np.ndarray, "n h w"], pd.DataFrame] | None:
    """Return images and manifest of a study's store, or of its balanced one."""
    stores = (read_images(store) for store in sorted(folder.glob("store*")))
    return next((found for found in stores if found), None)


def _spread(manifest: pd.DataFrame, n: int) -> list[int]:
    """Return the places of n rows: first rows of groups, evenly, then whatever is left."""
    places = manifest.index.to_numpy()
    if "group" in manifest:
        first = places[~manifest["group"].duplicated().to_numpy()]
        if len(first) >= n:
            places = first
    chosen = np.linspace(0, len(places) - 1, min(n, len(places))).round().astype(int)
    return [int(places[i]) for i in chosen]


def strip_of(
    images: UInt[np.ndarray, "n h w"], *, caption: str, alt: str, side: int, quality: int = 82
) -> Picture:
    """Return the images side by side, each fitted into `side` pixels, as one JPEG."""
    tiles = [Image.fromarray(np.ascontiguousarray(shallow(image))) for image in images]
    strip = Image.new("L", (len(tiles) * side + (len(tiles) - 1) * 2, side), color=0)
    for i, original in enumerate(tiles):
        tile = ImageOps.contain(original, (side, side), Image.Resampling.LANCZOS)
        corner = (i * (side + 2) + (side - tile.width) // 2, (side - tile.height) // 2)
        strip.paste(tile, corner)
    stream = io.BytesIO()
    strip.save(stream, "JPEG", quality=quality, optimize=True)
    data = "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(data, alt, caption, strip.width, strip.height)


def _font() -> tuple[ImageFont.FreeTypeFont | ImageFont.ImageFont, bool]:
    """Return a small font, and whether it knows more than ASCII."""
    for name in _FONTS:
        try:
            return ImageFont.truetype(name, _FONT_SIZE), True
        except OSError:
            continue
    return ImageFont.load_default(_FONT_SIZE), False


def _writable(text: str, accents: bool) -> str:
    """Return text that the font can set: a font of ASCII gets it without accents."""
    if accents:
        return text
    plain = text.replace("×", "x").replace("–", "-").replace("−", "-").replace("→", ">")
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode("ascii")


def _wrap(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, lines: int = 3
) -> list[str]:
    """Break text into at most `lines` of `width` pixels; what does not fit ends in dots."""
    wrapped = [""]
    for word in text.split():
        joined = f"{wrapped[-1]} {word}".strip()
        if font.getlength(joined) <= width or not wrapped[-1]:
            wrapped[-1] = joined
        else:
            wrapped.append(word)
    cut = len(wrapped) > lines
    return [
        _clip(line, font, width, dots=cut and place == lines - 1)
        for place, line in enumerate(wrapped[:lines])
    ]


def _clip(
    line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, *, dots: bool
) -> str:
    if not dots and font.getlength(line) <= width:
        return line
    while line and font.getlength(f"{line}...") > width:
        line = line[:-1]
    return f"{line}..."

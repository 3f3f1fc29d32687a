"""The maps of a DICOM volume as DICOM: on the grid of its own files, for a hospital's viewer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from brainssl.data.letterbox import Place, out_of_letterbox, place_in_square
from brainssl.data.volumes.dicom_sources import Sources, sources_of
from brainssl.data.volumes.slices import Opened, Plane, open_volume
from brainssl.data.volumes.volume import VolumeRef
from brainssl.explanation.overlay import overlay, scale_text
from brainssl.foundation.extras import require
from brainssl.inference.dicom_identity import refuse_nameless
from brainssl.inference.dicom_objects import (
    NOTICE,
    Frames,
    new_series,
    parametric_map,
    secondary_capture,
)

PARAMETRIC_MAP = "parametric-map.dcm"
"""The file of the raw map of a volume."""

_SIDE = 512  # pixels to which a picture is enlarged at least, by a whole factor, to be read
_LINE = 1 / 24  # of its height that a line of text takes


@dataclass(frozen=True, eq=False)
class SliceMap:
    """What in a slice speaks for a class.

    Attributes:
        number: of the slice as the volume is hung, from 1.
        saliency: of the slice as the classifier sees it, from 0 to 1 in units of the peak.
        peak: largest value of the raw map; 0 without evidence.
    """

    number: int
    saliency: Float32[np.ndarray, "size size"]
    peak: float


def overlay_name(number: int) -> str:
    """Return the name of the file of a slice's picture."""
    return f"overlay-{number:04}.dcm"


def dicom_maps(
    ref: VolumeRef,
    maps: Callable[[Opened], Sequence[SliceMap]],
    *,
    label: str,
    method: str,
    reader: int,
    field_of_view: float | None = None,
    plane: Plane = "native",
    max_voxels: int | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield the DICOM files that show the maps of a volume, and their names.

    First `PARAMETRIC_MAP`, the raw values of all slices; then of each slice its picture,
    `overlay_name`. Each value is that of the map where the pixel of the file lies in what the
    classifier saw: turning, letterboxing and the crop to a field of view are undone. Beyond that
    field, where the classifier saw nothing, it is 0.

    Args:
        ref: of DICOM files.
        maps: of slices of the volume, which it is handed; at least one.
        label: the class whose evidence they are.
        method: by which they were made.
        reader: version of the normalisation.
        field_of_view: side in mm of what the classifier sees of each slice; None: all of it.
        plane: of the slices; one in which they were not acquired is refused.
        max_voxels: a volume with more is refused.

    Raises:
        UnreadableImage: it cannot be read, nothing says where its slices lie, or they lie in no
            file.
        BrainsslError: highdicom is not installed, or an element that is needed is missing.
    """
    require("scans", writing=True)
    sources = sources_of(ref, plane)
    refuse_nameless(sources.headers, ref.name)
    bounds: dict[str, Any] = {} if max_voxels is None else {"max_voxels": max_voxels}
    opened = open_volume(ref, plane=plane, reader=reader, field_of_view=field_of_view, **bounds)
    told = maps(opened)
    shape = sources.as_hung()
    place = _place(opened, sources, len(told[0].saliency))
    raw = [
        sources.as_stored(out_of_letterbox(one.saliency * np.float32(one.peak), *shape, place))
        for one in told
    ]
    frames = Frames([sources.slices[one.number - 1] for one in told], np.stack(raw), label, method)
    yield (
        PARAMETRIC_MAP,
        _written(parametric_map(sources, frames, new_series(sources, of_map=True))),
    )
    series = new_series(sources, of_map=False)
    for one in told:
        words = f"{frames.told}, {scale_text(one.peak)}"
        shown = out_of_letterbox(one.saliency, *shape, place)
        lines = (words, NOTICE.capitalize())
        picture, enlarged = _picture(sources, opened, one.number, shown, lines)
        source = sources.slices[one.number - 1]
        made = secondary_capture(
            sources, source, picture, series, one.number, words, enlarged=enlarged
        )
        yield overlay_name(one.number), _written(made)


def _place(opened: Opened, sources: Sources, size: int) -> Place:
    """Return where slices of the files, as they hang, lie in the square that the classifier sees.

    Where their pixels are not square the volume was resampled about its middle.
    """
    _, *read = opened.volume.samples.shape
    seen = place_in_square(read[0], read[1], size, opened.field)
    mm, spacing = sources.slices[0].lies.spacing, opened.volume.spacing
    assert mm is not None
    assert spacing is not None
    down, across = (
        file_mm / read_mm
        for file_mm, read_mm in zip(
            (mm[1], mm[0]) if sources.exchanged else (mm[0], mm[1]), spacing[1:], strict=True
        )
    )
    rows, columns = sources.as_hung()
    height, width = (seen.height / read[0], seen.width / read[1])  # of a pixel that was read
    return Place(
        seen.left + (read[1] - columns * across) / 2 * width,
        seen.top + (read[0] - rows * down) / 2 * height,
        columns * across * width,
        rows * down * height,
    )


def _picture(
    sources: Sources,
    opened: Opened,
    number: int,
    saliency: Float32[np.ndarray, "rows columns"],
    lines: Sequence[str],
) -> tuple[UInt8[np.ndarray, "rows columns 3"], int]:
    """Return the map laid over its slice as the file stores it, above text; how often enlarged."""
    read = np.rint(opened.slice(number).pixels * 255).astype(np.uint8)
    grey = read if read.shape == saliency.shape else _resized(read, saliency.shape)
    drawn = overlay(sources.as_stored(grey), sources.as_stored(saliency))
    factor = max(1, -(-_SIDE // max(drawn.shape[:2])))
    large = drawn.repeat(factor, 0).repeat(factor, 1)
    return np.concatenate([large, _text(lines, large.shape[1], large.shape[0])]), factor


def _resized(
    grey: UInt8[np.ndarray, "read_rows read_columns"], shape: tuple[int, ...]
) -> UInt8[np.ndarray, "rows columns"]:
    """Return a slice whose pixels were made square with as many as its file has."""
    from PIL import Image

    resized = Image.fromarray(grey).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized, np.uint8)


def _text(lines: Sequence[str], width: int, height: int) -> UInt8[np.ndarray, "rows width 3"]:
    """Return lines of text, white on black, as high as each fits."""
    import matplotlib as mpl
    from PIL import Image, ImageDraw, ImageFont

    file = Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    line = max(12, round(height * _LINE))
    strip = Image.new("RGB", (width, line * len(lines) + line // 2))
    draw = ImageDraw.Draw(strip)
    for at, words in enumerate(lines):
        size = round(line * 0.75)
        font = ImageFont.truetype(file, size)
        while size > 6 and draw.textlength(words, font) > width - line // 2:
            size -= 1
            font = ImageFont.truetype(file, size)
        draw.text((line // 4, line // 4 + at * line), words, "white", font)
    return np.asarray(strip, np.uint8)


def _written(made: Any) -> bytes:
    held = BytesIO()
    made.save_as(held, enforce_file_format=True)
    return held.getvalue()

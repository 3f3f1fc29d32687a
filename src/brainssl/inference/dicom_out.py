"""The maps of a DICOM volume as DICOM: on the grid of its own files, for a hospital's viewer."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from brainssl.data.letterbox import out_of_letterbox
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
    plane: Plane = "native",
    max_voxels: int | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield the DICOM files that show the maps of a volume, and their names.

    First `PARAMETRIC_MAP`, the raw values of all slices; then of each slice its picture,
    `overlay_name`. Each value is that of the map where the pixel of the file lies in what the
    classifier saw: turning and letterboxing are undone, and nothing is cropped.

    Args:
        ref: of DICOM files.
        maps: of slices of the volume, which it is handed; at least one.
        label: the class whose evidence they are.
        method: by which they were made.
        reader: version of the normalisation.
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
    opened = open_volume(ref, plane=plane, reader=reader, **bounds)
    told = maps(opened)
    shape = sources.as_hung()
    raw = [
        sources.as_stored(out_of_letterbox(one.saliency * np.float32(one.peak), *shape))
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
        shown = out_of_letterbox(one.saliency, *shape)
        lines = (words, NOTICE.capitalize())
        picture, enlarged = _picture(sources, opened, one.number, shown, lines)
        source = sources.slices[one.number - 1]
        made = secondary_capture(
            sources, source, picture, series, one.number, words, enlarged=enlarged
        )
        yield overlay_name(one.number), _written(made)


def _picture(
    sources: Sources,
    opened: Opened,
    number: int,
    saliency: Float32[np.ndarray, "rows columns"],
    lines: Sequence[str],
) -> tuple[UInt8[np.ndarray, "rows columns 3"], int]:
    """Return the map laid over its slice as the file stores it, above text; how often enlarged."""
    grey = np.rint(opened.slice(number).pixels * 255).astype(np.uint8)
    drawn = overlay(sources.as_stored(grey), sources.as_stored(saliency))
    factor = max(1, -(-_SIDE // max(drawn.shape[:2])))
    large = drawn.repeat(factor, 0).repeat(factor, 1)
    return np.concatenate([large, _text(lines, large.shape[1], large.shape[0])]), factor


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

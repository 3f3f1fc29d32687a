"""The one door through which pixels come in: a file becomes a grey slice in [0, 1].

Training and serving both read through here, so that they see the same pixels, bit for bit.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Shaped
from PIL import Image, ImageOps, UnidentifiedImageError

from brainssl.foundation.errors import BrainsslError

Image.init()
FORMATS = tuple(
    kind for kind in ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "AVIF") if kind in Image.OPEN
)
"""Formats that Pillow reads here: WebP and AVIF need libraries that its wheels bring."""

NAMED = "PNG, JPEG, TIFF, BMP, WebP, GIF or AVIF"
ALLOWED_SUFFIXES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".webp": "WEBP",
    ".gif": "GIF",
    ".avif": "AVIF",
}
"""Usual file suffixes and what they promise; the content decides, the suffix never does."""

HIDDEN = "alpha channel that hides everything ignored"

_SIGNS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
}

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 64 * 10**6

CHANNEL_TOLERANCE = 12
"""Levels of 255 by which the channels of a grey image may differ after JPEG's colour rounding."""

ANNOTATION_SHARE = 0.1
"""Up to this share of coloured pixels is called an annotation; above it the image is coloured."""

WINDOW = (0.5, 99.5)
"""Percentiles of the foreground that become 0 and 1 in images deeper than 8 bits."""

_ORIENTATION, _BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339


class UnreadableImage(BrainsslError):  # noqa: N818 - says what the file is
    """A file that is not a readable image; it names the file and the reason.

    Attributes:
        name: the file, as the caller named it.
        reason: why it cannot be read, without the name.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason

    def __reduce__(self) -> tuple[type["UnreadableImage"], tuple[str, str]]:
        """Let it travel from a worker process: its argument is not what it is made of."""
        return type(self), (self.name, self.reason)


@dataclass(frozen=True)
class Slice:
    """One grey 2-D image.

    Attributes:
        pixels: intensities in [0, 1].
        provenance: every step from the file to `pixels`, in words and in order.
        source_bits: bits a sample in the file.
        flags: what a reader of the data should know, e.g. "coloured annotation", "alpha",
            "palette", "exif rotated".
    """

    pixels: Float32[np.ndarray, "h w"]
    provenance: tuple[str, ...]
    source_bits: int
    flags: tuple[str, ...]


@dataclass
class _Notes:
    """What was done to the pixels, gathered while it is done."""

    provenance: list[str] = field(default_factory=list)
    flags: list[str] = field(default_factory=list)


def read_slice(path: Path, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS) -> Slice:
    """Read one file of `FORMATS`, told by its content.

    Args:
        path: the file.
        max_bytes: a larger file is refused before it is read.
        max_pixels: an image with more pixels is refused before it is decoded.

    Returns:
        The slice. 8-bit samples v become v / 255. Deeper samples are mapped so that the 0.5th and
        99.5th percentile of the foreground (everything above the image's minimum) become 0 and 1.
        Channels that agree are collapsed; a coloured image becomes its Rec. 601 luminance and is
        flagged. Transparency lies on black. EXIF orientation is applied.

    Raises:
        UnreadableImage: not a regular file, too large, truncated, corrupt, or of another format.
    """
    return read_bytes(
        file_bytes(path, max_bytes=max_bytes),
        str(path),
        max_bytes=max_bytes,
        max_pixels=max_pixels,
    )


def file_bytes(path: Path, *, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the content of a regular file of at most `max_bytes`.

    Raises:
        UnreadableImage: the file is missing, no regular file, or too large.
    """
    too_large = UnreadableImage(str(path), f"is larger than the limit of {max_bytes:,} bytes")
    try:
        with open(path, "rb", opener=_without_waiting) as handle:
            status = os.fstat(handle.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImage(str(path), "is not a regular file")
            size = status.st_size
            if size > max_bytes:
                raise too_large
            # One byte more than the file claims tells whether it grew meanwhile. A read reserves
            # all that it asks for: to ask for the cap at once would cost 256 MiB a file.
            data = handle.read(size + 1)
            if len(data) > size:
                data += handle.read(max_bytes - size)
    except OSError as error:
        raise UnreadableImage(str(path), f"cannot be opened ({error.strerror})") from error
    if len(data) > max_bytes:
        raise too_large
    return data


def _without_waiting(path: str, flags: int) -> int:
    """Open without blocking: a named pipe would wait for its writer for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_bytes(
    data: bytes, name: str, *, max_bytes: int = MAX_BYTES, max_pixels: int = MAX_PIXELS
) -> Slice:
    """Decode the bytes of one image; the same code and pixels as `read_slice`.

    Args:
        data: the file's content.
        name: what to call it in errors; its suffix, if any, is compared with the content.
        max_bytes: more is refused.
        max_pixels: an image with more pixels is refused before it is decoded.

    Returns:
        The slice, as `read_slice` describes it.

    Raises:
        UnreadableImage: empty, too large, truncated, corrupt, or of another format.
    """
    if not data:
        raise UnreadableImage(name, "is empty")
    if len(data) > max_bytes:
        raise UnreadableImage(name, f"is larger than the limit of {max_bytes:,} bytes")
    with _named(name, data[:16]), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableImage(
                name, f"has {width} × {height} pixels, more than the limit of {max_pixels:,}"
            )
        if image.format == "PNG":
            _verify_png(data)
        return _decode(image, data, Path(name).suffix.lower())


@contextmanager
def _named(name: str, begin: bytes) -> Iterator[None]:
    """Turn whatever the decoder raises into `UnreadableImage`."""
    try:
        yield
    except UnreadableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImage(name, _what_it_is(begin)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(name, "declares more pixels than can be decoded safely") from error
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(name, f"is corrupt or truncated ({reason[:160]})") from error


def _what_it_is(begin: bytes) -> str:
    """Say of a file that Pillow does not know what it is, by its first bytes."""
    kind = next((kind for sign, kind in _SIGNS.items() if begin.startswith(sign)), None)
    if kind is None:
        return f"is not an image in {NAMED}"
    return f"is a {kind} of a kind that cannot be decoded; save it anew, as 16-bit grey or PNG"


def _verify_png(data: bytes) -> None:
    """Check every chunk's checksum: decoding alone skips those of the pixels."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.verify()


def _decode(image: Image.Image, data: bytes, suffix: str) -> Slice:
    """Decode an opened image and bring it to grey."""
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    notes = _Notes([f"decoded {kind} ({image.mode})"])
    if ALLOWED_SUFFIXES.get(suffix, kind) != kind:
        notes.flags.append("suffix differs")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.provenance.append(f"first of {frames} pages")
        notes.flags.append("several pages")
    bits = _bits(image, kind, data)
    tags = dict(getattr(image, "tag_v2", {}))
    upright = _upright(image, notes)
    if upright.mode.startswith(("I", "F")):
        pixels = _scale(_deep_samples(upright, tags, notes), notes)
    elif bits > 8 and image.mode not in ("P", "PA"):
        pixels = _scale(_deep_colours(data, kind, bits, notes), notes)
    else:
        if bits == 8 and tags.get(_SAMPLE_FORMAT, (1,))[0] == 2:
            raise ValueError("signed 8-bit samples are not supported")
        pixels = _grey(upright, notes)
    if pixels.min() == pixels.max():
        notes.flags.append("blank")
    return Slice(pixels, tuple(notes.provenance), bits, tuple(notes.flags))


def _bits(image: Image.Image, kind: str, data: bytes) -> int:
    """Return the bits a sample as the file states them; a palette's colours have 8."""
    if image.mode in ("P", "PA"):
        return 8
    if kind == "PNG":
        return data[24]  # IHDR: signature 8, length 4, type 4, width 4, height 4, then the depth
    if kind == "TIFF":
        return int(max(image.tag_v2.get(_BITS_PER_SAMPLE, (1,))))  # type: ignore[attr-defined]
    return 1 if image.mode == "1" else 8


def _upright(image: Image.Image, notes: _Notes) -> Image.Image:
    """Decode and apply the EXIF orientation."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    image.load()
    if orientation in range(2, 9):
        notes.provenance.append(f"turned upright by EXIF orientation {orientation}")
        notes.flags.append("exif rotated")
    # TIFF files are turned by load() itself, which also clears the tag.
    return ImageOps.exif_transpose(image)


def _deep_samples(
    image: Image.Image, tags: dict[int, Any], notes: _Notes
) -> Float64[np.ndarray, "h w"]:
    """Return the samples of a 16-bit, 32-bit or floating-point image as they are in the file."""
    raw = np.asarray(image)
    if image.mode == "I" and tags.get(_SAMPLE_FORMAT, (2,))[0] == 1:
        raw = raw.view(np.uint32)
    samples = raw.astype(np.float64)
    if not np.isfinite(samples).all():
        finite = samples[np.isfinite(samples)]
        samples = np.where(np.isfinite(samples), samples, finite.min() if finite.size else 0.0)
        notes.provenance.append("values that are not finite set to the minimum")
        notes.flags.append("not finite")
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero, which the decoder undoes for 8 bits only
        samples = samples.max() - samples
        notes.provenance.append("inverted (white is zero)")
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        samples[samples == transparent] = 0.0
        notes.provenance.append("transparent value set to black")
        notes.flags.append("alpha")
    return samples


def _deep_colours(data: bytes, kind: str, bits: int, notes: _Notes) -> Float64[np.ndarray, "h w"]:
    """Return grey samples of a PNG with 16 bits in each of several channels.

    Pillow keeps the upper eight of them: a picture with values up to 4,095 would be nearly black.

    Raises:
        ValueError: it is no PNG, or is turned by its EXIF tag.
    """
    if kind != "PNG" or "exif rotated" in notes.flags:
        raise ValueError(f"{bits}-bit colour cannot be decoded whole: save it as 16-bit grey")
    import torch
    from torchvision.io import ImageReadMode, decode_png

    encoded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    channels = decode_png(encoded, ImageReadMode.UNCHANGED).numpy().astype(np.float64)
    colours, alpha = channels, None
    if len(channels) in (2, 4):
        colours, alpha = channels[:-1], channels[-1] / 65535
    notes.provenance.append(f"{len(colours)} channels of {bits} bits")
    spread = colours.max(axis=0) - colours.min(axis=0)
    tolerance = CHANNEL_TOLERANCE / 255 * max(1.0, float(colours.max()))
    if spread.max() <= tolerance:
        samples = colours.mean(axis=0)
        notes.provenance.append("agreeing channels averaged")
    else:
        share = float((spread > tolerance).mean())
        notes.flags.append("coloured annotation" if share <= ANNOTATION_SHARE else "coloured")
        notes.provenance.append(f"luminance of a coloured image ({share:.2%} of pixels coloured)")
        samples = np.tensordot(np.array([0.299, 0.587, 0.114]), colours, 1)
    if alpha is not None and not alpha.any():
        notes.flags.append("alpha")
        notes.provenance.append(HIDDEN)
    elif alpha is not None and (alpha < 1).any():
        notes.flags.append("alpha")
        notes.provenance.append("laid on black through its alpha channel")
        samples = samples * alpha
    return np.asarray(samples)


def _scale(samples: Float64[np.ndarray, "h w"], notes: _Notes) -> Float32[np.ndarray, "h w"]:
    """Map the foreground's percentiles to [0, 1]: MRI has no absolute scale.

    Background is the image's minimum: air, or the padding around a rotated or masked slice. It
    often fills half the picture, and would otherwise pull the lower percentile onto itself.
    """
    minimum = samples.min()
    foreground = samples[samples > minimum]
    if not foreground.size:
        notes.provenance.append("constant, set to 0")
        return np.zeros(samples.shape, np.float32)
    low, high = np.percentile(foreground, WINDOW)
    if high <= low:
        low = minimum
    notes.provenance.append(
        f"foreground percentiles {WINDOW[0]} and {WINDOW[1]} ({low:.6g}, {high:.6g}) to 0 and 1"
    )
    # Divided before the difference: doubles near their limits would overflow otherwise.
    scaled = (samples / 2 - low / 2) / (high / 2 - low / 2)
    return np.asarray(np.clip(scaled, 0.0, 1.0), np.float32)


def _grey(image: Image.Image, notes: _Notes) -> Float32[np.ndarray, "h w"]:
    """Bring an image of at most 8 bits a sample to grey levels / 255."""
    if image.mode in ("P", "PA"):
        notes.flags.append("palette")
        notes.provenance.append("palette looked up")
    grey_only = image.mode in ("1", "L", "LA", "La")
    transparent = image.has_transparency_data
    mode = ("LA" if transparent else "L") if grey_only else ("RGBA" if transparent else "RGB")
    converted = image if image.mode == mode else image.convert(mode)
    levels: Shaped[np.ndarray, "h w *c"] = np.asarray(converted)
    alpha = None
    if transparent:
        alpha, levels = levels[..., -1], levels[..., :-1]
        levels = levels[..., 0] if grey_only else levels
    grey = levels.astype(np.float32) if levels.ndim == 2 else _collapse(levels, notes)
    if alpha is not None and not alpha.any():
        # Nothing would be left of the picture: a channel that somebody filled with zeros.
        notes.flags.append("alpha")
        notes.provenance.append(HIDDEN)
    elif alpha is not None and (alpha < 255).any():
        notes.flags.append("alpha")
        notes.provenance.append("laid on black through its alpha channel")
        grey = grey * (alpha.astype(np.float32) / np.float32(255))
    notes.provenance.append("levels divided by 255")
    return grey / np.float32(255)


def _collapse(
    levels: Shaped[np.ndarray, "h w 3"],
    notes: _Notes,
) -> Float32[np.ndarray, "h w"]:
    """Collapse three channels to one: their mean where they agree, else the luminance."""
    spread = levels.max(axis=2) - levels.min(axis=2)
    red, green, blue = np.moveaxis(levels.astype(np.float32), 2, 0)
    if spread.max() <= CHANNEL_TOLERANCE:
        notes.provenance.append("three agreeing channels averaged")
        # Sum of small whole numbers: exact, so that equal channels give their level exactly.
        return np.asarray((red + green + blue) / np.float32(3))
    share = float((spread > CHANNEL_TOLERANCE).mean())
    notes.flags.append("coloured annotation" if share <= ANNOTATION_SHARE else "coloured")
    notes.provenance.append(f"luminance of a coloured image ({share:.2%} of pixels coloured)")
    return np.asarray(
        np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    )

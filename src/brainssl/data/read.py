"""The one door through which pixels come in: a file becomes a grey slice in [0, 1].

Training and serving both read through here, so that they see the same pixels, bit for bit.
"""

import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped
from PIL import Image, ImageOps, UnidentifiedImageError

from brainssl.data.field_of_view import Field
from brainssl.data.grey import SAMPLE_FORMAT, Notes, deep_colours, deep_samples, shallow_grey
from brainssl.data.normalisation import READER, normalised
from brainssl.data.whole import ends_early
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.muting import muted

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

_SIGNS = {
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
}

VOLUMES = "DICOM or NIfTI"
"""Formats of volumes, which others read."""

MAX_BYTES = 256 * 2**20
MAX_PIXELS = 64 * 10**6

NO_MEMORY = "needs more memory than there is"
"""Why a file is refused that could perhaps be read on a larger machine."""

_FAINT = 8  # levels of 255; a slice that has fewer shows noise, however it is scaled

_ORIENTATION, _BITS_PER_SAMPLE = 274, 258


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
        field: what of it is seen, see `brainssl.data.letterbox`; None: all of it.
    """

    pixels: Float32[np.ndarray, "h w"]
    provenance: tuple[str, ...]
    source_bits: int
    flags: tuple[str, ...]
    field: Field | None = None


def read_slice(
    path: Path,
    *,
    reader: int = READER,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Slice:
    """Read one file of `FORMATS`, told by its content.

    Args:
        path: the file.
        reader: version of the normalisation, see `brainssl.data.normalisation`; of a classifier
            the one that it was trained with.
        max_bytes: a larger file is refused before it is read.
        max_pixels: an image with more pixels is refused before it is decoded.

    Returns:
        The slice. Samples of any depth are mapped to [0, 1] by percentiles. Channels that agree
        are collapsed; a coloured image becomes its Rec. 601 luminance and is flagged. Transparency
        lies on black, unless it hides everything. EXIF orientation is applied.

    Raises:
        UnreadableImage: not a regular file, too large, truncated, corrupt, or of another format.
    """
    return read_bytes(
        file_bytes(path, max_bytes=max_bytes),
        str(path),
        reader=reader,
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
    data: bytes,
    name: str,
    *,
    reader: int = READER,
    max_bytes: int = MAX_BYTES,
    max_pixels: int = MAX_PIXELS,
) -> Slice:
    """Decode the bytes of one image; the same code and pixels as `read_slice`.

    Args:
        data: the file's content.
        name: what to call it in errors; its suffix, if any, is compared with the content.
        reader: version of the normalisation.
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
    with _named(name, data[:348]), Image.open(io.BytesIO(data), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnreadableImage(
                name, f"has {width} × {height} pixels, more than the limit of {max_pixels:,}"
            )
        if image.format == "PNG":
            _verify_png(data)
        if ends_early(data, str(image.format)):
            raise UnreadableImage(name, "is truncated: its pixels end early; fetch it anew")
        return _decode(image, data, Path(name).suffix.lower(), reader)


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
    except MemoryError:
        raise UnreadableImage(name, NO_MEMORY) from None
    except Exception as error:  # decoders raise nearly anything on hostile bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(name, f"is corrupt or truncated ({reason[:160]})") from error


def _what_it_is(begin: bytes) -> str:
    """Say of a file that Pillow does not know what it is, by its first bytes."""
    kind = next((kind for sign, kind in _SIGNS.items() if begin.startswith(sign)), None)
    if kind is None:
        if begin[128:132] == b"DICM" or begin[344:347] in (b"n+1", b"ni1"):
            return "is a volume: name it alone, or a folder of volumes, not of pictures"
        return f"is not an image in {NAMED}, nor a volume in {VOLUMES}"
    return f"is a {kind} that cannot be decoded, damaged or of a rare kind; save it anew as PNG"


def _verify_png(data: bytes) -> None:
    """Check every chunk's checksum: decoding alone skips those of the pixels."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.verify()


def _decode(image: Image.Image, data: bytes, suffix: str, reader: int) -> Slice:
    """Decode an opened image and bring it to grey."""
    kind = "JPEG" if image.format == "MPO" else str(image.format)
    notes = Notes([f"decoded {kind} ({image.mode})"])
    if ALLOWED_SUFFIXES.get(suffix, kind) != kind:
        notes.flags.append("suffix differs")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.provenance.append(f"first of {frames} pages")
        notes.flags.append("several pages")
    bits = _bits(image, kind, data)
    tags = dict(getattr(image, "tag_v2", {}))
    upright = _upright(image, notes)
    deep = upright.mode.startswith(("I", "F"))
    samples: Shaped[np.ndarray, "h w"]
    if deep:
        samples = deep_samples(upright, tags, notes)
    elif bits > 8 and image.mode not in ("P", "PA"):
        deep, samples = True, deep_colours(data, kind, bits, notes)
    else:
        if bits == 8 and tags.get(SAMPLE_FORMAT, (1,))[0] == 2:
            raise ValueError("signed 8-bit samples are not supported")
        samples = shallow_grey(upright, notes)
    if samples.min() == samples.max():
        notes.flags.append("blank")
    elif not deep and samples.max() - samples.min() < _FAINT:
        notes.flags.append("nearly blank")
    pixels = normalised(samples, notes, deep=deep, reader=reader)
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


def _upright(image: Image.Image, notes: Notes) -> Image.Image:
    """Decode and apply the EXIF orientation."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    with muted() if image.format == "TIFF" else nullcontext():  # libtiff writes to stderr itself
        image.load()
    if orientation in range(2, 9):
        notes.provenance.append(f"turned upright by EXIF orientation {orientation}")
        notes.flags.append("exif rotated")
    # TIFF files are turned by load() itself, which also clears the tag.
    return ImageOps.exif_transpose(image)

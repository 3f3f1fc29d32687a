"""How the samples of a DICOM file are written, checked before anything is decoded."""

from dataclasses import dataclass
from typing import Any

from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.dicom_frames import frame_count
from brainssl.data.volumes.dicom_values import text, whole

PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"


@dataclass(frozen=True)
class Format:
    """How the samples of a file are written.

    Attributes:
        rows: of a frame.
        columns: of a frame.
        frames: of the file.
        channels: samples of a pixel.
        photometric: what they mean.
        allocated: bits that a sample takes.
        stored: bits of it that count.
        high: number of the highest of those.
        signed: whether they are two's complement.
        floating: whether they are floating-point numbers instead.
    """

    rows: int
    columns: int
    frames: int
    channels: int
    photometric: str
    allocated: int
    stored: int
    high: int
    signed: bool
    floating: bool

    @property
    def bytes_uncompressed(self) -> int:
        """Bytes of all frames where they are not compressed."""
        samples = self.rows * self.columns * self.frames * self.channels
        if self.photometric == "YBR_FULL_422":
            samples = samples // 3 * 2
        return -(-samples * self.allocated // 8)


def has_pixels(dataset: Any) -> bool:
    """Tell whether a file says how large its images are, as all that have pixels do."""
    return bool(whole(dataset, "Rows")) and bool(whole(dataset, "Columns"))


def format_of(dataset: Any, name: str) -> Format:
    """Read how the samples of a file are written, and check that it can be.

    Raises:
        UnreadableImage: the header says what cannot be, or what is not supported.
    """
    rows, columns = whole(dataset, "Rows") or 0, whole(dataset, "Columns") or 0
    if rows < 1 or columns < 1:
        raise UnreadableImage(name, "holds no image")
    floating = any(word in dataset for word in PIXELS[1:])
    allocated = 64 if "DoubleFloatPixelData" in dataset else whole(dataset, "BitsAllocated") or 0
    stored = allocated if floating else whole(dataset, "BitsStored") or allocated
    high = stored - 1 if floating else whole(dataset, "HighBit")
    high = stored - 1 if high is None else high
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= high + 1 <= allocated:
        raise UnreadableImage(name, "has samples of a depth that cannot be")
    photometric = text(dataset, "PhotometricInterpretation").upper() or "MONOCHROME2"
    if photometric not in (*GREY, *_COLOURS, PALETTE):
        raise UnreadableImage(name, "has colours of a kind that is not supported")
    channels = whole(dataset, "SamplesPerPixel") or 1
    if channels != (3 if photometric in _COLOURS else 1):
        raise UnreadableImage(name, "has as many channels as its colours cannot have")
    try:
        frames = frame_count(dataset)
    except ValueError:
        raise UnreadableImage(name, "claims a number of frames that cannot be") from None
    signed = bool(whole(dataset, "PixelRepresentation")) and not floating
    return Format(
        rows, columns, frames, channels, photometric, allocated, stored, high, signed, floating
    )

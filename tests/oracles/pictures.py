"""Pictures for services: good ones, and files that are bad or odd in as many ways as we know."""

import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    """Return a picture as a file."""
    held = io.BytesIO()
    Image.fromarray(pixels).save(held, kind, **options)
    return held.getvalue()


def noise(seed: int, height: int = 40, width: int = 30) -> np.ndarray:
    """Return a grey picture."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


def picture(seed: int, height: int = 40, width: int = 30) -> bytes:
    """Return a grey PNG."""
    return encoded(noise(seed, height, width))


def chunk(name: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG written by hand."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def hostile() -> Iterator[tuple[str, bytes]]:
    """Yield names and files that are bad or odd: a service answers each, and never with 500."""
    grey, rgb = noise(0, 64, 64), np.stack([noise(1), noise(2), noise(3)], 2)
    for kind in ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"):
        whole = encoded(grey, kind)
        for share in (0.05, 0.5, 0.95):
            yield f"cut to {share} of {kind}", whole[: int(len(whole) * share)]
        hurt = bytearray(whole)
        for place in np.random.default_rng(4).integers(8, len(whole), 20):
            hurt[place] ^= 255
        yield f"hurt {kind}", bytes(hurt)
        yield f"{kind} with a tail", whole + b"\0" * 999
    for size in ((30_000, 30_000), (9_000, 9_000), (2**31 - 1, 2**31 - 1), (1, 2**24), (0, 5)):
        yield f"declares {size}", png(*size, 8, 0, b"\0")
    yield "many rows of nothing", png(4000, 3999, 8, 0, b"\0" * (4001 * 3999))
    yield "empty.png", b""
    yield "one byte", b"\x89"
    yield "text.png", b"no picture" * 50
    yield "page.html", b"<script>alert(1)</script>"
    yield "archive.zip", b"PK\3\4" + bytes(200)
    yield "gzip.nii.gz", b"\x1f\x8b\x08\0" + bytes(50)
    yield "looks like DICOM.dcm", bytes(128) + b"DICM" + bytes(100)
    yield "postscript.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"
    yield "vector.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'
    yield "other kind.ppm", encoded(grey, "PPM")
    yield "other kind.tga", encoded(grey, "TGA")
    yield "sixteen bits.png", encoded(np.arange(4096, dtype=np.uint16).reshape(64, 64))
    yield "floats.tif", encoded(np.full((8, 8), np.nan, np.float32), "TIFF")
    yield "colour.png", encoded(rgb)
    yield "one pixel.png", encoded(noise(0, 1, 1))
    yield "a line.png", encoded(noise(0, 1, 3000))
    yield "blank.png", encoded(np.zeros((9, 9), np.uint8))
    yield "../../etc/passwd", encoded(grey)
    yield "a\u202egnp.exe", encoded(grey)
    yield "n" * 3000, encoded(grey)
    yield "", encoded(grey)

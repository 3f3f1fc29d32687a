"""Pictures that are bad or odd; each one's name says what is odd about it.

`whole` are pictures that must be answered, `broken` those that must be refused, and of `either`
both may be right. All are made from a seed, in the order of their names' making.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

KINDS = ("png", "jpg", "tif", "bmp", "gif", "webp")
_SIGN = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Odd:
    """A file.

    Attributes:
        name: of the file; it says what is odd.
        made: its content, or what makes it, where that takes long.
        must: be `whole`, `broken`, or `either`.
    """

    name: str
    made: bytes | Callable[[], bytes]
    must: str = "either"

    @cached_property
    def data(self) -> bytes:
        """Its content."""
        return self.made if isinstance(self.made, bytes) else self.made()


def brain(side: int = 48, seed: int = 0) -> np.ndarray:
    """Return a grey picture of a bright ellipse with noise."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    noise = np.random.default_rng(seed).integers(0, 30, (side, side))
    return (200 * (x**2 + 1.3 * y**2 < 0.6) + noise).astype(np.uint8)


def saved(pixels: Any, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file."""
    held = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(held, {"jpg": "JPEG", "tif": "TIFF"}.get(kind, kind.upper()), **options)
    return held.getvalue()


def chunk(name: bytes, data: bytes = b"") -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def head(width: int, height: int, depth: int = 8, colour: int = 0, laced: int = 0) -> bytes:
    """Return the first chunk of a PNG."""
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, laced))


def png(*chunks: bytes) -> bytes:
    """Return a PNG of chunks."""
    return _SIGN + b"".join(chunks) + chunk(b"IEND")


def rows(pixels: np.ndarray) -> bytes:
    """Return rows of a PNG, each after its filter."""
    return b"".join(b"\0" + row.tobytes() for row in pixels)


def pixels_of(pixels: np.ndarray) -> bytes:
    """Return the chunk that holds rows."""
    return chunk(b"IDAT", zlib.compress(rows(pixels)))


def passes(pixels: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the seven passes of Adam7, some of which may hold nothing."""
    begun = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4))
    begun += ((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    return (pixels[top::down, left::across] for top, left, down, across in begun)


def interlaced(grey: np.ndarray) -> bytes:
    """Return a PNG in the seven passes of Adam7."""
    parts = map(rows, passes(grey))
    size = grey.shape[::-1]
    return png(head(*size, laced=1), chunk(b"IDAT", zlib.compress(b"".join(parts))))


def tiff(tags: dict[int, tuple[int, int, int]], tail: bytes = b"", onward: int = 0) -> bytes:
    """Return a little-endian TIFF of one directory: tags with kind, count and value."""
    entries = (struct.pack("<HHII", tag, *what) for tag, what in sorted(tags.items()))
    body = struct.pack("<H", len(tags)) + b"".join(entries) + struct.pack("<I", onward)
    return b"II*\0" + struct.pack("<I", 8) + body + tail


def grey_tiff(width: int, height: int, bits: int = 8, **other: int) -> dict[int, Any]:
    """Return the tags of a grey TIFF whose pixels begin at byte 200."""
    values = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 200, 277: 1, 278: height}
    values |= {279: min(width * height * bits // 8, 2**32 - 1)}
    values |= {int(tag[1:]): value for tag, value in other.items()}
    return {tag: (4, 1, value) for tag, value in values.items()}


def pictures(seed: int = 0) -> Iterator[Odd]:
    """Yield all of them."""
    yield from _damaged(seed)
    yield from _kinds()
    yield from _deep()
    yield from _shapes()
    yield from _written_by_hand()
    yield from _bombs()


def _damaged(seed: int) -> Iterator[Odd]:
    draws = np.random.default_rng(seed)
    for kind in KINDS:
        good = saved(brain(), kind)
        for share in (0.02, 0.3, 0.7, 0.97):
            data = good[: int(len(good) * share)]
            yield Odd(f"cut-at-{share}.{kind}", data, "broken" if share < 0.5 else "either")
        yield Odd(f"without-its-last-byte.{kind}", good[:-1])
        for number in range(2):
            hurt = bytearray(good)
            for place in draws.integers(10, len(good), 12):
                hurt[place] ^= int(draws.integers(1, 256))
            yield Odd(f"twelve-bytes-hurt-{number}.{kind}", bytes(hurt))
        yield Odd(f"with-a-tail-of-zeros.{kind}", good + bytes(999), "whole")
        other = KINDS[(KINDS.index(kind) + 1) % len(KINDS)]
        yield Odd(f"wrong-suffix-is-{kind}.{other}", good, "whole")
    yield Odd("wrong-suffix-is-png.dcm", saved(brain()), "whole")
    yield Odd("wrong-suffix-is-png.nii.gz", saved(brain()), "whole")


def _kinds() -> Iterator[Odd]:
    grey = Image.fromarray(brain())
    for mode in ("1", "P", "LA", "RGB", "RGBA"):
        yield Odd(f"mode-{mode}.png", saved(grey.convert(mode)), "whole")
    for kind in ("tif", "bmp", "gif"):
        yield Odd(f"mode-1.{kind}", saved(grey.convert("1"), kind), "whole")
    for kind in ("jpg", "tif"):
        yield Odd(f"mode-CMYK.{kind}", saved(grey.convert("CMYK"), kind), "whole")
    for mode in ("YCbCr", "LAB"):
        colour = grey.convert("RGB")
        other = Image.merge(mode, colour.split()) if mode == "LAB" else colour.convert(mode)
        yield Odd(f"mode-{mode}.tif", saved(other, "tif"))
    hidden = grey.convert("RGBA")
    hidden.putalpha(0)
    yield Odd("all-transparent.png", saved(hidden), "whole")
    palette = grey.convert("P")
    yield Odd("palette-with-alpha.png", saved(palette, transparency=bytes(range(256))), "whole")
    yield Odd("palette-with-alpha.gif", saved(palette, "gif", transparency=3), "whole")
    for pack in ("tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate", "jpeg"):
        yield Odd(f"packed-{pack}.tif", saved(grey, "tif", compression=pack), "whole")
    yield Odd("packed-group4.tif", saved(grey.convert("1"), "tif", compression="group4"), "whole")
    yield Odd("big-tiff.tif", saved(grey, "tif", big_tiff=True), "whole")
    yield Odd("progressive.jpg", saved(grey, "jpg", progressive=True), "whole")
    for turn in (0, 1, 3, 6, 8, 9, 65535):
        exif = Image.Exif()
        exif[274] = turn
        yield Odd(f"exif-turned-{turn}.jpg", saved(grey, "jpg", exif=exif), "whole")
    yield Odd("exif-of-garbage.jpg", saved(grey, "jpg", exif=b"Exif\0\0" + bytes(range(200))))
    for kind in ("png", "jpg", "tif", "webp"):
        garbage = saved(grey, kind, icc_profile=bytes(range(256)) * 3)
        yield Odd(f"colour-profile-of-garbage.{kind}", garbage, "whole")
    frames = [Image.fromarray(brain(seed=one)) for one in range(5)]
    for kind in ("png", "gif", "webp", "tif"):
        moving = saved(frames[0], kind, save_all=True, append_images=frames[1:])
        yield Odd(f"animated.{kind}", moving, "whole")
    for kind in ("gif", "tif"):
        yield Odd(f"frames-1500.{kind}", partial(_many, kind), "whole")
    text = PngInfo()
    text.add_text("PatientName", "Mueller^Hans" * 99, zip=True)
    yield Odd("with-text.png", saved(grey, pnginfo=text), "whole")


def _many(kind: str) -> bytes:
    frames = [Image.fromarray(brain(16, one)) for one in range(1500)]
    return saved(frames[0], kind, save_all=True, append_images=frames[1:])


def _deep() -> Iterator[Odd]:
    deep = brain().astype(np.uint16) * 9
    yield Odd("sixteen-bits.png", saved(deep), "whole")
    for kind in ("int32", "float32"):
        yield Odd(f"samples-{kind}.tif", saved(deep.astype(kind), "tif"), "whole")
    odd: dict[str, Any] = {"one-nan": np.nan, "one-inf": np.inf, "one-minus-inf": -np.inf}
    odd |= {"one-huge": 3e38, "one-tiny": 1e-45, "one-minus-huge": -3e38}
    for name, value in odd.items():
        samples = deep.astype(np.float32)
        samples[3, 4] = value
        yield Odd(f"floats-{name}.tif", saved(samples, "tif"), "whole")
    for name, value in {**odd, "zero": 0.0}.items():
        full = np.full((40, 40), value, np.float32)
        yield Odd(f"floats-all-{name.removeprefix('one-')}.tif", saved(full, "tif"))
    raw = deep.tobytes()
    for bits, form in ((16, 2), (16, 3), (8, 2), (32, 1), (64, 3), (64, 1), (12, 1), (24, 1)):
        side = 24
        tags = grey_tiff(side, side, bits, _339=form)
        file = tiff(tags).ljust(200, b"\0") + raw.ljust(side * side * 8, b"\0")
        yield Odd(f"samples-of-{bits}-bits-and-format-{form}.tif", file)
    for depth in (1, 2, 4):
        packed = np.random.default_rng(0).integers(0, 256, (32, 32 * depth // 8), dtype=np.uint8)
        yield Odd(f"bits-{depth}.png", png(head(32, 32, depth), pixels_of(packed)), "whole")
    for colour, channels in ((2, 3), (4, 2), (6, 4)):
        wide = np.repeat(deep[..., None], channels, 2).astype(">u2")
        data = png(head(48, 48, 16, colour), pixels_of(wide.reshape(48, -1)))
        yield Odd(f"sixteen-bits-colour-{colour}.png", data)


def _shapes() -> Iterator[Odd]:
    for height, width in (
        (1, 1),
        (1, 500),
        (500, 1),
        (2, 2),
        (3, 20_000),
        (20_000, 3),
        (1, 65_000),
    ):
        noise = np.random.default_rng(1).integers(0, 256, (height, width), dtype=np.uint8)
        yield Odd(f"rows-{height}-columns-{width}.png", saved(noise), "whole")
    for level in (0, 7, 255):
        yield Odd(f"constant-{level}.png", saved(np.full((30, 30), level, np.uint8)), "whole")
    yield Odd("constant.jpg", saved(np.full((30, 30), 9, np.uint8), "jpg"), "whole")
    yield Odd("chequered.png", saved(np.indices((40, 40)).sum(0).astype(np.uint8) % 2 * 255))


def _written_by_hand() -> Iterator[Odd]:
    grey = brain()
    size, own = head(48, 48), pixels_of(grey)
    yield Odd("interlaced.png", interlaced(grey), "whole")
    yield Odd("no-end.png", _SIGN + size + own, "either")
    yield Odd("no-pixels.png", png(size), "broken")
    yield Odd("pixels-of-no-length.png", png(size, chunk(b"IDAT")), "broken")
    yield Odd("wrong-checksum.png", png(size, own[:-1] + b"\0"), "broken")
    yield Odd("two-heads.png", png(size, head(9, 9), own))
    yield Odd("pixels-before-head.png", png(own, size), "broken")
    yield Odd("unknown-chunk.png", png(size, chunk(b"ABCD", b"x"), own))
    yield Odd("too-few-rows.png", png(size, pixels_of(grey[:20])))  # Pillow leaves the rest black
    yield Odd("too-many-rows.png", png(size, pixels_of(np.tile(grey, (9, 1)))))
    yield Odd("no-palette.png", png(head(48, 48, 8, 3), own))
    yield Odd("short-palette.png", png(head(48, 48, 8, 3), chunk(b"PLTE", bytes(6)), own))
    for depth, colour in ((3, 0), (8, 1), (16, 3), (0, 0), (8, 7)):
        data = png(head(48, 48, depth, colour), own)
        yield Odd(f"depth-{depth}-colour-{colour}.png", data, "broken")
    for width, height in ((0, 48), (48, 0), (2**31, 48), (2**32 - 1, 2**32 - 1)):
        yield Odd(f"declares-{width}-by-{height}.png", png(head(width, height), own), "broken")
    yield Odd("frames-4-billion.png", png(size, chunk(b"acTL", b"\xff" * 4 + bytes(4)), own))
    plain = tiff(grey_tiff(48, 48)).ljust(200, b"\0") + grey.tobytes()
    yield Odd("plain.tif", plain, "whole")
    yield Odd("upside-down.bmp", _bitmap(48, -48, grey), "whole")
    yield Odd("white-is-zero.tif", tiff(grey_tiff(48, 48, _262=0)).ljust(200) + grey.tobytes())
    yield Odd("pages-in-a-ring.tif", tiff(grey_tiff(48, 48), onward=8).ljust(200) + grey.tobytes())
    yield Odd("page-beyond-the-end.tif", tiff(grey_tiff(48, 48), onward=2**31).ljust(3000))
    yield Odd("strip-beyond-the-end.tif", tiff(grey_tiff(48, 48, _273=2**31)).ljust(3000), "broken")
    yield Odd("packed-in-no-way.tif", tiff(grey_tiff(48, 48, _259=9999)).ljust(3000), "broken")
    yield Odd("no-tags.tif", tiff({}), "broken")
    lying = grey_tiff(48, 48) | {305: (2, 2**32 - 1, 10), 700: (1, 2**31, 10)}
    yield Odd("tag-of-4-gigabytes.tif", tiff(lying).ljust(300, b"\0") + grey.tobytes())
    text = grey_tiff(48, 48) | {256: (2, 4, 10), 257: (12, 1, 10)}
    yield Odd("width-is-text.tif", tiff(text).ljust(3000), "broken")


def _bitmap(width: int, height: int, grey: np.ndarray, *, pack: int = 0) -> bytes:
    colours = b"".join(bytes((n, n, n, 0)) for n in range(256))
    facts = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, pack, grey.size, 0, 0, 256, 0)
    return (
        struct.pack("<2sIHHI", b"BM", 1078 + grey.size, 0, 0, 1078) + facts + colours + bytes(grey)
    )


def _bombs() -> Iterator[Odd]:
    side, grey = 31_623, brain()  # 1e9 pixels
    own, short = head(48, 48), chunk(b"IDAT", zlib.compress(bytes(99)))
    yield Odd("bomb-declares-1e9-pixels.png", png(head(side, side), short), "broken")
    for what, kind in {"text": b"zTXt", "profile": b"iCCP"}.items():
        yield Odd(
            f"bomb-64-MiB-of-{what}.png",
            lambda kind=kind: png(own, chunk(kind, b"Name\0\0" + _nothing()), pixels_of(grey)),
        )
    yield Odd("bomb-pixels-unpack-to-64-MiB.png", lambda: png(own, chunk(b"IDAT", _nothing())))
    yield Odd("nearly-64-million-pixels-of-nothing.png", _large)
    yield Odd("bomb-declares-1e9-pixels.tif", tiff(grey_tiff(side, side)).ljust(300), "broken")
    deflate = tiff(grey_tiff(48, 48, _259=8, _279=70_000)).ljust(200, b"\0")
    yield Odd("bomb-strip-unpacks-to-64-MiB.tif", lambda: deflate + _nothing())
    yield Odd("bomb-declares-1e9-pixels.bmp", _bitmap(side, side, grey), "broken")
    runs = np.tile(np.uint8([255, 0]), 999)
    yield Odd("bomb-of-repeats.bmp", _bitmap(9_000, 7_000, runs, pack=1))
    gif = saved(grey, "gif")
    yield Odd("bomb-declares-4e9-pixels.gif", gif[:6] + b"\xff" * 4 + gif[10:], "broken")
    jpg = saved(grey, "jpg")
    at = jpg.index(b"\xff\xc0") + 5
    jpg = jpg[:at] + struct.pack(">HH", 65_500, 65_500) + jpg[at + 4 :]
    yield Odd("bomb-declares-4e9-pixels.jpg", jpg, "broken")
    yield Odd("scans-of-4-MiB.jpg", _scans)
    webp = saved(grey, "webp", lossless=True)
    at = webp.index(b"VP8L") + 9
    webp = webp[:at] + struct.pack("<I", 16_383 | 16_383 << 14) + webp[at + 4 :]
    yield Odd("bomb-declares-268-million-pixels.webp", webp, "broken")


def _nothing() -> bytes:
    return zlib.compress(bytes(2**26))


def _large() -> bytes:
    packer = zlib.compressobj(1)
    packed = [packer.compress(bytes(8_001 * 799)) for _ in range(10)]
    return png(head(8_000, 7_990), chunk(b"IDAT", b"".join(packed) + packer.flush()))


def _scans() -> bytes:
    wide = saved(brain(2048), "jpg", progressive=True)
    scan = wide[wide.rindex(b"\xff\xda") : -2]
    return wide[:-2] + scan * (2**22 // len(scan)) + b"\xff\xd9"

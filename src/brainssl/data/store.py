"""ImageStore: every slice decoded once, letterboxed, at 8 or 16 bits, memory-mapped."""

import errno
import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, UInt, UInt8
from numpy.lib.format import open_memmap

from brainssl.data.duplicates import Pairs
from brainssl.data.families import Families
from brainssl.data.kept import digest_of_sources
from brainssl.data.letterbox import letterbox as letterbox
from brainssl.data.marks import marks
from brainssl.data.origins import Boxed, Origin, boxed
from brainssl.data.pool import in_order
from brainssl.data.scanned import Scan
from brainssl.data.volumes.square import NOT_SQUARE, SQUARED
from brainssl.foundation.depth import DEPTHS, depth_of, kind_of
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json, whole_folder, write_json

VERSION = 2
"""Version 2 has 16 bits a pixel, which a reader of version 1 would take for levels of 255."""

_NEAR = "near-duplicates.parquet"
_LESIONS = "lesions.npy"
_IMAGES = "images.npy"
_ROWS = ".rows.json"  # of a store that is not finished: how many are written
_NOTED = 2.0  # seconds of work at most that a kill undoes, and one origin

Shapes = dict[str, tuple[tuple[int, ...], type[np.generic]]]
"""Shape and type of each array of a store, by its file."""

Lesion = Bool[np.ndarray, "size size"] | None
"""Where the lesion of an image is; None where that is not known."""


@dataclass(frozen=True)
class ImageStore:
    """Slices as `images` uint8 or uint16 (n, size, size) on disk, one manifest row each.

    `images` is mapped copy-on-write: reading costs no memory of its own and nothing that is
    done to the array reaches the file.
    """

    path: Path
    images: UInt[np.ndarray, "n size size"]
    manifest: pd.DataFrame
    checksum: str
    facts: dict[str, Any]

    @cached_property
    def near(self) -> Pairs | None:
        """Near-duplicate pairs of the rows; None in stores of before."""
        try:
            table = pd.read_parquet(self.path / _NEAR)
            return Pairs(*(table[name].to_numpy() for name in ("left", "right", "similarity")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            file = self.path / _NEAR
            raise BrainsslError(f"{file} is damaged ({error}): prepare the store again") from None

    @cached_property
    def _lesions(self) -> UInt8[np.ndarray, "n bytes"] | None:
        """Masks, eight pixels a byte; None where the source brought none."""
        file = self.path / _LESIONS
        return np.load(file, mmap_mode="r", allow_pickle=False) if file.is_file() else None

    def lesions(self, rows: Int64[np.ndarray, " k"]) -> list[Lesion] | None:
        """Return where the lesions of images are, as the source itself says it.

        Returns:
            A mask in the pixels of `images` for each row, None where nothing is known; None alone
            where the source of this store said nothing of any.
        """
        if self._lesions is None:
            return None
        known = self.manifest["lesion"].notna().to_numpy()
        packed = np.unpackbits(self._lesions[rows], axis=1, count=self.size**2).view(bool)
        masks = packed.reshape(-1, self.size, self.size)
        return [mask if known[row] else None for row, mask in zip(rows, masks, strict=True)]

    @property
    def size(self) -> int:
        """Side of every image, in pixels."""
        return int(self.images.shape[1])

    @property
    def bits(self) -> int:
        """Bits of a pixel: 8 or 16."""
        return depth_of(self.images)

    @property
    def told_depth(self) -> dict[str, int]:
        """What a model's facts say of it: nothing of 8 bits, as they were before there were 16."""
        return {} if self.bits == DEPTHS[0] else {"bits": self.bits}

    @property
    def reader(self) -> int:
        """Version of the normalisation by which the images were read."""
        return int(self.facts.get("reader", 1))

    @property
    def plane(self) -> str:
        """Plane to which volumes were resampled; `native`: none were, all are as acquired."""
        return str(self.facts.get("plane", "native"))

    @property
    def families(self) -> Families | None:
        """Family and sequence of each class, where a table said them."""
        return self.facts.get("families")

    @property
    def classes(self) -> tuple[str, ...]:
        """The labels that occur, sorted."""
        return tuple(sorted(self.manifest["label"].dropna().unique()))

    @cached_property
    def labels(self) -> Int64[np.ndarray, " n"]:
        """Index of each image's label in `classes`; −1 without label."""
        places = {label: index for index, label in enumerate(self.classes)}
        return self.manifest["label"].map(places).fillna(-1).to_numpy(np.int64, copy=True)

    @cached_property
    def marks(self) -> UInt8[np.ndarray, "n 32"]:
        """The mark of each image, see `brainssl.data.marks`; made when first asked for."""
        return marks(self.images)

    def require_size(self, size: int) -> None:
        """Raise BrainsslError unless the images have this side, in pixels."""
        if self.size != size:
            raise BrainsslError(
                f"{self.path} holds images of {self.size} px, encoder.image_size is {size}: set it "
                f"to {self.size}, or prepare a store with --size {size}"
            )

    def require_reader(self, reader: int) -> None:
        """Raise BrainsslError unless the images are as this version, a model's, reads them."""
        if self.reader == reader or self._alike_from_2(reader):
            return
        raise BrainsslError(
            f"{self.path} was read by version {self.reader} of the reader, the model's images "
            f"by version {reader}, which makes other pixels of the same files: prepare a "
            f"store with --reader {reader}"
        )

    def _alike_from_2(self, reader: int) -> bool:
        """Tell whether another version would make the same pixels: 3 only makes some square."""
        if min(self.reader, reader) < 2 or "flags" not in self.manifest:
            return False
        flags = self.manifest["flags"].astype(str)
        return not flags.str.contains(f"{NOT_SQUARE}|{SQUARED}").any()

    def require_bits(self, bits: int) -> None:
        """Raise BrainsslError unless the images are as deep as those of a model."""
        if self.bits != bits:
            raise BrainsslError(
                f"{self.path} has {self.bits} bits a pixel, the model's images had {bits}: prepare "
                f"a store with --bits {bits}"
            )

    @classmethod
    def open(cls, path: Path) -> "ImageStore":
        """Open a store and verify its checksum.

        Raises:
            BrainsslError: not a store, written by a newer version, incomplete or altered.
        """
        facts = read_json(path / "store.json", "the facts of an ImageStore (see brainssl prepare)")
        if not isinstance(facts, dict) or facts.get("format") != "brainssl-store":
            raise BrainsslError(f"{path} is not an ImageStore: make one with brainssl prepare")
        try:
            if facts["version"] > VERSION:
                raise BrainsslError(
                    f"{path} is an ImageStore of version {facts['version']}; this brainssl reads "
                    f"up to {VERSION}: upgrade brainssl"
                )
            # Before anything is parsed: no decoder sees bytes that are not the ones written.
            checksum = _checksum(path)
            if checksum != facts["checksum"]:
                raise BrainsslError(f"{path} was altered since it was prepared: prepare it again")
            images = np.load(path / "images.npy", mmap_mode="c", allow_pickle=False)
            manifest = read_frame(path / "manifest.parquet")
            if images.dtype not in (np.uint8, np.uint16):
                raise ValueError(f"its images are {images.dtype}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrainsslError(f"{path} is damaged ({error}): prepare it again") from None
        return cls(path, images, manifest, checksum, facts)


def is_store(path: Path) -> bool:
    """Tell whether `path` holds an ImageStore."""
    return (path / "store.json").is_file()


def prepare(
    scan: Scan,
    out: Path,
    *,
    size: int,
    bits: int = 8,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    resume: bool = False,
) -> ImageStore:
    """Decode every slice of a scan into a new store at `out`.

    Memory stays constant in the number of images. A killed preparation leaves no store, and the
    same one goes on where that was, if it resumes and no file has changed.

    Args:
        scan: what `brainssl.data.scan.scan` found.
        out: folder of the store; must not exist.
        size: side of the square images in pixels; slices are letterboxed into it.
        bits: of a pixel, 8 or 16.
        progress: called with (images done, images in all).
        workers: how many images or volumes are read at once; by default one a core. The store is
            the same.
        resume: whether images that a killed call had written are taken.

    Raises:
        BrainsslError: `out` exists, or a file cannot be read as it could when it was scanned.
    """
    facts: dict[str, Any] = {
        "reader": scan.reader,
        "unreadable": [list(pair) for pair in scan.unreadable],
        "notes": list(scan.notes),
        # A reader of any result must know that it is not about real patients.
        "simulated": (scan.root.parent / "phantom.json").is_file(),
    }
    if scan.families is not None:
        facts["families"] = scan.families
    if scan.excluded:
        facts["excluded"] = [list(pair) for pair in scan.excluded]
    planes = {getattr(origin, "plane", "native") for origin in scan.origins} - {"native"}
    if planes:  # all volumes of a scan are read alike
        facts["plane"] = min(planes)
    masked = "lesion" in scan.manifest and scan.manifest["lesion"].notna().any()
    request = {
        "images": len(scan.manifest),
        "size": size,
        "bits": bits,
        "masked": bool(masked),
        "sources": digest_of_sources(scan.origins),
    }
    return _write(
        out,
        scan.manifest,
        partial(_boxed_from, scan.origins, size=size, bits=bits, workers=workers),
        size=size,
        bits=bits,
        facts=facts,
        near=scan.pairs.near(),
        masked=bool(masked),
        request=request if resume else None,
        progress=progress,
    )


def _boxed_from(
    origins: Sequence[Origin], row: int, *, size: int, bits: int, workers: int | None
) -> Iterator[Boxed]:
    """Read the images from a row on."""
    ends = np.cumsum([origin.count for origin in origins])
    first = int(np.searchsorted(ends, row, side="right"))
    before = int(ends[first - 1]) if first else 0
    return islice(_boxed(origins[first:], size, bits, workers), row - before, None)


def _boxed(origins: Sequence[Origin], size: int, bits: int, workers: int | None) -> Iterator[Boxed]:
    """Read origins in order, small ones and large ones each in their way."""
    read = partial(boxed, size=size, bits=bits)
    for large, some in groupby(origins, key=lambda origin: origin.large):
        for images in in_order(read, list(some), workers=workers, large=large):
            yield from images


def write_store(
    out: Path,
    manifest: pd.DataFrame,
    pixels: Iterator[UInt[np.ndarray, "size size"]],
    *,
    size: int,
    bits: int = 8,
    facts: dict[str, Any],
    near: Pairs | None = None,
    lesions: Iterable[Lesion] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Write images as they come, in the order of `manifest`, and open the finished store.

    Args:
        out: folder of the store; must not exist.
        manifest: a row an image; with `lesions`, its column `lesion` says of which one is known.
        pixels: of each image.
        size: side of the images, in pixels.
        bits: of a pixel.
        facts: further facts of the store.
        near: near-duplicate pairs of the rows.
        lesions: where the lesion of each image is; None of one that has none, or is not known. They
            are taken one by one with `pixels`.
        progress: called with (images done, images in all).

    Raises:
        BrainsslError: `out` exists, or there is no room for it.
        ValueError: `pixels` yields fewer or more images than the manifest has rows.
    """
    drawn = repeat(None) if lesions is None else lesions
    return _write(
        out,
        manifest,
        lambda _: zip(pixels, drawn, strict=False),
        size=size,
        bits=bits,
        facts=facts,
        near=near,
        masked=lesions is not None,
        progress=progress,
    )


def _write(
    out: Path,
    manifest: pd.DataFrame,
    boxed_from: Callable[[int], Iterator[Boxed]],
    *,
    size: int,
    bits: int,
    facts: dict[str, Any],
    near: Pairs | None,
    masked: bool,
    request: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Write a store; with a request, that it is for, go on after the rows of a killed call."""
    with whole_folder(out, resume=request is not None, request=request) as folder:
        count = len(manifest)
        shapes: Shapes = {_IMAGES: ((count, size, size), kind_of(bits))}
        if masked:
            shapes[_LESIONS] = ((count, -(-(size**2) // 8)), np.uint8)
        done = _rows_done(folder, shapes)
        arrays = {
            name: _mapped(folder, name, *shape, out, begun=done > 0)
            for name, shape in shapes.items()
        }
        noted = time.monotonic()
        for row, (image, lesion) in zip(range(done, count), boxed_from(done), strict=True):
            arrays[_IMAGES][row] = image
            if lesion is not None and masked:
                arrays[_LESIONS][row] = np.packbits(lesion)
            if request is not None and time.monotonic() - noted > _NOTED:
                _flush(arrays.values())  # first the rows, then the word that they are there
                write_json(folder / _ROWS, row + 1)
                noted = time.monotonic()
            if progress:
                progress(row + 1, count)
        _flush(arrays.values())
        arrays.clear()
        manifest.reset_index(drop=True).to_parquet(folder / "manifest.parquet")
        if near is not None:
            pairs = {"left": near.left, "right": near.right, "similarity": near.similarity}
            pd.DataFrame(pairs).to_parquet(folder / _NEAR)
        described = {"format": "brainssl-store", "version": 1 if bits == 8 else 2, "size": size}
        described |= {} if bits == DEPTHS[0] else {"bits": bits}
        described |= {"images": count, **facts, "checksum": _checksum(folder)}
        write_json(folder / "store.json", described)
    return ImageStore.open(out)


def _rows_done(folder: Path, shapes: Shapes) -> int:
    """Return how many rows a killed call has written for sure."""
    try:
        done = int(read_json(folder / _ROWS, "the rows that are written"))
        for name, (shape, kind) in shapes.items():
            held = np.load(folder / name, mmap_mode="r", allow_pickle=False)
            if held.shape != shape or held.dtype != kind:
                return 0
    except (BrainsslError, OSError, ValueError, TypeError):
        return 0
    return done


def _flush(arrays: Iterable[np.memmap[Any, Any]]) -> None:
    for array in arrays:
        array.flush()


def _mapped(
    folder: Path,
    name: str,
    shape: tuple[int, ...],
    kind: type[np.generic],
    out: Path,
    *,
    begun: bool,
) -> np.memmap[Any, Any]:
    """Make a file of pixels that is mapped into memory, with room for all of it."""
    if begun:
        return open_memmap(folder / name, mode="r+")
    array = open_memmap(folder / name, mode="w+", dtype=kind, shape=shape)
    _reserve(folder / name, out)
    return array


def _reserve(file: Path, out: Path) -> None:
    """Take the room that a mapped file will need: where it is missing later, the process dies."""
    size = file.stat().st_size
    try:
        with file.open("rb+") as opened:
            os.posix_fallocate(opened.fileno(), 0, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            return  # a file system that cannot reserve
        raise BrainsslError(
            f"{out}: there is no room for its {size / 2**20:.0f} MiB of images; choose another "
            "place"
        ) from None


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("images.npy", "manifest.parquet", _LESIONS):
        if name == _LESIONS and not (folder / name).is_file():
            continue
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

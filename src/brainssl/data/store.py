"""ImageStore: every slice decoded once, letterboxed, uint8, memory-mapped."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64, UInt8
from numpy.lib.format import open_memmap
from PIL import Image

from brainssl.data.duplicates import Pairs
from brainssl.data.families import Families
from brainssl.data.marks import marks
from brainssl.data.pool import in_order
from brainssl.data.read import read_slice
from brainssl.data.scan import Scan
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json, whole_folder, write_json

VERSION = 1
_NEAR = "near-duplicates.parquet"


@dataclass(frozen=True)
class ImageStore:
    """Slices as `images` uint8 (n, size, size) on disk, one manifest row each.

    `images` is mapped copy-on-write: reading costs no memory of its own and nothing that is
    done to the array reaches the file.
    """

    path: Path
    images: UInt8[np.ndarray, "n size size"]
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

    @property
    def size(self) -> int:
        """Side of every image, in pixels."""
        return int(self.images.shape[1])

    @property
    def reader(self) -> int:
        """Version of the normalisation by which the images were read."""
        return int(self.facts.get("reader", 1))

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
        """Raise BrainsslError unless the images were read by this version, that of a model."""
        if self.reader != reader:
            raise BrainsslError(
                f"{self.path} was read by version {self.reader} of the reader, the model's images "
                f"by version {reader}, which makes other grey levels of the same files: prepare a "
                f"store with --reader {reader}"
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
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> ImageStore:
    """Decode every slice of a scan into a new store at `out`.

    Memory stays constant in the number of images. A killed preparation leaves no store.

    Args:
        scan: what `brainssl.data.scan.scan` found.
        out: folder of the store; must not exist.
        size: side of the square images in pixels; slices are letterboxed into it.
        progress: called with (images done, images in all).
        workers: how many images are read at once; by default one a core. The store is the same.

    Raises:
        BrainsslError: `out` exists, or a file cannot be read as it could when it was scanned.
    """
    read = partial(_letterboxed, size=size, reader=scan.reader)
    pixels = in_order(read, scan.files, workers=workers)
    facts = {
        "reader": scan.reader,
        "unreadable": [list(pair) for pair in scan.unreadable],
        "notes": list(scan.notes),
        # A reader of any result must know that it is not about real patients.
        "simulated": (scan.root.parent / "phantom.json").is_file(),
    }
    if scan.families is not None:
        facts["families"] = scan.families
    near = scan.pairs.near()
    return write_store(
        out, scan.manifest, pixels, size=size, facts=facts, near=near, progress=progress
    )


def _letterboxed(path: Path, *, size: int, reader: int) -> UInt8[np.ndarray, "size size"]:
    return letterbox(read_slice(path, reader=reader).pixels, size)


def write_store(
    out: Path,
    manifest: pd.DataFrame,
    pixels: Iterator[UInt8[np.ndarray, "size size"]],
    *,
    size: int,
    facts: dict[str, Any],
    near: Pairs | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImageStore:
    """Write images as they come, in the order of `manifest`, and open the finished store.

    Raises:
        BrainsslError: `out` exists, or there is no room for it.
        ValueError: `pixels` yields fewer or more images than the manifest has rows.
    """
    with whole_folder(out) as folder:
        shape = (len(manifest), size, size)
        images = open_memmap(folder / "images.npy", mode="w+", dtype=np.uint8, shape=shape)
        _reserve(folder / "images.npy", out)
        for row, image in zip(range(len(manifest)), pixels, strict=True):
            images[row] = image
            if progress:
                progress(row + 1, len(manifest))
        images.flush()
        del images
        manifest.reset_index(drop=True).to_parquet(folder / "manifest.parquet")
        if near is not None:
            pairs = {"left": near.left, "right": near.right, "similarity": near.similarity}
            pd.DataFrame(pairs).to_parquet(folder / _NEAR)
        described = {"format": "brainssl-store", "version": VERSION, "size": size}
        described |= {"images": len(manifest), **facts, "checksum": _checksum(folder)}
        write_json(folder / "store.json", described)
    return ImageStore.open(out)


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


def letterbox(pixels: Float32[np.ndarray, "h w"], size: int) -> UInt8[np.ndarray, "size size"]:
    """Scale the longer side to `size`, pad the shorter with black, round [0, 1] to 0..255.

    Training, prediction and serving all pass through here: the same pixels, bit for bit.
    """
    height, width = pixels.shape
    rows, columns = letterbox_window(height, width, size)
    shape = (columns.stop - columns.start, rows.stop - rows.start)
    # Pillow widens the filter when it shrinks, so fine detail does not alias.
    resized = np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.BILINEAR))
    square = np.zeros((size, size), np.uint8)
    square[rows, columns] = np.rint(resized.clip(0, 1) * 255).astype(np.uint8)
    return square


def letterbox_window(height: int, width: int, size: int) -> tuple[slice, slice]:
    """Return the rows and columns of the square that an image of this shape, in pixels, fills."""
    scale = size / max(height, width)
    h, w = max(1, round(height * scale)), max(1, round(width * scale))
    top, left = (size - h) // 2, (size - w) // 2
    return slice(top, top + h), slice(left, left + w)


def _checksum(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in ("images.npy", "manifest.parquet"):
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

"""Every image of a scan becomes a row of a store: read in order, goes on after a kill."""

import errno
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import groupby, islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt
from numpy.lib.format import open_memmap

from brainssl.data.duplicates import Pairs
from brainssl.data.field_of_view import FIELD
from brainssl.data.kept import digest_of_sources
from brainssl.data.origins import Boxed, Origin, boxed
from brainssl.data.pool import in_order
from brainssl.data.scanned import Scan
from brainssl.data.store import (
    IMAGES,
    LESIONS,
    NEAR,
    VERSION,
    VERSION_OF_DEPTH,
    ImageStore,
    Lesion,
    checksum_of,
)
from brainssl.foundation.depth import DEPTHS, kind_of
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, whole_folder, write_json

_ROWS = ".rows.json"  # of a store that is not finished: how many are written
_NOTED = 2.0  # seconds of work at most that a kill undoes, and one origin

Shapes = dict[str, tuple[tuple[int, ...], type[np.generic]]]
"""Shape and type of each array of a store, by its file."""


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
    if (field := _field_of_view(scan.origins)) is not None:
        facts[FIELD] = field
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


def _field_of_view(origins: Sequence[Origin]) -> float | None:
    """Return the field of view of all images; None where they are whole.

    Raises:
        BrainsslError: some have one, and others another or none.
    """
    fields = {getattr(origin, "field_of_view", None) for origin in origins}
    if len(fields) > 1:
        raise BrainsslError(
            "some images have a field of view in millimetres and others have not: read pictures "
            "and volumes into stores of their own"
        )
    return next(iter(fields), None)


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
        shapes: Shapes = {IMAGES: ((count, size, size), kind_of(bits))}
        if masked:
            shapes[LESIONS] = ((count, -(-(size**2) // 8)), np.uint8)
        done = _rows_done(folder, shapes)
        arrays = {
            name: _mapped(folder, name, *shape, out, begun=done > 0)
            for name, shape in shapes.items()
        }
        noted = time.monotonic()
        for row, (image, lesion) in zip(range(done, count), boxed_from(done), strict=True):
            arrays[IMAGES][row] = image
            if lesion is not None and masked:
                arrays[LESIONS][row] = np.packbits(lesion)
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
            pd.DataFrame(pairs).to_parquet(folder / NEAR)
        described: dict[str, Any] = {"format": "brainssl-store", "version": 1, "size": size}
        if bits > DEPTHS[0]:
            described |= {"version": VERSION_OF_DEPTH, "bits": bits}
        if FIELD in facts:
            described["version"] = VERSION
        described |= {"images": count, **facts, "checksum": checksum_of(folder)}
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

"""ImageStore: every slice decoded once, letterboxed, at 8 or 16 bits, memory-mapped."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64, UInt, UInt8

from brainssl.data.duplicates import Pairs
from brainssl.data.families import Families
from brainssl.data.field_of_view import FIELD, field_in
from brainssl.data.letterbox import letterbox as letterbox
from brainssl.data.marks import marks
from brainssl.data.volumes.square import NOT_SQUARE, SQUARED
from brainssl.foundation.depth import DEPTHS, depth_of
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.plain_names import read_frame
from brainssl.foundation.storage import read_json

VERSION, VERSION_OF_DEPTH = 3, 2
"""Version 3 has a field of view, of which models that learn from the store must say; version 2 has
16 bits a pixel, which a reader of version 1 would take for levels of 255."""

NEAR = "near-duplicates.parquet"
LESIONS = "lesions.npy"
IMAGES = "images.npy"


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
            table = pd.read_parquet(self.path / NEAR)
            return Pairs(*(table[name].to_numpy() for name in ("left", "right", "similarity")))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError) as error:
            file = self.path / NEAR
            raise BrainsslError(f"{file} is damaged ({error}): prepare the store again") from None

    @cached_property
    def _lesions(self) -> UInt8[np.ndarray, "n bytes"] | None:
        """Masks, eight pixels a byte; None where the source brought none."""
        file = self.path / LESIONS
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
    def field_of_view(self) -> float | None:
        """Side in mm of the square that is seen of each slice; None: slices are whole."""
        return field_in(self.facts)

    @property
    def told_pixels(self) -> dict[str, float]:
        """What a model's facts say of them: nothing of 8 bits and of whole slices."""
        depth: dict[str, float] = {} if self.bits == DEPTHS[0] else {"bits": self.bits}
        return depth if self.field_of_view is None else {**depth, FIELD: self.field_of_view}

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

    def require_field_of_view(self, mm: float | None) -> None:
        """Raise BrainsslError unless as much is seen of slices as of those of a model."""
        if self.field_of_view == mm:
            return
        mend = "without --field-of-view" if mm is None else f"with --field-of-view {mm:g}"
        raise BrainsslError(
            f"{self.path} has {_told(self.field_of_view)}, the model's images were {_told(mm)}: "
            f"prepare a store {mend}"
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
            checksum = checksum_of(path)
            if checksum != facts["checksum"]:
                raise BrainsslError(f"{path} was altered since it was prepared: prepare it again")
            images = np.load(path / IMAGES, mmap_mode="c", allow_pickle=False)
            manifest = read_frame(path / "manifest.parquet")
            if images.dtype not in (np.uint8, np.uint16):
                raise ValueError(f"its images are {images.dtype}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrainsslError(f"{path} is damaged ({error}): prepare it again") from None
        return cls(path, images, manifest, checksum, facts)


def _told(mm: float | None) -> str:
    return "whole slices" if mm is None else f"slices of {mm:g} mm"


def is_store(path: Path) -> bool:
    """Tell whether `path` holds an ImageStore."""
    return (path / "store.json").is_file()


def checksum_of(folder: Path) -> str:
    """Return the digest of what a store holds, by its files."""
    digest = hashlib.sha256()
    for name in (IMAGES, "manifest.parquet", LESIONS):
        if name == LESIONS and not (folder / name).is_file():
            continue
        with (folder / name).open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()

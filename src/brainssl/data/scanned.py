"""What a scan found in a source."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float16, Float32

from brainssl.data.duplicates import Pairs
from brainssl.data.extra import is_extra
from brainssl.data.families import Families
from brainssl.data.normalisation import READER
from brainssl.data.origins import Origin
from brainssl.data.read import UnreadableImage
from brainssl.data.shown import ShownSeries
from brainssl.foundation.errors import BrainsslError


@dataclass
class Part:
    """What was read of one folder, before its images are grouped.

    Attributes:
        root: folder that the manifest's paths are relative to.
        manifest: one row an image; the groups are not looked at.
        fingerprints: of each image.
        file_digests: of each image.
        origins: of the images, in order.
        together: of each image a name that it shares with others of its patient, or None.
        unreadable: relative path and reason of every file or volume that was left out.
        notes: decisions that a reader of the data should know.
        excluded: series that were not read, and why.
        series: few slices of each that was read, and what headers say of it.
        families: `[family, sequence]` of each class, where a table says them.
        lost: classes of which nothing could be read.
        questions: what only the user can answer.
        overlooked: tables and masks beside the folder that was named, a sentence each.
    """

    root: Path
    manifest: pd.DataFrame
    fingerprints: Float16[np.ndarray, "n 2 side side"]
    file_digests: list[str]
    origins: Sequence[Origin]
    together: list[str | None]
    unreadable: list[tuple[str, str]]
    notes: list[str]
    excluded: list[tuple[str, str]] = field(default_factory=list)
    series: list[ShownSeries] = field(default_factory=list)
    families: Families | None = None
    lost: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    overlooked: list[str] = field(default_factory=list)


@dataclass
class Scan:
    """What a source holds.

    Attributes:
        root: folder that the manifest's paths are relative to.
        manifest: one row a readable image, sorted by path, with the columns `image_id` (16 hex
            digits of the path's SHA-256), `path` (POSIX), `label`, `sequence`, `patient`, `plane`
            (None where unknown), `group` (int64; images that must not cross a split share it),
            `width`, `height` (pixels, upright), `source_bits`, `flags` (joined by ";"), `given`
            ("train", "test" or None) and `pixels` (SHA-256 of the decoded pixels); of slices of
            volumes more, see `brainssl.data.archives.scan_archive`. Extra images for pretraining
            alone come last, see `brainssl.data.extra`.
        unreadable: relative path and reason of every file or volume that was left out.
        notes: decisions that a reader of the data should know.
        file_digests: SHA-256 of each manifest row's file, or of its samples in a volume.
        pairs: near-duplicate pairs of manifest rows, extra images aside.
        questions: what only the user can answer; until then no study can be believed.
        lost: classes of which no file could be read.
        reader: version of the normalisation by which the files were read.
        families: `[family, sequence]` of each class, where a table says them.
        overlooked: tables and masks beside the folder that was named, a sentence each.
        extra: names of the extra folders.
        origins: what gives the images of the rows, in order.
        excluded: series of volumes that were not read, and why.
        series: few slices of each that was read, and what headers say of it; extra ones aside.
    """

    root: Path
    manifest: pd.DataFrame
    unreadable: list[tuple[str, str]]
    notes: list[str]
    file_digests: list[str] = field(default_factory=list)
    pairs: Pairs = field(default_factory=Pairs.none)
    questions: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    reader: int = READER
    families: Families | None = None
    overlooked: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    origins: Sequence[Origin] = ()
    excluded: list[tuple[str, str]] = field(default_factory=list)
    series: list[ShownSeries] = field(default_factory=list)

    @property
    def own(self) -> "Scan":
        """What it holds without the images of extra folders."""
        if not self.extra:
            return self
        own = int((~is_extra(self.manifest)).sum())
        ends = np.cumsum([origin.count for origin in self.origins])
        return replace(
            self,
            manifest=self.manifest.iloc[:own],
            file_digests=self.file_digests[:own],
            origins=self.origins[: int(np.searchsorted(ends, own)) + 1],
            extra=[],
        )

    @property
    def lost_in_words(self) -> list[str]:
        """A sentence for each class of which no file could be read."""
        return [f"no file of the class {name} could be read" for name in self.lost]

    @property
    def losses(self) -> list[str]:
        """What was left out, in sentences for the terminal."""
        told = [*self.lost_in_words, *self.overlooked]
        if self.unreadable:
            path, reason = self.unreadable[0]
            told.append(f"left out: {len(self.unreadable)}, e.g. {path}: {reason}")
        return told

    def refuse_questions(self) -> None:
        """Raise BrainsslError where something must be answered before anything is trained."""
        if self.questions:
            raise BrainsslError(f"{self.root}: {self.questions[0]}")

    def images(self, paths: Collection[str]) -> dict[str, Float32[np.ndarray, "h w"]]:
        """Read images by their paths, each volume once; what cannot be read any more is missing."""
        wanted, row = set(paths), 0
        found: dict[str, Float32[np.ndarray, "h w"]] = {}
        every = self.manifest["path"].tolist()
        for origin in self.origins:
            own = every[row : row + origin.count]
            row += origin.count
            if wanted.isdisjoint(own):
                continue
            try:
                shown = zip(own, origin.images(), strict=True)
                found |= {path: image for path, (image, _, _) in shown if path in wanted}
            except UnreadableImage:
                continue
        return found

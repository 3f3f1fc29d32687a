"""A folder of images becomes a manifest: one row an image.

A scan decodes each image once, on all cores, and keeps only its fingerprint and digests.
Preparing a store decodes it again: the pixels of a whole collection need not fit into memory.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from brainssl.data.csv_tables import composed
from brainssl.data.duplicates import Pairs, near_pairs
from brainssl.data.families import Families
from brainssl.data.groups import blank_rows, group_slices
from brainssl.data.layout import Layout, read_layout, take_families
from brainssl.data.look import Seen, look
from brainssl.data.normalisation import READER
from brainssl.data.pool import in_order
from brainssl.data.read import NAMED
from brainssl.data.sequence import sequence_of
from brainssl.foundation.errors import BrainsslError

MANIFEST_COLUMNS = (
    "image_id",
    "path",
    "label",
    "sequence",
    "patient",
    "plane",
    "group",
    "width",
    "height",
    "source_bits",
    "flags",
    "given",
    "pixels",
)


@dataclass
class Scan:
    """What a source holds.

    Attributes:
        root: folder that the manifest's paths are relative to.
        manifest: one row a readable image, sorted by path, with the columns `image_id` (16 hex
            digits of the path's SHA-256), `path` (POSIX), `label`, `sequence`, `patient`, `plane`
            (None where unknown), `group` (int64; images that must not cross a split share it),
            `width`, `height` (pixels, upright), `source_bits`, `flags` (joined by ";"), `given`
            ("train", "test" or None) and `pixels` (SHA-256 of the decoded pixels).
        unreadable: relative path and reason of every file that was left out.
        notes: decisions that a reader of the data should know.
        file_digests: SHA-256 of each manifest row's file.
        pairs: near-duplicate pairs of manifest rows.
        questions: what only the user can answer; until then no study can be believed.
        lost: classes of which no file could be read.
        reader: version of the normalisation by which the files were read.
        families: `[family, sequence]` of each class, where a table says them.
        overlooked: tables and masks beside the folder that was named, a sentence each.
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


def scan(
    source: Path,
    *,
    labels: Path | None = None,
    classes_at: int | None = None,
    columns: Sequence[str] = (),
    families: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
    reader: int = READER,
) -> Scan:
    """Decode every image of a source once and describe it.

    Args:
        source: a folder in one of the layouts that `brainssl.data.layout.read_layout` describes.
        labels: CSV `folder,label` (an empty label keeps the images for pretraining only) or
            `path,label[,patient]`.
        classes_at: level of the classes among the folders, from 1; by default it is found.
        columns: further columns of the tables that the manifest is to have, such as `site`.
        families: CSV `label,family,sequence`; without it `families.csv` in the source.
        progress: is told (images done, images in all).
        workers: how many images are read at once; by default one a core. The result is the same.
        reader: version of the normalisation; that of the model that the images are for.

    Returns:
        The manifest, with the files that were left out and why.

    Raises:
        BrainsslError: no such folder, no readable image in it, or tables that do not fit it.
    """
    layout = read_layout(source, labels, classes_at, columns)
    take_families(layout, families, relabelled=labels is not None)
    seen: dict[str, Seen] = {}
    results = in_order(
        partial(look, reader=reader), [layout.root / path for path in layout.paths], workers=workers
    )
    for done, (path, result) in enumerate(zip(layout.paths, results, strict=True), start=1):
        if isinstance(result, Seen):
            seen[path] = result
        else:
            layout.unreadable.append((path, result.reason))
        if progress:
            progress(done, len(layout.paths))
    layout.unreadable.sort()
    if not seen:
        raise BrainsslError(_nothing_found(source, layout))
    return _describe(layout, seen, reader)


def _nothing_found(source: Path, layout: Layout) -> str:
    if not layout.unreadable:
        return f"{source}: holds no image; name a folder with {NAMED} files"
    path, reason = layout.unreadable[0]
    return (
        f"{source}: none of its {len(layout.unreadable)} files is a readable image, e.g. {path} "
        f"{reason}; name a folder with {NAMED} files"
    )


def _describe(layout: Layout, seen: dict[str, Seen], reader: int) -> Scan:
    """Build the manifest and its groups."""
    paths = list(seen)
    labels = [layout.labels[path] for path in paths]
    images = list(seen.values())
    manifest = pd.DataFrame(
        {
            "image_id": _identifiers(paths),
            "path": paths,
            "label": _optional(labels),
            "sequence": _optional(
                [
                    _sequence(label, path, layout.families)
                    for label, path in zip(labels, paths, strict=True)
                ]
            ),
            "patient": _optional([layout.patients[path] for path in paths]),
            "plane": _optional([layout.planes[path] for path in paths]),
            "group": np.zeros(len(paths), np.int64),
            "width": np.array([image.width for image in images], np.int64),
            "height": np.array([image.height for image in images], np.int64),
            "source_bits": np.array([image.source_bits for image in images], np.int64),
            "flags": [image.flags for image in images],
            "given": _optional([layout.given[path] for path in paths]),
            "pixels": [image.pixel_digest for image in images],
        },
        columns=list(MANIFEST_COLUMNS),
    )
    for name, known in layout.further.items():
        if name not in MANIFEST_COLUMNS:
            manifest[name] = _optional([known.get(path) for path in paths])
    pairs = near_pairs(np.stack([image.fingerprint for image in images]))
    patients, pixels = manifest["patient"].tolist(), manifest["pixels"].tolist()
    groups = group_slices(patients, pixels, pairs, blank_rows(manifest))
    manifest["group"] = groups.group
    notes = layout.notes + groups.notes
    if layout.families is None:
        notes += _notes_on_sequences(manifest)
    digests = [image.file_digest for image in images]
    wanted = {layout.labels.get(path) for path, _ in layout.unreadable} - {None}
    lost = sorted(str(name) for name in wanted - set(labels))
    return Scan(
        layout.root,
        manifest,
        layout.unreadable,
        notes,
        digests,
        pairs,
        layout.questions,
        lost,
        reader,
        layout.families,
        layout.overlooked,
    )


def _sequence(label: str | None, path: str, families: Families | None) -> str | None:
    """Return the sequence of an image: its class's by the table, else by the names of folders."""
    if label is not None and families is not None:
        return families[label][1] or None
    return sequence_of(label, *reversed(Path(path).parts[:-1]))


def _notes_on_sequences(manifest: pd.DataFrame) -> list[str]:
    """Say where some classes name a sequence and others do not."""
    labelled = manifest[manifest["label"].notna()]
    without = sorted(labelled["label"][labelled["sequence"].isna()].unique())
    if not without or labelled["sequence"].isna().all():
        return []
    return [
        f"{len(without)} of {labelled['label'].nunique()} classes name no sequence, and others do: "
        f"{', '.join(without[:3])}."
    ]


def _optional(values: Sequence[str | None]) -> pd.Series:
    """A text column that keeps None as None."""
    return pd.Series(values, dtype=object)


def _identifiers(paths: Sequence[str]) -> list[str]:
    """Return 16 hex digits a path, the same whether a file system composes Unicode or not."""
    taken: set[str] = set()
    identifiers = []
    for path in paths:
        name = composed(path)
        while (identifier := hashlib.sha256(name.encode()).hexdigest()[:16]) in taken:
            name = f"{name}\n{path}"  # both spellings of one name lie side by side
        taken.add(identifier)
        identifiers.append(identifier)
    return identifiers

"""A folder of images becomes a manifest: one row an image.

A scan decodes each image once, on all cores, and keeps only its fingerprint and digests.
Preparing a store decodes it again: the pixels of a whole collection need not fit into memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from brainssl.data.duplicates import Pairs, near_pairs
from brainssl.data.extra import EXTRA, ExtraFolder, is_extra, joined, read_extra, said_of_extra
from brainssl.data.families import Families
from brainssl.data.groups import blank_rows, group_slices
from brainssl.data.layout import Layout, read_layout, take_families
from brainssl.data.look import Seen, look
from brainssl.data.manifest import MANIFEST_COLUMNS, identifiers, manifest_of, optional
from brainssl.data.normalisation import READER
from brainssl.data.pool import in_order
from brainssl.data.read import NAMED
from brainssl.foundation.errors import BrainsslError


@dataclass
class Scan:
    """What a source holds.

    Attributes:
        root: folder that the manifest's paths are relative to.
        manifest: one row a readable image, sorted by path, with the columns `image_id` (16 hex
            digits of the path's SHA-256), `path` (POSIX), `label`, `sequence`, `patient`, `plane`
            (None where unknown), `group` (int64; images that must not cross a split share it),
            `width`, `height` (pixels, upright), `source_bits`, `flags` (joined by ";"), `given`
            ("train", "test" or None) and `pixels` (SHA-256 of the decoded pixels). Extra images for
            pretraining alone come last, see `brainssl.data.extra`.
        unreadable: relative path and reason of every file that was left out.
        notes: decisions that a reader of the data should know.
        file_digests: SHA-256 of each manifest row's file.
        pairs: near-duplicate pairs of manifest rows, extra images aside.
        questions: what only the user can answer; until then no study can be believed.
        lost: classes of which no file could be read.
        reader: version of the normalisation by which the files were read.
        families: `[family, sequence]` of each class, where a table says them.
        overlooked: tables and masks beside the folder that was named, a sentence each.
        extra: the extra folders.
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
    extra: list[ExtraFolder] = field(default_factory=list)

    @property
    def own(self) -> "Scan":
        """What it holds without the images of extra folders."""
        if not self.extra:
            return self
        own = int((~is_extra(self.manifest)).sum())
        manifest = self.manifest.iloc[:own]
        return replace(self, manifest=manifest, file_digests=self.file_digests[:own], extra=[])

    @property
    def files(self) -> list[Path]:
        """Where the image of each row of the manifest lies."""
        roots = {folder.prefix: folder.layout.root for folder in self.extra}
        return [_file(path, self.root, roots) for path in self.manifest["path"]]

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
    unlabelled: Sequence[Path] = (),
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
        unlabelled: extra folders, whose images join for pretraining alone.

    Returns:
        The manifest, with the files that were left out and why.

    Raises:
        BrainsslError: no such folder, no readable image in it, or tables that do not fit it.
    """
    layout = read_layout(source, labels, classes_at, columns)
    take_families(layout, families, relabelled=labels is not None)
    extra = read_extra(unlabelled, source)
    layouts = [layout, *(folder.layout for folder in extra)]
    files = [one.root / path for one in layouts for path in one.paths]
    results = iter(in_order(partial(look, reader=reader), files, workers=workers))
    read: list[dict[str, Seen]] = []
    done = 0
    for one in layouts:
        seen: dict[str, Seen] = {}
        for path in one.paths:
            result, done = next(results), done + 1
            if isinstance(result, Seen):
                seen[path] = result
            else:
                one.unreadable.append((path, result.reason))
            if progress:
                progress(done, len(files))
        one.unreadable.sort()
        if not seen:
            raise BrainsslError(_nothing_found(source if one is layout else one.home, one))
        read.append(seen)
    found = _describe(layout, read[0], reader)
    return _with_extra(found, extra, read) if extra else found


def _file(path: str, root: Path, roots: dict[str, Path]) -> Path:
    for prefix, own in roots.items():
        if path.startswith(prefix):
            return own / path.removeprefix(prefix)
    return root / path


def _with_extra(found: Scan, extra: list[ExtraFolder], read: list[dict[str, Seen]]) -> Scan:
    """Add the images of extra folders to a scan.

    Args:
        found: the scan.
        extra: the folders.
        read: what was seen of the images of the source, and of each folder.
    """
    manifests, taken = [], set(found.manifest["path"])
    for folder, seen in zip(extra, read[1:], strict=True):
        if any(path.startswith(folder.prefix) for path in taken):
            raise BrainsslError(f"{found.root}: rename the folder {folder.prefix[:-1]} in it")
        manifest = manifest_of(folder.layout, seen, labelled=False)
        paths = [folder.prefix + path for path in manifest["path"]]
        own = {"path": paths, "image_id": identifiers(paths), EXTRA: folder.name}
        manifests.append(manifest.assign(**own))
    every = [image for seen in read for image in seen.values()]
    manifest = joined(
        found.manifest,
        pd.concat(manifests, ignore_index=True),
        np.stack([image.fingerprint for image in every]),
    )
    unreadable = [
        (folder.prefix + path, reason)
        for folder in extra
        for path, reason in folder.layout.unreadable
    ]
    return replace(
        found,
        manifest=manifest,
        unreadable=[*found.unreadable, *unreadable],
        notes=[*found.notes, *said_of_extra(manifest, [folder.name for folder in extra])],
        file_digests=[image.file_digest for image in every],
        extra=extra,
    )


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
    paths, images = list(seen), list(seen.values())
    manifest = manifest_of(layout, seen)
    for name, known in layout.further.items():
        if name not in MANIFEST_COLUMNS:
            manifest[name] = optional([known.get(path) for path in paths])
    pairs = near_pairs(np.stack([image.fingerprint for image in images]))
    patients, pixels = manifest["patient"].tolist(), manifest["pixels"].tolist()
    groups = group_slices(patients, pixels, pairs, blank_rows(manifest))
    manifest["group"] = groups.group
    notes = layout.notes + groups.notes
    if layout.families is None:
        notes += _notes_on_sequences(manifest)
    digests = [image.file_digest for image in images]
    wanted = {layout.labels.get(path) for path, _ in layout.unreadable} - {None}
    lost = sorted(str(name) for name in wanted - set(manifest["label"]))
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

"""A folder of pictures or an archive of volumes becomes a manifest: one row an image.

A scan decodes each image once, on all cores, and keeps only its fingerprint and digests.
Preparing a store decodes it again: the pixels of a whole collection need not fit into memory.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float16

from brainssl.data.archives.archive import Archive
from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.archives.scan_archive import read_archive, series_to_read
from brainssl.data.duplicates import near_pairs
from brainssl.data.extra import EXTRA, ExtraFolder, joined, read_extra, said_of_extra
from brainssl.data.groups import blank_rows, group_slices
from brainssl.data.kept import Kept
from brainssl.data.layout import Layout, take_families
from brainssl.data.look import Fingerprints, Seen, look
from brainssl.data.manifest import MANIFEST_COLUMNS, identifiers, manifest_of, optional
from brainssl.data.normalisation import READER
from brainssl.data.origins import PictureFile
from brainssl.data.pool import in_order
from brainssl.data.read import NAMED, VOLUMES
from brainssl.data.scanned import Part as Part
from brainssl.data.scanned import Scan as Scan
from brainssl.data.sources import open_source
from brainssl.data.volumes.origin import SeenVolume, VolumeOrigin
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.nouns import counted


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
    reading: Reading = BY_DEFAULT,
    kept: Kept | None = None,
) -> Scan:
    """Decode every image of a source once and describe it.

    Args:
        source: a folder in one of the layouts that `brainssl.data.layout.read_layout` describes,
            or one that holds volumes, see `brainssl.data.archives.archive`.
        labels: CSV `folder,label` (an empty label keeps the images for pretraining only) or
            `path,label[,patient]`; of volumes `patient,label`, `study,label` or `series,label`.
        classes_at: level of the classes among the folders, from 1; by default it is found.
        columns: further columns of the tables that the manifest is to have, such as `site`; of the
            table of labels of volumes it has all.
        families: CSV `label,family,sequence`; without it `families.csv` in the source.
        progress: is told (images or volumes done, in all).
        workers: how many images or volumes are read at once; by default one a core. The result is
            the same.
        reader: version of the normalisation; that of the model that the images are for.
        unlabelled: extra folders, whose images join for pretraining alone.
        reading: how volumes are read and labelled.
        kept: what an earlier call had read before it was killed, see `kept_beside`.

    Returns:
        The manifest, with the files that were left out and why.

    Raises:
        BadUseError: an option is of volumes and there are pictures, or the other way round.
        BrainsslError: no such folder, no readable image in it, or tables that do not fit it.
    """
    extra = read_extra(unlabelled, source)
    own = open_source(
        source,
        labels=labels,
        classes_at=classes_at,
        columns=columns,
        reading=reading,
        progress=progress,
        workers=workers,
    )
    if isinstance(own, Layout):
        take_families(own, families, relabelled=labels is not None)
    every: list[Layout | Archive] = [own, *(_opened(one, reading, workers) for one in extra)]
    _refuse_pictures(extra, every[1:], reading)
    read = _Reading(every, progress, reader, workers, kept)
    first = (
        read.pictures(own, source, labelled=True)
        if isinstance(own, Layout)
        else read.volumes(own, reading, labels=labels, families=families)
    )
    if missing := [name for name in columns if name not in first.manifest]:
        raise BrainsslError(f"{source}: no table or header of it has the column {missing[0]}")
    parts = [
        read.pictures(one, folder.path, labelled=False)
        if isinstance(one, Layout)
        else read.volumes(one, reading, labelled=False)
        for folder, one in zip(extra, every[1:], strict=True)
    ]
    found = _grouped(first, reader)
    if not extra:
        return found
    return _with_extra(found, first, extra, parts, read.fingerprints.together())


def _refuse_pictures(
    extra: Sequence[ExtraFolder], opened: Sequence[Layout | Archive], reading: Reading
) -> None:
    """Refuse extra pictures, of which nobody knows the millimetres, beside fields of view."""
    for folder, one in zip(extra, opened, strict=True):
        if reading.field_of_view is not None and isinstance(one, Layout):
            raise BrainsslError(
                f"--unlabelled {folder.path} holds pictures, which say nothing of millimetres: "
                "leave it out, or leave out --field-of-view"
            )


def kept_beside(folder: Path) -> Kept:
    """Return where a reading for `folder`, which is yet to be made, keeps what it has read."""
    classes = (Seen, SeenVolume, VolumeOrigin)
    return Kept(folder.with_name(f".{folder.name}.reading.partial"), classes)


def _opened(folder: ExtraFolder, reading: Reading, workers: int | None) -> Layout | Archive:
    """Open an extra folder; there, options of volumes may have nothing to choose from."""
    return open_source(folder.path, reading=Reading(key=reading.key), workers=workers)


class _Reading:
    """Reads all parts of a scan, and tells how far it is in all of them together."""

    def __init__(
        self,
        every: Sequence[Layout | Archive],
        progress: Callable[[int, int], None] | None,
        reader: int,
        workers: int | None,
        kept: Kept | None = None,
    ) -> None:
        counts = [
            len(one.paths) if isinstance(one, Layout) else len(series_to_read(one)) for one in every
        ]
        self.count, self.total = 0, sum(counts)
        self.progress, self.reader, self.workers, self.kept = progress, reader, workers, kept
        # Beside what is kept: there is room, and no memory that plays a disk.
        self.fingerprints = Fingerprints(kept.folder.parent if kept else None)

    def done(self) -> None:
        """Tell that one more file or volume was read."""
        self.count += 1
        if self.progress:
            self.progress(self.count, self.total)

    def volumes(
        self,
        archive: Archive,
        reading: Reading,
        *,
        labels: Path | None = None,
        families: Path | None = None,
        labelled: bool = True,
    ) -> Part:
        """Read an archive."""
        return read_archive(
            archive,
            reading=reading,
            labels=labels,
            families=families,
            labelled=labelled,
            reader=self.reader,
            workers=self.workers,
            in_order=self.kept.in_order if self.kept else in_order,
            done=self.done,
            fingerprints=self.fingerprints,
        )

    def pictures(self, layout: Layout, source: Path, *, labelled: bool) -> Part:
        """Read a folder of pictures."""
        files = [layout.root / path for path in layout.paths]
        each = self.kept.in_order if self.kept else in_order
        results = each(partial(look, reader=self.reader), files, workers=self.workers)
        seen: dict[str, Seen] = {}
        first = len(self.fingerprints)
        for path, result in zip(layout.paths, results, strict=True):
            if isinstance(result, Seen):
                seen[path] = self.fingerprints.taken_from(result)
            else:
                layout.unreadable.append((path, result.reason))
            self.done()
        layout.unreadable.sort()
        if not seen:
            raise BrainsslError(_nothing_found(source, layout))
        prints = self.fingerprints.together(first)
        return _described(layout, seen, prints, self.reader, labelled=labelled)


def _described(
    layout: Layout,
    seen: dict[str, Seen],
    fingerprints: Float16[np.ndarray, "n 2 side side"],
    reader: int,
    *,
    labelled: bool,
) -> Part:
    paths, images = list(seen), list(seen.values())
    manifest = manifest_of(layout, seen, labelled=labelled)
    for name, known in layout.further.items():
        if name not in MANIFEST_COLUMNS:
            manifest[name] = optional([known.get(path) for path in paths])
    wanted = {layout.labels.get(path) for path, _ in layout.unreadable} - {None}
    return Part(
        layout.root,
        manifest,
        fingerprints,
        [image.file_digest for image in images],
        [PictureFile(layout.root / path, reader) for path in paths],
        [None] * len(paths),
        layout.unreadable,
        layout.notes,
        families=layout.families,
        lost=sorted(str(name) for name in wanted - set(manifest["label"])),
        questions=layout.questions,
        overlooked=layout.overlooked,
    )


def _grouped(part: Part, reader: int) -> Scan:
    """Find what must not cross a split."""
    manifest = part.manifest
    pairs = near_pairs(part.fingerprints)
    patients, pixels = manifest["patient"].tolist(), manifest["pixels"].tolist()
    groups = group_slices(patients, pixels, pairs, blank_rows(manifest), part.together)
    manifest["group"] = groups.group
    notes = part.notes + groups.notes
    if part.families is None:
        notes += _notes_on_sequences(manifest)
    return Scan(
        part.root,
        manifest,
        part.unreadable,
        notes,
        part.file_digests,
        pairs,
        part.questions,
        part.lost,
        reader,
        part.families,
        part.overlooked,
        origins=part.origins,
        excluded=part.excluded,
        series=part.series,
    )


def _with_extra(
    found: Scan,
    own: Part,
    extra: Sequence[ExtraFolder],
    parts: Sequence[Part],
    fingerprints: Float16[np.ndarray, "n 2 side side"],
) -> Scan:
    """Add the images of extra folders to a scan of `own`."""
    manifests, taken = [], set(found.manifest["path"])
    for folder, part in zip(extra, parts, strict=True):
        if any(path.startswith(folder.prefix) for path in taken):
            raise BrainsslError(f"{found.root}: rename the folder {folder.prefix[:-1]} in it")
        paths = [folder.prefix + path for path in part.manifest["path"]]
        told = {"path": paths, "image_id": identifiers(paths), EXTRA: folder.name}
        manifests.append(part.manifest.assign(**told))
    every = [own, *parts]
    names = [folder.name for folder in extra]
    manifest = joined(
        found.manifest,
        pd.concat(manifests, ignore_index=True),
        fingerprints,
        # Of the folders one by one: the same name in two of them need not be the same study.
        [
            None if name is None else f"{number} {name}"
            for number, part in enumerate(every)
            for name in part.together
        ],
    )
    found.unreadable += [
        (folder.prefix + path, reason)
        for folder, part in zip(extra, parts, strict=True)
        for path, reason in part.unreadable
    ]
    found.manifest, found.extra = manifest, names
    found.notes = [*found.notes, *said_of_extra(manifest, names)]
    found.file_digests = [digest for part in every for digest in part.file_digests]
    found.origins = [origin for part in every for origin in part.origins]
    return found


def _nothing_found(source: Path, layout: Layout) -> str:
    if not layout.unreadable:
        return f"{source}: holds no image; name a folder with {NAMED} files, or with {VOLUMES}"
    path, reason = layout.unreadable[0]
    return (
        f"{source}: of {counted(len(layout.unreadable), 'file')} none is a readable image, e.g. "
        f"{path} {reason}; name a folder with {NAMED} files"
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

"""An archive of volumes becomes rows of a manifest, one a chosen slice.

Beside the columns that all manifests have, theirs has `study` and `series` (pseudonyms, or the
source's own names), `row_mm` and `column_mm` (mm between rows and columns, NaN where unknown),
`lesion` (share of the pixels that is lesion, NaN where that is not known), what the source says of
each series, and the further columns of the table of labels.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import UInt8

from brainssl.data.archives.archive import BURNED_IN, UNKNOWN, Archive, Series, Told
from brainssl.data.archives.labels import SeriesLabels, labels_of
from brainssl.data.archives.reading import BY_DEFAULT, Reading
from brainssl.data.field_of_view import HEAD_CUT, told_field
from brainssl.data.layout import Layout, take_families
from brainssl.data.look import Fingerprints, Seen
from brainssl.data.manifest import MANIFEST_COLUMNS, manifest_of, optional
from brainssl.data.normalisation import READER
from brainssl.data.on_disk import OnDisk
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage
from brainssl.data.scanned import Part
from brainssl.data.shown import SIDE, ShownSeries
from brainssl.data.volumes.origin import SeenVolume, look_at_volume
from brainssl.data.volumes.slices import FIRST, OLD_READER
from brainssl.data.volumes.square import NOT_SQUARE, SQUARED
from brainssl.foundation.errors import BadUseError, BrainsslError

_TAKEN = np.empty((0, SIDE, SIDE), np.uint8)

InOrder = Callable[..., Iterator[SeenVolume | UnreadableImage]]

ARCHIVE_COLUMNS = ("study", "series", "row_mm", "column_mm", "lesion")
"""Columns that every manifest of volumes has beside those of all."""


def series_to_read(archive: Archive) -> list[Series]:
    """Return the series that are learnt from, by name."""
    return sorted((s for s in archive.series if s.exclusion is None), key=lambda one: one.name)


def read_labels(
    archive: Archive, *, labels: Path | None, families: Path | None, reading: Reading
) -> tuple[SeriesLabels, Layout]:
    """Join labels and families to an archive's series, before any of them is read.

    Returns:
        The labels; and a layout whose paths are the names of the series, with the families.

    Raises:
        BrainsslError: a table does not fit.
    """
    read = series_to_read(archive)
    told = labels_of(archive, read, labels=labels, label_by=reading.label_by)
    layout = Layout(archive.root, archive.root, [one.name for one in read], [], [])
    layout.labels = dict(told.labels)
    take_families(layout, families, relabelled=told.table or reading.label_by is not None)
    return told, layout


def slices_of(series: Series, reading: Reading) -> int:
    """Return how many slices a volume has, or has at most in another plane than its own."""
    native = reading.plane in ("native", series.plane.value)
    return series.shape[0] if native else max(series.shape)


def planned_labels(
    archive: Archive, labels: Path | None, reading: Reading
) -> dict[str, str | None]:
    """Return the label of each series that is read, by its name, as headers and tables have it."""
    read = series_to_read(archive)
    return labels_of(archive, read, labels=labels, label_by=reading.label_by).labels


def values_of_series(
    archive: Archive, column: str, *, labels: Path | None, reading: Reading
) -> list[str]:
    """Return the values that a column of the manifest has among labelled series, sorted."""
    read = series_to_read(archive)
    told = labels_of(archive, read, labels=labels, label_by=reading.label_by)

    def value(one: Series) -> str | None:
        if column in ("sequence", "plane"):
            fact = getattr(one, column).value
            return None if fact == UNKNOWN else str(fact)
        if column in ("patient", "study", "series"):
            return str(getattr(one, column) or "") or None
        return told.further.get(column, {}).get(one.name) or one.columns.get(column)

    return sorted({found for one in read if told.labels[one.name] and (found := value(one))})


def read_archive(
    archive: Archive,
    *,
    reading: Reading = BY_DEFAULT,
    labels: Path | None = None,
    families: Path | None = None,
    labelled: bool = True,
    reader: int = READER,
    workers: int | None = None,
    in_order: InOrder = in_order,
    done: Callable[[], object] = lambda: None,
    fingerprints: Fingerprints | None = None,
) -> Part:
    """Read every volume of an archive once, on all cores, and describe its chosen slices.

    Args:
        archive: as its headers say.
        reading: which slices, and what labels them.
        labels: CSV, as `brainssl.data.archives.labels.labels_of` takes it.
        families: CSV `label,family,sequence`; without it `families.csv` in the source.
        labelled: whether labels are taken.
        reader: version of the reader; before 3 pixels that are not square stay so.
        workers: how many volumes are read at once; by default one a core.
        in_order: what reads them, in order.
        done: called after each volume.
        fingerprints: where those of the slices go; by default to a file of their own.

    Raises:
        BadUseError: a version of the reader is asked for that reads no volumes.
        BrainsslError: no series can be read, or a table does not fit.
    """
    if reader < FIRST:
        raise BadUseError(f"--reader {reader}: {OLD_READER}")
    read = series_to_read(archive)
    _refuse_without_spacing(archive, read, reading)
    told, layout = (
        read_labels(archive, labels=labels, families=families, reading=reading)
        if labelled
        else (SeriesLabels({}), Layout(archive.root, archive.root, [], [], []))
    )
    look = partial(
        look_at_volume,
        choice=reading.slices,
        plane=reading.plane,
        reader=reader,
        field_of_view=reading.field_of_view,
    )
    seen: list[tuple[Series, SeenVolume]] = []
    ends: list[int] = []
    unreadable, prints = list(archive.unreadable), fingerprints or Fingerprints()
    first, middles = len(prints), OnDisk((SIDE, SIDE), np.uint8, prints.folder)
    asked = [(one.volume, one.mask) for one in read]
    for one, result in zip(read, in_order(look, asked, workers=workers, large=True), strict=True):
        if isinstance(result, UnreadableImage):
            unreadable.append((one.name, result.reason))
        else:
            slices = tuple(map(prints.taken_from, result.slices))
            for image in result.middle:
                middles.append(image)
            seen.append((one, replace(result, slices=slices, middle=_TAKEN)))
            ends.append(len(middles))
        done()
    if not seen:
        raise BrainsslError(_nothing_found(archive, unreadable))
    manifest = _manifest(seen, told, layout, reading, labelled=labelled)
    images = [image for _, volume in seen for image in volume.slices]
    kept = set(manifest["label"])
    return Part(
        archive.root,
        manifest,
        prints.together(first),
        [image.file_digest for image in images],
        [volume.origin for _, volume in seen],
        [_together(one) for one, volume in seen for _ in volume.slices],
        sorted(unreadable),
        [*archive.notes, *told.notes, *layout.notes, *_notes(archive, read, seen, manifest)],
        excluded=[(one.name, one.exclusion) for one in archive.series if one.exclusion],
        series=[
            _shown(one, images, reading)
            for (one, _), images in zip(seen, np.split(middles.together(), ends[:-1]), strict=True)
        ],
        families=layout.families,
        lost=sorted({label for label in told.labels.values() if label} - kept),
    )


def _refuse_without_spacing(archive: Archive, read: Sequence[Series], reading: Reading) -> None:
    """Refuse a field of view where it would leave out everything, before anything is read."""
    if reading.field_of_view is not None and read and not any(one.pixel for one in read):
        raise BrainsslError(
            f"{archive.root}: of none of its volumes is known how large its pixels are: leave out "
            "--field-of-view"
        )


def _shown(
    series: Series, images: UInt8[np.ndarray, "k side side"], reading: Reading
) -> ShownSeries:
    plane = series.plane
    if reading.plane not in ("native", plane.value):
        plane = Told(reading.plane, 1.0, ("resampled",))
    return ShownSeries(series.name, series.sequence, plane, images)


def _together(series: Series) -> str | None:
    """Return what slices of a person share whose name is not known: the study, or the series."""
    if series.patient is not None:
        return None
    return f"study {series.study}" if series.study else f"series {series.name}"


def _manifest(
    seen: Sequence[tuple[Series, SeenVolume]],
    told: SeriesLabels,
    families: Layout,
    reading: Reading,
    *,
    labelled: bool,
) -> pd.DataFrame:
    paths = [
        (one, volume, f"{one.name}/{number:04}", at)
        for one, volume in seen
        for at, number in enumerate(volume.origin.numbers)
    ]
    lesions = [volume.lesions[at] for _, volume, _, at in paths]
    layout = Layout(families.home, families.root, [path for _, _, path, _ in paths], [], [])
    layout.families = families.families
    images: dict[str, Seen] = {}
    for (one, volume, path, at), lesion in zip(paths, lesions, strict=True):
        images[path] = _flagged(volume.slices[at], one)
        # Where a mask is empty throughout, as of the healthy, the label is not of a lesion.
        hidden = reading.lesion_slices and volume.has_lesion and lesion == 0
        layout.labels[path] = None if hidden else told.labels.get(one.name)
        layout.patients[path], layout.given[path] = one.patient, None
        plane = one.plane.value if reading.plane == "native" else reading.plane
        layout.planes[path] = None if plane == UNKNOWN else plane
    manifest = manifest_of(layout, images, labelled=labelled)
    of_header = optional(
        [None if s.sequence.value == UNKNOWN else s.sequence.value for s, _, _, _ in paths]
    )
    by_table = (
        manifest["sequence"] if layout.families is not None else optional([None] * len(paths))
    )
    manifest["sequence"] = by_table.where(by_table.notna(), of_header)
    mm = [volume.spacing or (np.nan, np.nan) for _, volume, _, _ in paths]
    further: dict[str, Any] = {
        "study": optional([one.study for one, _, _, _ in paths]),
        "series": optional([one.series for one, _, _, _ in paths]),
        "row_mm": np.array([row for row, _ in mm], np.float64),
        "column_mm": np.array([column for _, column in mm], np.float64),
        "lesion": np.array([np.nan if one is None else one for one in lesions], np.float64),
    }
    said: dict[str, Mapping[str, str]] = {
        name: {one.name: one.columns[name] for one, _ in seen if one.columns.get(name)}
        for name in sorted({name for one, _ in seen for name in one.columns})
    }
    for name, known in (said | told.further).items():
        if name not in {*MANIFEST_COLUMNS, *ARCHIVE_COLUMNS}:
            further[name] = optional([known.get(one.name) for one, _, _, _ in paths])
    return manifest.assign(**further)


def _flagged(image: Seen, series: Series) -> Seen:
    """Let an image have what the header says of text in its pixels."""
    if BURNED_IN not in series.flags:
        return image
    return replace(image, flags=";".join(filter(None, [image.flags, BURNED_IN])))


def _notes(
    archive: Archive,
    read: Sequence[Series],
    seen: Sequence[tuple[Series, SeenVolume]],
    manifest: pd.DataFrame,
) -> list[str]:
    """Say what was taken and what was not."""
    notes = []
    reasons = Counter(one.exclusion for one in archive.series if one.exclusion)
    if reasons:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        notes.append(f"{reasons.total()} series were not read: {told}.")
    held = sum(volume.held for _, volume in seen)
    notes.append(f"{len(manifest):,} of {held:,} slices of {len(seen)} volumes were taken.")
    volumes = [volume for _, volume in seen]
    notes += [*_notes_on_pixels(volumes), *_notes_on_field(volumes)]
    for what in ("sequence", "plane"):
        facts = [getattr(one, what) for one in read]
        unknown = sum(fact.value == UNKNOWN for fact in facts)
        against = sum(bool(fact.against) for fact in facts)
        if unknown:
            notes.append(f"The {what} of {unknown} of {len(facts)} series is unknown.")
        if against:
            notes.append(f"What the source says of the {what} contradicts itself in {against}.")
    nobody = sum(one.patient is None for one in read)
    if nobody:
        notes.append(f"The patient of {nobody} series is unknown.")
    return notes


def _notes_on_pixels(seen: Sequence[SeenVolume]) -> list[str]:
    """Say of how many volumes rows and columns are not equally far apart, and what became of it."""
    ends = {
        NOT_SQUARE: "their slices look stretched",
        SQUARED: "the coarser way was resampled to the finer spacing",
    }
    counts = {flag: sum(flag in volume.slices[0].flags for volume in seen) for flag in ends}
    return [
        f"The pixels of {counts[flag]} of {len(seen)} volumes are not square (rows and columns "
        f"are not equally far apart, by more than 5 %): {end}."
        for flag, end in ends.items()
        if counts[flag]
    ]


def _notes_on_field(seen: Sequence[SeenVolume]) -> list[str]:
    """Say what is seen of slices where that is not all, and of how many it is not all the head."""
    mm = seen[0].origin.field_of_view
    if mm is None:
        return []
    cut = sum(HEAD_CUT in volume.slices[0].flags for volume in seen)
    notes = [f"Slices are {told_field(mm)}."]
    if cut:
        notes.append(
            f"The head of {cut} of {len(seen)} volumes is larger than that: what lies beyond is "
            f"cut off, and their slices have the flag {HEAD_CUT}."
        )
    return notes


def _nothing_found(archive: Archive, unreadable: Sequence[tuple[str, str]]) -> str:
    if unreadable:
        path, reason = unreadable[0]
        return f"{archive.root}: none of its volumes can be read, e.g. {path}: {reason}"
    reasons = Counter(one.exclusion for one in archive.series if one.exclusion)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"{archive.root}: holds no series to learn from ({told or 'none at all'})"

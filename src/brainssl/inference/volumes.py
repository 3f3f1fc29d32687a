"""Series to classify: volumes in files and folders that are named."""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt

from brainssl.data.archives.archive import UNKNOWN, Archive, Series
from brainssl.data.archives.find import Sort, archive_of_files, find_archive, sort_of
from brainssl.data.archives.pseudonyms import KEY_BYTES, read_key
from brainssl.data.letterbox import letterbox
from brainssl.data.pool import in_order
from brainssl.data.read import UnreadableImage
from brainssl.data.volumes.choice import ALL, Choice
from brainssl.data.volumes.planes import MAX_VOXELS
from brainssl.data.volumes.slices import Plane, open_volume
from brainssl.data.volumes.volume import VolumeRef


def told_plane(plane: str) -> str:
    """Return words for a plane of slices."""
    return "as they were acquired" if plane == "native" else f"resampled to {plane}"


def plane_notes(own: str, learnt: str) -> list[str]:
    """Say where slices of volumes are taken otherwise than the classifier learnt them."""
    if own == learnt:
        return []
    return [
        f"Slices of volumes are {told_plane(own)}, and those that the classifier learnt are "
        f"{told_plane(learnt)}: its answers may be worse; --plane {learnt} is its own."
    ]


@dataclass(frozen=True)
class Cutting:
    """How volumes are cut into the slices that are judged.

    Attributes:
        slices: which of those that show the brain.
        plane: in which they are taken; None: in that of the classifier's training.
        key: file of the key by which patients of DICOM files get their pseudonyms; None: one that
            is forgotten.
    """

    slices: Choice = ALL
    plane: Plane | None = None
    key: Path | None = None

    def for_plane(self, learnt: Plane) -> tuple["Cutting", list[str]]:
        """Settle the plane by that of the classifier's training, and say what a reader must know.

        Returns:
            With a plane; and a sentence where that is another than was learnt, or resampled.
        """
        if self.plane is None:
            told = f"Slices of volumes are {told_plane(learnt)}, as in the classifier's training."
            return replace(self, plane=learnt), [] if learnt == "native" else [told]
        return self, plane_notes(self.plane, learnt)


@dataclass(frozen=True)
class Given:
    """One series to judge.

    Attributes:
        name: unique among all; of DICOM files it is made of pseudonyms.
        source: the file or folder that was named, in which it lies.
        volume: where it lies.
        patient: whose it is; None where that is unknown.
        sequence: what header or name say; None where they say nothing.
    """

    name: str
    source: str
    volume: VolumeRef
    patient: str | None
    sequence: str | None


@dataclass
class Volumes:
    """What is to be judged.

    Attributes:
        series: in order.
        unreadable: of each file that could not be read its name, the file or folder that was named,
            and why, in one line that names it.
        excluded: `series`, `source` and `reason` of each that is none to judge, as a localiser.
        patients_from: how patients were found, a sentence; None where none is known.
        notes: what a reader of the answer should know, one sentence each.
    """

    series: list[Given] = field(default_factory=list)
    unreadable: list[tuple[str, str, str]] = field(default_factory=list)
    excluded: list[dict[str, str]] = field(default_factory=list)
    patients_from: str | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.series) + len(self.unreadable) + len(self.excluded)


@dataclass(frozen=True, eq=False)
class Cut:
    """The slices of a volume that are judged.

    Attributes:
        pixels: letterboxed, at the depth that was asked for.
        numbers: of the slices, from 1.
        flags: what the reader noticed of each.
        held: slices of the volume.
        without: numbers of those that show no brain.
    """

    pixels: UInt[np.ndarray, "n size size"]
    numbers: tuple[int, ...]
    flags: tuple[tuple[str, ...], ...]
    held: int
    without: tuple[int, ...]


def parted(named: Sequence[Path], key: Path | None = None) -> tuple[list[Path], Volumes]:
    """Part files and folders that are named into those of pictures and the series of the others.

    Files of a sort that are named one by one are taken together: those of a DICOM series are one.
    Headers are read, no pixels.

    Args:
        named: files and folders.
        key: see `Cutting`.

    Raises:
        BrainsslError: a file that is no key, or a package that reads volumes is not installed.
    """
    secret = secrets.token_bytes(KEY_BYTES) if key is None else read_key(key)
    pictures: list[Path] = []
    files: dict[Sort, dict[Path, Path]] = {}
    archives: list[tuple[Archive, dict[Path, Path]]] = []
    for path in named:
        if path.is_dir():
            archive = find_archive(path, key=secret)
            if archive is None:
                pictures.append(path)
            else:
                archives.append((archive, {path: path}))
        elif (sort := sort_of(path)) in (None, "picture"):
            pictures.append(path)
        else:
            assert sort is not None
            files.setdefault(sort, {}).setdefault(path.absolute(), path)
    for own in files.values():
        archive = archive_of_files(list(own), secret)
        assert archive is not None
        archives.append((archive, own))
    return pictures, _joined(archives, key)


def _joined(archives: Sequence[tuple[Archive, Mapping[Path, Path]]], key: Path | None) -> Volumes:
    found = Volumes()
    names: Counter[str] = Counter()
    homes: dict[str, set[str]] = {}
    for place, (archive, given) in enumerate(archives):
        kept = [series for series in archive.series if series.exclusion is None]
        for series in kept:
            names[series.name] += 1
            again = f" ({names[series.name]})" if names[series.name] > 1 else ""
            said = None if series.sequence.value == UNKNOWN else series.sequence.value
            one = Given(
                series.name + again, _source(series, given), series.volume, series.patient, said
            )
            found.series.append(one)
            if one.patient:
                # A pseudonym of a DICOM file is the same wherever the patient lies.
                home = "dicom" if archive.kind == "dicom" else str(place)
                homes.setdefault(one.patient, set()).add(home)
        found.excluded += [
            {"series": series.name, "source": _source(series, given), "reason": series.exclusion}
            for series in archive.series
            if series.exclusion is not None
        ]
        found.unreadable += [
            _refused(archive, file, why, given) for file, why in archive.unreadable
        ]
        found.notes += [
            note for note in archive.notes if not note.startswith("Series that are not")
        ]
    _forget(found, {name for name, where in homes.items() if len(where) > 1})
    if any(one.patient for one in found.series):
        kinds = {archive.kind for archive, _ in archives}
        told = ["Patients of volumes are those that their headers, folders or names tell."]
        if "dicom" in kinds:
            made = f"the key {key.name}" if key else "a key that is forgotten now"
            told.append(f"Those of DICOM files are pseudonyms by {made}.")
        found.patients_from = " ".join(told)
    return found


def leave_apart(found: Volumes, patients: set[str]) -> None:
    """Forget the patients of volumes that are called as patients of pictures are, and say so."""
    _forget(found, {one.patient for one in found.series if one.patient in patients})


def _forget(found: Volumes, names: set[str | None]) -> None:
    if not names:
        return
    found.series = [
        Given(one.name, one.source, one.volume, None, one.sequence) if one.patient in names else one
        for one in found.series
    ]
    found.notes.append(
        f"Several sources name {min(filter(None, names))}: whether that is one patient cannot be "
        "told."
    )


def _source(series: Series, given: Mapping[Path, Path]) -> str:
    """Return the file or folder that was named, in which a series lies."""
    files = [
        given[file] for file in series.volume.files if isinstance(file, Path) and file in given
    ]
    if not files:
        return str(next(iter(given.values())))
    return str(files[0]) if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"


def _refused(
    archive: Archive, file: str, why: str, given: Mapping[Path, Path]
) -> tuple[str, str, str]:
    """Say which file cannot be read: by the name that was given, or else below that."""
    named = list(given.values())
    number = file.removeprefix("file-").partition(".")[0]
    if (own := given.get(archive.root / file)) is not None:
        return file, str(own), f"{own}: {why}"
    if archive.kind == "dicom" and not named[0].is_dir() and number.isdecimal():
        own = named[int(number) - 1]
        return file, str(own), f"{own}: {why}"
    return file, str(named[0]), f"{named[0]}: {file}: {why}"


def cuts(
    series: Sequence[Given], cutting: Cutting, *, reader: int, size: int, bits: int = 8
) -> Iterator[Cut | str]:
    """Read volumes, in order, on all cores; yield the slices of each, or why there are none.

    Args:
        series: to read.
        cutting: which slices; without a plane, as they were acquired.
        reader: version of the normalisation.
        size: side of the slices.
        bits: of a pixel.
    """
    plane = cutting.plane or "native"
    read = partial(cut, slices=cutting.slices, plane=plane, reader=reader, size=size, bits=bits)
    return in_order(read, [one.volume for one in series], large=True)


def cut(
    ref: VolumeRef,
    *,
    slices: Choice,
    plane: Plane,
    reader: int,
    size: int,
    bits: int = 8,
    max_voxels: int = MAX_VOXELS,
) -> Cut | str:
    """Read a volume and cut it into the slices that are judged; or return why there are none.

    Args:
        ref: where it lies.
        slices: which of those that show the brain.
        plane: in which they are taken.
        reader: version of the normalisation.
        size: side of the slices.
        bits: of a pixel.
        max_voxels: a volume that has more once it is resampled is refused.
    """
    try:
        opened = open_volume(ref, plane=plane, reader=reader, max_voxels=max_voxels)
    except UnreadableImage as error:
        return error.reason
    shown = opened.shown()
    numbers = slices.of(shown)
    if not numbers:
        return "shows no brain, or no slice of it is a finite picture"
    taken = [opened.slice(number) for number in numbers]
    return Cut(
        np.stack([letterbox(one.pixels, size, bits) for one in taken]),
        numbers,
        tuple(tuple(one.flags) for one in taken),
        len(shown),
        tuple((np.flatnonzero(~shown) + 1).tolist()),
    )


def described(
    one: Given, held: Cut | None, classes: Sequence[tuple[str, str, str]], label: str | None
) -> dict[str, Any]:
    """Return what is told of a series beside its class.

    Args:
        one: the series.
        held: its slices; None where it could not be read.
        classes: name, family and sequence of each class.
        label: of the series.

    Returns:
        `source`; `held`, how many slices it has; `without_brain`, the numbers of those that were
        not judged for that; and `note`, where header or name say otherwise than the class.
    """
    told: dict[str, Any] = {"source": one.source}
    if held is not None:
        told |= {"held": held.held, "without_brain": list(held.without)}
    note = sequence_note(one.sequence, classes, label)
    return told | ({"note": note} if note else {})


def sequence_note(
    said: str | None, classes: Sequence[tuple[str, str, str]], label: str | None
) -> str | None:
    """Say where the sequence that header or name say is not that of the class; see `described`."""
    known = sorted({sequence for _, _, sequence in classes if sequence})
    own = next((sequence for name, _, sequence in classes if name == label), "")
    if said is None or not own or said == own:
        return None
    told = f"header or name say {said}, the answer is a class of {own}"
    if said not in known:
        return f"{told}: the classifier has learnt no {said}"
    return f"{told}: one of them is wrong"

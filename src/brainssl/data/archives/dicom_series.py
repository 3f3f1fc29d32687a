"""From rows of files to the series of an archive: volumes with a name, a place and facts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from brainssl.data.archives.archive import BURNED_IN, Series
from brainssl.data.archives.dicom_columns import columns_of
from brainssl.data.archives.dicom_facts import Kind, Row, kind_of
from brainssl.data.archives.dicom_kinds import exclusion_of, is_derived
from brainssl.data.archives.dicom_told import told_of
from brainssl.data.archives.dicom_volumes import Parted, Slice, in_place, volumes_of
from brainssl.data.archives.headers.order import Taken, contrast_by_time
from brainssl.data.archives.pseudonyms import Pseudonyms
from brainssl.data.volumes.dicom_frames import Frame
from brainssl.data.volumes.dicom_geometry import geometry_of, is_sound, normal_of
from brainssl.data.volumes.dicom_mosaic import frames_of_tiles
from brainssl.data.volumes.volume import File, VolumeRef

SPLIT = "one of several volumes in its series"
DERIVED = "derived"

_LOCALISER = "localiser"
_ACROSS = 0.5  # cosine between normals of a localiser's planes, at most
_FEW = 60  # slices; three planes with more are no localiser


class Made(NamedTuple):
    """A series with what tells it from the others of its study.

    Attributes:
        series: the volume.
        taken: when its first image was acquired, see `Row`.
        header: of its first slice.
    """

    series: Series
    taken: float | None
    header: Mapping[str, object]


@dataclass(frozen=True)
class Names:
    """Pseudonyms of one series; None where the header names none."""

    patient: str | None
    study: str | None
    series: str | None
    fallback: str

    @property
    def folder(self) -> str:
        """How the paths of its slices begin."""
        return "/".join(
            (self.patient or "p-unknown", self.study or "s-unknown", self.series or self.fallback)
        )


def series_of(
    names: Names,
    rows: Sequence[Row],
    headers: Mapping[Kind, Mapping[str, object]],
    files: Sequence[File | None],
    pseudonyms: Pseudonyms,
    notes: Counter[str],
) -> list[Made]:
    """Return the volumes of one series.

    Args:
        names: of patient, study and series.
        rows: of all its files.
        headers: a header for each kind of slice, by `kind_of`.
        files: of the archive, by place.
        pseudonyms: for the columns.
        notes: counts what a reader should know.
    """
    rows = _once(rows, notes)
    imageless = [row for row in rows if not row.frames]
    parted = volumes_of(row for row in rows if row.frames)
    found: list[Made] = []
    crossing = _planes_cross(parted)
    for number, one in enumerate(parted, 1):
        name = names.folder if len(parted) == 1 else f"{names.folder}-{number}"
        header = _header(one.slices[0], headers)
        series = _series(name, names, one, header, files, pseudonyms)
        if len(parted) > 1:
            series = replace(series, flags=(*series.flags, SPLIT))
        if crossing and series.exclusion is None:
            series = replace(series, exclusion=_LOCALISER)
        taken = [at for row in one.slices if (at := row.row.taken) is not None]
        found.append(Made(series, min(taken, default=None), header))
    if len(parted) > 1:
        notes["Series that hold several volumes, each told as a series of its own"] += 1
    if imageless:
        number = len(parted) + 1
        name = f"{names.folder}-{number}" if parted else names.folder
        found.append(Made(_imageless(name, names, imageless, headers, files), None, {}))
    return found


def _header(one: Slice, headers: Mapping[Kind, Mapping[str, object]]) -> Mapping[str, object]:
    """Return the header of a slice's kind, in which the plane is the slice's own."""
    header = headers[kind_of(one.row, one.at)]
    orientation = one.frame.orientation
    if orientation is None:
        return header
    return {**header, "ImageOrientationPatient": list(orientation)}


def _once(rows: Sequence[Row], notes: Counter[str]) -> list[Row]:
    """Keep one of the files that hold the same object; those that only say so are all kept."""
    kept: list[Row] = []
    seen: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.place):
        others = seen.setdefault(row.sop, []) if row.sop else []
        if any(_same(row, other) for other in others):
            notes["Files left out because another holds the same object"] += 1
            continue
        if others:
            notes["Files kept although they bear the identifier of another object"] += 1
        others.append(row)
        kept.append(row)
    return kept


def _same(one: Row, other: Row) -> bool:
    return one._replace(place=0) == other._replace(place=0)


def _series(
    name: str,
    names: Names,
    parted: Parted,
    header: Mapping[str, object],
    files: Sequence[File | None],
    pseudonyms: Pseudonyms,
) -> Series:
    slices, ordering = in_place(parted.slices)
    frames: Sequence[Frame] = [one.frame for one in slices]
    row = slices[0].row
    rows, columns = row.rows, row.columns
    if row.mosaic:
        frames = [tile for frame in frames for tile in frames_of_tiles(frame, row.mosaic)]
        rows, columns = row.mosaic.rows, row.mosaic.columns
    geometry = geometry_of(frames)
    if not row.mosaic:
        slices = [slices[at] for at in geometry.order]
    flags = [*geometry.flags, *ordering, *parted.flags]
    if any(one.row.burned_in for one in slices):
        flags.append(BURNED_IN)
    if is_derived(header):
        flags.append(DERIVED)
    sequence, plane = told_of(header)
    return Series(
        name,
        _reference(name, slices, files),
        names.patient,
        names.study,
        names.series,
        (len(frames), rows, columns),
        geometry.pixel,
        sequence,
        plane,
        columns_of(header, pseudonyms),
        exclusion=exclusion_of(header),
        flags=tuple(dict.fromkeys(flags)),
        placed=geometry.affine is not None,
    )


def _reference(name: str, slices: Sequence[Slice], files: Sequence[File | None]) -> VolumeRef:
    """Say where slices lie; frames are named where they are not all, or not as they come."""
    places: dict[int, int] = {}
    for one in slices:
        places.setdefault(one.row.place, len(places))
    frames = tuple((places[one.row.place], one.at) for one in slices)
    whole = tuple(
        (places[row.place], at)
        for row in {one.row.place: one.row for one in slices}.values()
        for at in range(len(row.frames))
    )
    paths = tuple(path for place in places if (path := files[place]) is not None)
    return VolumeRef("dicom", paths, name, None if frames == whole else frames)


def _imageless(
    name: str,
    names: Names,
    rows: Sequence[Row],
    headers: Mapping[Kind, Mapping[str, object]],
    files: Sequence[File | None],
) -> Series:
    header = headers[kind_of(rows[0])]
    paths = tuple(path for row in rows if (path := files[row.place]) is not None)
    return Series(
        name,
        VolumeRef("dicom", paths, name),
        names.patient,
        names.study,
        names.series,
        (0, 0, 0),
        None,
        exclusion=exclusion_of(header, has_pixels=False),
    )


def by_study(made: Sequence[Made]) -> list[Series]:
    """Return series, their sequences amended by the order in which those of a study were taken."""
    studies: dict[tuple[str | None, str | None], list[Taken]] = {}
    for one in made:
        if one.series.study is not None and one.header:
            own = studies.setdefault((one.series.patient, one.series.study), [])
            own.append(Taken(one.series.name, one.taken, one.series.sequence, one.header))
    told = {
        name: value for own in studies.values() for name, value in contrast_by_time(own).items()
    }
    return [replace(s, sequence=told.get(s.name, s.sequence)) for s, _, _ in made]


def _planes_cross(parted: Sequence[Parted]) -> bool:
    """Tell whether a series is a few slices in three planes, as a localiser is."""
    if sum(len(one.slices) for one in parted) > _FEW:
        return False
    normals: list[np.ndarray] = []
    for one in parted:
        orientation = one.slices[0].frame.orientation
        if not is_sound(orientation):
            return False
        normal = normal_of(orientation or ())
        if all(abs(float(normal @ other)) < _ACROSS for other in normals):
            normals.append(normal)
    return len(normals) >= 3

"""The slices of one series, parted into volumes: whatever a scanner or a hand put together.

Slices belong together that are of one size, kind and spacing and lie parallel. Where several of
them lie at one place they are volumes after one another: told apart by the first fact that does
it, such as a temporal position, and at last by their numbers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from brainssl.data.archives.dicom_facts import Row
from brainssl.data.volumes.dicom_frames import Frame
from brainssl.data.volumes.dicom_geometry import are_parallel, beside, is_sound, places_of

BY_NUMBER = "told apart by number"
"""Flag of volumes that nothing but the order of their instance numbers tells apart."""

_SPACING = 1e-3  # by which pixel spacings may differ, of themselves


class Slice(NamedTuple):
    """One frame of one file."""

    row: Row
    at: int

    @property
    def frame(self) -> Frame:
        """Facts of the frame."""
        return self.row.frames[self.at]

    @property
    def number(self) -> tuple[float, int, int]:
        """What the scanner numbered it, then its place in the listing."""
        instance = self.row.instance
        return float("inf") if instance is None else float(instance), self.row.place, self.at


class Parted(NamedTuple):
    """Slices of one volume, in no order yet, and flags."""

    slices: list[Slice]
    flags: tuple[str, ...]


def volumes_of(rows: Iterable[Row]) -> list[Parted]:
    """Part the slices of one series into volumes, in the order of their first numbers."""
    groups: dict[Hashable, list[Slice]] = defaultdict(list)
    for row in rows:
        for at, frame in enumerate(row.frames):
            alone = row.place if row.mosaic else None
            groups[row.rows, row.columns, frame.kind, alone].append(Slice(row, at))
    found: list[Parted] = []
    for group in groups.values():
        for alike in _alike(group):
            found += _at_different_places(alike)
    return sorted(found, key=lambda parted: min(one.number for one in parted.slices))


def _alike(slices: list[Slice]) -> list[list[Slice]]:
    """Group slices that lie parallel and have one spacing."""
    groups: list[list[Slice]] = []
    for one in slices:
        for group in groups:
            if _fit(one.frame, group[0].frame):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _fit(one: Frame, other: Frame) -> bool:
    if one.orientation is None or other.orientation is None:
        parallel = one.orientation is other.orientation
    else:
        parallel = are_parallel(one.orientation, other.orientation)
    if one.spacing is None or other.spacing is None:
        return parallel and one.spacing is other.spacing
    pairs = zip(one.spacing, other.spacing, strict=True)
    known = (one.position is None) == (other.position is None)
    return parallel and known and all(abs(a - b) <= _SPACING * max(a, b) for a, b in pairs)


def _at_different_places(slices: list[Slice]) -> list[Parted]:
    """Part slices until no two of a volume lie at one place."""
    frames = [one.frame for one in slices]
    places = places_of(frames)
    if places is None:
        return [Parted(slices, ())]
    most = max(Counter(places).values())
    if most == 1:
        return [Parted(slices, ())]
    for fact in _facts(frames):
        groups: dict[Hashable, list[Slice]] = defaultdict(list)
        for one in slices:
            groups[fact(one.frame)].append(one)
        if 1 < len(groups) <= most and _deepest(groups.values()) < most:
            return [parted for group in groups.values() for parted in _at_different_places(group)]
    return _by_number(slices, places)


def _facts(frames: Sequence[Frame]) -> list[Callable[[Frame], Hashable]]:
    """Return the facts that may tell volumes apart, in the order in which they are tried."""
    times: list[Callable[[Frame], Hashable]] = [
        lambda frame, at=at: frame.times[at]  # type: ignore[misc]
        for at in range(len(frames[0].times))
    ]
    return [beside, *times]


def _deepest(groups: Iterable[list[Slice]]) -> int:
    depths = []
    for group in groups:
        places = places_of([one.frame for one in group]) or [0]
        depths.append(max(Counter(places).values()))
    return max(depths)


def _by_number(slices: list[Slice], places: list[int]) -> list[Parted]:
    """Take from each place the first, the second ... by number."""
    columns: dict[int, list[Slice]] = defaultdict(list)
    for one, place in zip(slices, places, strict=True):
        columns[place].append(one)
    volumes: list[list[Slice]] = []
    for column in columns.values():
        for at, one in enumerate(sorted(column, key=lambda one: one.number)):
            if at == len(volumes):
                volumes.append([])
            volumes[at].append(one)
    return [Parted(volume, (BY_NUMBER,)) for volume in volumes]


def in_place(slices: list[Slice]) -> tuple[list[Slice], tuple[str, ...]]:
    """Order slices of which no position is known, and say by what."""
    if all(one.frame.position is not None and is_sound(one.frame.orientation) for one in slices):
        return slices, ()
    locations = [one.row.location for one in slices]
    if len(slices) > 1 and None not in locations and len(set(locations)) == len(slices):
        ordered = sorted(slices, key=lambda one: one.row.location or 0.0)
        return ordered, ("ordered by slice location",)
    ordered = sorted(slices, key=lambda one: one.number)
    return ordered, ("ordered by number",) if len(slices) > 1 else ()

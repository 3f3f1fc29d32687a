"""From a pseudonym back to whom it stands for, and the other way round.

For who has the archive and its key: nothing else leads back. What is found names people; it is
returned and written nowhere.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brainssl.data.archives.archive import Archive, Series, Unit
from brainssl.data.archives.pseudonyms import DIGITS, PREFIXES
from brainssl.data.volumes.hanging import hung
from brainssl.data.volumes.read import read_volume
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.nouns import counted

_UNITS: tuple[Unit, ...] = ("patient", "study", "series")
_BY_PREFIX = {PREFIXES[unit]: unit for unit in _UNITS}
_ONE = re.compile(rf"([{''.join(_BY_PREFIX)}])-[0-9a-f]{{{DIGITS}}}(?:-\d+)?")
_SLICE = re.compile(r"\d{4,}")


@dataclass(frozen=True)
class Traced:
    """A patient, study or series of an archive, by both of its names.

    Attributes:
        unit: which of these.
        pseudonym: under the key; of one of several volumes in a series with its number.
        identifiers: of the hospital: PatientID; StudyInstanceUID and AccessionNumber; or
            SeriesInstanceUID. Empty where headers have none.
        files: paths, of a slice its own; sorted.
        slice: number of the slice that was asked for; None for all.
    """

    unit: Unit
    pseudonym: str
    identifiers: tuple[str, ...]
    files: tuple[str, ...]
    slice: int | None = None

    def __str__(self) -> str:
        who = ", ".join(self.identifiers) or "without an identifier in its headers"
        what = f"{self.unit} {self.pseudonym}: {who}"
        if len(self.files) == 1:
            where = "" if self.slice is None else f"slice {self.slice} is in "
            return f"{what}; {where}{self.files[0]}"
        folder = os.path.commonpath([Path(file).parent for file in self.files])
        return f"{what}; {counted(len(self.files), 'file')} in {folder}"

    def facts(self) -> dict[str, Any]:
        """Return them as JSON can hold them."""
        return asdict(self) | {"identifiers": list(self.identifiers), "files": list(self.files)}


def is_pseudonym(text: str) -> bool:
    """Tell whether a text is the pseudonym of a patient, a study or a series, or begins with one.

    Names of series and slices do: `p-…/s-…/r-…/0003`.
    """
    return bool(_ONE.fullmatch(text.strip("/").partition("/")[0]))


def traced(archive: Archive, asked: str) -> list[Traced]:
    """Return whom a pseudonym stands for, or which pseudonyms an identifier has.

    Args:
        archive: of DICOM files, opened with the key of the pseudonyms.
        asked: a pseudonym, the name of a series or of one of its slices as answers and manifests
            have it, or an identifier as the hospital has it.

    Raises:
        BrainsslError: no archive of DICOM files, or nothing in it is called so.
    """
    if archive.kind != "dicom":
        raise BrainsslError(
            f"{archive.root} is no archive of DICOM files: patients have no pseudonyms there, and "
            "are called as the source calls them"
        )
    found = _by_pseudonym(archive, asked) if is_pseudonym(asked) else _by_identifier(archive, asked)
    if not found:
        told = "under this key: is it the one of these results?" if is_pseudonym(asked) else ""
        raise BrainsslError(f"{archive.root} holds nothing that is called {asked} {told}".rstrip())
    return found


def _by_identifier(archive: Archive, asked: str) -> list[Traced]:
    return [
        _traced(archive, unit, pseudonym)
        for unit in _UNITS
        for pseudonym in sorted(archive.originals.get((unit, asked), ()))
    ]


def _by_pseudonym(archive: Archive, asked: str) -> list[Traced]:
    *above, last = asked.strip("/").split("/")
    number = int(last) if above and _SLICE.fullmatch(last) else None
    own = last if number is None else above[-1]
    match = _ONE.fullmatch(own)
    if match is None:
        return []
    one = _traced(archive, _BY_PREFIX[match[1]], own)
    if not one.files:
        return []
    if number is None:
        return [one]
    [series, *_] = [each for each in archive.series if _is(each, one.unit, own)]
    return [Traced(one.unit, own, one.identifiers, (_file_of(series, number),), number)]


def _traced(archive: Archive, unit: Unit, pseudonym: str) -> Traced:
    series = [each for each in archive.series if _is(each, unit, pseudonym)]
    files = {str(file) for each in series for file in each.volume.files if isinstance(file, Path)}
    names = {getattr(each, unit) for each in series} | {pseudonym}
    told = {
        original
        for (kind, original), known in archive.originals.items()
        if kind == unit and known & names
    }
    return Traced(unit, pseudonym, tuple(sorted(told)), tuple(sorted(files)))


def _is(series: Series, unit: Unit, pseudonym: str) -> bool:
    """Tell whether a series is one, or is of one; of several volumes one, or all."""
    own = getattr(series, unit)
    return pseudonym == own or (unit == "series" and series.name.rpartition("/")[2] == pseudonym)


def _file_of(series: Series, number: int) -> str:
    """Return the file of a slice as it is numbered where volumes are not resampled."""
    held, ref = series.shape[0], series.volume
    if not 1 <= number <= held:
        raise BrainsslError(f"{series.name} has {counted(held, 'slice')} and no {number}")
    at = number - 1
    if any("slices reversed" in step for step in hung(read_volume(ref)).provenance):
        at = held - number
    return str(ref.files[_place(ref.frames, at, len(ref.files), held)])


def _place(frames: Sequence[tuple[int, int]] | None, at: int, files: int, held: int) -> int:
    if frames is not None:
        return frames[at][0]
    return at if files == held else at * files // held

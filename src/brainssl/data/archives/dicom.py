"""A folder of DICOM files, as archives and scanners leave them: which volumes it holds.

Headers alone are read. Of what names people nothing leaves them: identifiers become keyed
pseudonyms, files are told by number, and facts are those of a list.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from brainssl.data.archives.archive import Archive, Unit
from brainssl.data.archives.dicom_facts import Facts, Kind, Refused, Row, facts_of
from brainssl.data.archives.dicom_listing import (
    DicomListing,
    in_words,
    known_suffix,
    list_dicom,
    promises_dicom,
    told_as,
)
from brainssl.data.archives.dicom_series import Made, Names, by_study, series_of
from brainssl.data.archives.pseudonyms import Pseudonyms
from brainssl.data.pool import in_order
from brainssl.data.volumes.dicom_files import silenced
from brainssl.data.volumes.volume import File, InMemory
from brainssl.foundation.extras import require
from brainssl.foundation.nouns import agreed, counted


@dataclass
class _Found:
    """Files of one series as they are found."""

    names: Names
    rows: list[Row] = field(default_factory=list)
    headers: dict[Kind, dict[str, object]] = field(default_factory=dict)

    def take(self, rows: Sequence[Row], headers: Mapping[Kind, dict[str, object]]) -> None:
        """Add files; a kind keeps its first header."""
        self.rows += rows
        for kind, header in headers.items():
            self.headers.setdefault(kind, header)


@dataclass
class _Reading:
    """What is gathered while files are read, one after another."""

    listing: DicomListing
    pseudonyms: Pseudonyms
    series: dict[tuple[str | None, ...], _Found] = field(default_factory=dict)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    foreign: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    originals: dict[tuple[Unit, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    born: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    issuers: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


def dicom_archive(
    source: Path,
    key: bytes,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Archive:
    """Find the volumes in a folder of DICOM files.

    Every file is looked at, whatever its name. Files belong to a series by their identifiers, not
    by their folders; a series that holds several volumes is told as several. Slices are sorted by
    position along their normal. What is no series of slices to learn from is told with an
    exclusion; what cannot be read by number (`file-12.dcm`, see
    `brainssl.data.archives.dicom_listing.located`).

    Args:
        source: the folder.
        key: secret of the pseudonyms, see `brainssl.data.archives.pseudonyms`.
        progress: is told (files done, files in all).
        workers: how many files are read at once; by default one a core. The result is the same.

    Raises:
        BrainsslError: no such folder, a key that is too short, or optional packages that are not
            installed.
    """
    require("scans")
    return _archive(list_dicom(source), key, progress, workers)


def dicom_archive_of_files(files: Sequence[File], key: bytes) -> Archive:
    """Find the volumes in chosen files, as `dicom_archive` does in a folder.

    Args:
        files: of any series, also in memory; what cannot be read is told by its place among them.
        key: secret of the pseudonyms.

    Raises:
        BrainsslError: optional packages that are not installed.
    """
    require("scans")
    held = [file if isinstance(file, InMemory) else file.absolute() for file in files]
    folders = [file.parent for file in held if isinstance(file, Path)]
    root = Path(os.path.commonpath(folders)) if folders else Path()
    return _archive(DicomListing(root, list(held)), key)


def _archive(
    listing: DicomListing,
    key: bytes,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> Archive:
    reading = _Reading(listing, Pseudonyms(key))
    reading.unreadable += reading.listing.refused
    numbered = [(at, path) for at, path in enumerate(reading.listing.files) if path is not None]
    with silenced():
        results = in_order(facts_of, numbered, workers=workers)
        for done, ((at, path), result) in enumerate(zip(numbered, results, strict=True), 1):
            _take(reading, at, path, result)
            if progress:
                progress(done, len(numbered))
    _join_issuers(reading)
    reading.unreadable.sort(key=_numbered)
    archive = Archive("dicom", listing.root, [], reading.unreadable)
    made: list[Made] = []
    for found in reading.series.values():
        made += series_of(
            found.names,
            found.rows,
            found.headers,
            reading.listing.files,
            reading.pseudonyms,
            reading.counts,
        )
    archive.series = by_study(made)
    archive.series.sort(key=lambda series: series.name)
    archive.notes = list(_notes(reading, archive))
    archive.originals = {unit: frozenset(names) for unit, names in reading.originals.items()}
    return archive


def _numbered(entry: tuple[str, str]) -> tuple[int, str]:
    digits = entry[0].removeprefix("file-").partition(".")[0]
    return (int(digits) if digits.isdecimal() else 0), entry[0]


def _take(reading: _Reading, at: int, path: File, result: Facts | Refused) -> None:
    """Put a file to its series, or to what is no part of any."""
    if isinstance(result, Facts):
        names = _names(reading, result.identifiers, path)
        found = reading.series.setdefault(
            (names.patient, names.study, names.series or names.fallback), _Found(names)
        )
        found.take([result.row], result.headers)
    elif result.kind == "directory":
        reading.counts["DICOMDIR files, which only list others"] += 1
    elif result.kind == "foreign" and not promises_dicom(path):
        reading.foreign[known_suffix(path)] += 1
    else:
        reading.unreadable.append((told_as(at + 1, path), result.reason))


def _names(reading: _Reading, told: Mapping[str, str], path: File) -> Names:
    """Give pseudonyms to what identifies a file, and remember what they stand for."""
    of, originals = reading.pseudonyms.of, reading.originals
    patient_id, study_uid = told["PatientID"], told["StudyInstanceUID"]
    series_uid = told["SeriesInstanceUID"]
    study = of("study", study_uid) if study_uid else None
    patient = None
    if patient_id:
        patient = of("patient", told["IssuerOfPatientID"], patient_id)
        reading.issuers[patient_id].add(told["IssuerOfPatientID"])
        originals["patient", patient_id].add(patient)
        born = reading.born[patient]
        if told["PatientBirthDate"]:
            born.add(of("patient", "born", told["PatientBirthDate"]))
    else:
        reading.counts["without patient"] += 1
        patient = of("patient", "", "", study_uid) if study_uid else None
    if study is not None:
        for original in (study_uid, told["AccessionNumber"]):
            if original:
                originals["study", original].add(study)
    if series_uid:
        series = of("series", series_uid)
        originals["series", series_uid].add(series)
        return Names(patient, study, series, series)
    # Without an identifier the files of a folder are the best guess at a series.
    reading.counts["Files that name no series, of which those of one folder count as one"] += 1
    folder = ""
    if isinstance(path, Path):
        folder = path.parent.relative_to(reading.listing.root).as_posix()
    return Names(patient, study, None, of("series", "folder", folder))


def _join_issuers(reading: _Reading) -> None:
    """Count a number without an issuer to the only issuer that it has elsewhere, if it has one.

    Not every device of a hospital tells the issuer, and a patient must not count as two.
    """
    of = reading.pseudonyms.of
    joined: dict[str | None, str] = {}
    for number, issuers in reading.issuers.items():
        named = issuers - {""}
        if len(named) == 1 and "" in issuers:
            joined[of("patient", "", number)] = of("patient", *named, number)
            reading.originals["patient", number] = {of("patient", *named, number)}
        elif named and "" in issuers:
            reading.counts["several issuers"] += 1
    for alone, patient in joined.items():
        if alone in reading.born:
            reading.born[patient] |= reading.born.pop(str(alone))
    apart, reading.series = reading.series, {}
    for (patient_, *rest), found in apart.items():
        known = joined.get(patient_, patient_)
        names = replace(found.names, patient=known)
        reading.series.setdefault((known, *rest), _Found(names)).take(found.rows, found.headers)


def _notes(reading: _Reading, archive: Archive) -> Iterator[str]:
    without = reading.counts.pop("without patient", 0)
    if without:
        yield (
            f"Files without a patient's number: {without}; each of their studies counts as a "
            "patient, and what names no study belongs to none."
        )
    unclear = reading.counts.pop("several issuers", 0)
    if unclear:
        yield (
            f"Patients' numbers that have several issuers, and none in some files: {unclear}; "
            "those files count as a patient of their own, who may be one of the others."
        )
    for words, count in sorted(reading.counts.items()):
        yield f"{words}: {count}."
    several = sum(len(born) > 1 for born in reading.born.values())
    if several:
        yield (
            f"{counted(several, 'patient')} {agreed(several, 'has', 'have')} several dates of "
            "birth: one number may stand for several people; each counts as one."
        )
    excluded = Counter(one.exclusion for one in archive.series if one.exclusion)
    if excluded:
        told = ", ".join(f"{count} {words}" for words, count in sorted(excluded.items()))
        yield f"Series that are not learnt from: {told}."
    if reading.foreign:
        yield f"Files that are no DICOM were not read: {in_words(reading.foreign)}."

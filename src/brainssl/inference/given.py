"""Which series are to be classified: volumes in files and folders that are named."""

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainssl.data.archives.archive import UNKNOWN, Archive, Series
from brainssl.data.archives.bids_names import FOLDERS
from brainssl.data.archives.pseudonyms import KEY_BYTES, read_key, write_key
from brainssl.data.archives.sorts import Sort, sort_of
from brainssl.data.levels import PLANES, is_patient
from brainssl.data.sequence import is_sequence
from brainssl.data.volumes.volume import VolumeRef
from brainssl.foundation.errors import BadUseError


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


def parted(named: Sequence[Path], key: Path | None = None) -> tuple[list[Path], Volumes]:
    """Part files and folders that are named into those of pictures and the series of the others.

    Files of a sort that are named one by one are taken together: those of a DICOM series are one.
    Headers are read, no pixels.

    Args:
        named: files and folders.
        key: see `Cutting`; one that is missing is made, if there are DICOM files.

    Raises:
        BadUseError: the key lies in a folder that is named.
        BrainsslError: a file that is no key, or a package that reads volumes is not installed.
    """
    secret, made = _secret(named, key)
    pictures: list[Path] = []
    files: dict[Sort, dict[Path, Path]] = {}
    archives: list[tuple[Archive, dict[Path, Path]]] = []
    for path in named:
        if path.is_dir():
            from brainssl.data.archives.find import find_archive  # files alone need not wait for it

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
        from brainssl.data.archives.find import archive_of_files

        archive = archive_of_files(list(own), secret)
        assert archive is not None
        archives.append((archive, own))
    found = _joined(archives, key)
    if made and key is not None and any(archive.kind == "dicom" for archive, _ in archives):
        write_key(key, secret)
        found.notes.append(
            f"The key of the pseudonyms is in {key}: keep it as safe as the images, and away from "
            "the answers."
        )
    return pictures, found


def _secret(named: Sequence[Path], key: Path | None) -> tuple[bytes, bool]:
    """Return the key, and whether it is a new one."""
    for folder in named if key is not None else ():
        if folder.is_dir() and key is not None and key.resolve().is_relative_to(folder.resolve()):
            raise BadUseError(
                f"--key {key} lies in {folder}: who gets that could tell who the patients are; "
                "choose another place"
            )
    if key is None or not key.exists():
        return secrets.token_bytes(KEY_BYTES), True
    return read_key(key), False


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
            source = _source(series, given)
            patient = series.patient or _by_folder(archive, source)
            found.series.append(Given(series.name + again, source, series.volume, patient, said))
            if patient:
                home = _home(archive, series.volume, patient) or str(place)
                homes.setdefault(patient, set()).add(home)
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
            told.append(
                f"Those of DICOM files are pseudonyms by the key {key.name}: brainssl scan FOLDER "
                f"--key {key.name} --locate PSEUDONYM leads back."
                if key
                else "Those of DICOM files are pseudonyms by a key that is forgotten now: with "
                "--key FILE they can be led back."
            )
        found.patients_from = " ".join(told)
    return found


def _by_folder(archive: Archive, source: str) -> str | None:
    """Return the folder that was named, or that a named file lies in, if patients are named so.

    Of one that is named as a sequence, a plane or a session it is the folder around it. Headers of
    DICOM files tell their patients, and their folders may be names of people.
    """
    if archive.kind == "dicom":
        return None
    path = Path(source).absolute()
    folder = path if path.is_dir() else path.parent
    while _is_part(folder.name):
        folder = folder.parent
    return folder.name if is_patient(folder.name) else None


def _is_part(name: str) -> bool:
    """Tell whether a folder is named as a part of what there is of a patient."""
    return is_sequence(name) or name.casefold() in PLANES | FOLDERS or name.startswith("ses-")


def _home(archive: Archive, volume: VolumeRef, patient: str) -> str | None:
    """Return what tells a patient from another of the same name; None for the source itself.

    A pseudonym of a DICOM file is the same wherever the patient lies; others are the same where
    they are one folder.
    """
    if archive.kind == "dicom":
        return "dicom"
    files = [file.absolute() for file in volume.files if isinstance(file, Path)]
    return next((str(one) for file in files for one in file.parents if one.name == patient), None)


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

"""Files to classify, named or below folders that are named, and who they are of."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from brainssl.data.csv_tables import Table, by_path
from brainssl.data.levels import is_patient
from brainssl.data.listing import Listing, list_files, own
from brainssl.data.read import NAMED, VOLUMES
from brainssl.data.sequence import as_sequence, sequence_of
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.nouns import agreed, counted

FOLDERS = "folders"
"""Given for a table of patients: the first folder below one that is named is a patient."""

MANY = {"patient": "patients", "series": "series"}
"""Kinds of units, and several of each: so the lists of an answer are called."""


@dataclass(frozen=True)
class Image:
    """A file to classify.

    Attributes:
        file: as it was named, or below the folder that was; of a volume's slice the name of the
            series, and its number.
        home: the folder that was named, or that a named file lies in.
        top: the folder in it whose folders may be patients: its `images/`, or what wraps them.
        refusal: why it is not read; None if it is.
    """

    file: Path
    home: Path
    top: Path
    refusal: str | None = None

    @property
    def folders(self) -> tuple[str, ...]:
        """Names of the folders that it lies in, from the one that was named down."""
        return (self.home.absolute().name, *self.file.relative_to(self.home).parts[:-1])


@dataclass
class Inputs:
    """What is to be classified.

    Attributes:
        images: in order, those of a folder by path.
        patients: of images, by place among `images`; those of unknown patients are left out.
        sequences: likewise.
        volumes: the series, by its name, of images that are slices of a volume.
        patients_from: how patients were found, a sentence; None where none is known.
        notes: what a reader of the answer should know, one sentence each.
    """

    images: list[Image]
    patients: dict[int, str] = field(default_factory=dict)
    sequences: dict[int, str] = field(default_factory=dict)
    volumes: dict[int, str] = field(default_factory=dict)
    patients_from: str | None = None
    notes: list[str] = field(default_factory=list)


def collect(named: Sequence[Path], patients: Path | None = None) -> Inputs:
    """Return the images that are named, and all below the folders that are.

    Patients are those of a table that is given; with `folders` in its place the first folder below
    each one that is named, or this one for images that lie right in it; `images/` and a single
    folder that wraps all others are looked through, but no folder that is named as patients are.
    Where nothing is given they are those of `patients.csv` in the folders, or else the folders that
    are named as patients are (`P12`, `sub-07`), unless two tables or folders name the same one.
    Sequences are those of the table's column `sequence`, or else what the file's name ends in, or
    that of a folder around it.

    Args:
        named: files and folders.
        patients: CSV `path,patient[,sequence]`, or `folders`.

    Raises:
        BadUseError: with `folders`, two folders of one name.
        BrainsslError: no image in a folder, or a table that does not fit.
    """
    found = Inputs([])
    listings = []
    for path in named:
        if path.is_dir():
            listings.append(_listed(found, path))
        else:
            found.images.append(Image(path, path.parent, path.parent))
    found.images = list({image.file.absolute(): image for image in found.images}.values())
    found.sequences = _sequences(found.images)
    if patients is not None and str(patients) == FOLDERS:
        found.patients = _by_folder(found.images)
        found.patients_from = "Each folder is a patient, as --patients folders says."
    elif patients is not None:
        _take(found, Table.read(patients), range(len(found.images)), _roots(found, listings))
        found.patients_from = f"Patients are those of {patients.name}."
    else:
        _find(found, listings)
    if found.patients and (unknown := len(found.images) - len(found.patients)):
        found.notes.append(
            f"The patient of {counted(unknown, 'file')} is unknown: "
            f"{agreed(unknown, 'it is', 'they are')} in no patient."
        )
    if listings and not found.patients:
        found.notes.append(
            "Patients are not known: name them with --patients FILE.csv (path,patient), or "
            "--patients folders."
        )
    return found


def _listed(found: Inputs, folder: Path) -> Listing:
    """Add the images below a folder."""
    listing = list_files(folder)
    files = {listing.root / path: None for path in listing.paths}
    refused = {listing.root / path: reason for path, reason in listing.unreadable}
    if not files and not refused:
        raise BrainsslError(
            f"{folder}: holds nothing to judge; name a folder with {NAMED} files, or with {VOLUMES}"
        )
    top = _top(folder, listing.root)
    found.images += [
        Image(file, folder, top, reason and f"{file}: {reason}")
        for file, reason in sorted((files | refused).items())
    ]
    found.notes += [f"{folder}: {note}" for note in listing.notes]
    return listing


def _top(folder: Path, root: Path) -> Path:
    """Return the lowest folder that is looked through and is no patient."""
    through = root.relative_to(folder).parts
    depth = next((n for n, name in enumerate(through) if is_patient(name)), len(through))
    return folder.joinpath(*through[:depth])


def _sequences(images: Sequence[Image]) -> dict[int, str]:
    told = {
        at: sequence_of(image.file.stem, *reversed(image.folders))
        for at, image in enumerate(images)
    }
    return {at: sequence for at, sequence in told.items() if sequence}


def _find(found: Inputs, listings: Sequence[Listing]) -> None:
    """Take patients from tables in the folders, or else from folders named as patients are."""
    tables = {
        table.resolve(): (table, listing.root)
        for listing in listings
        if (table := own(listing.home, "patients.csv"))
    }
    if tables:
        _by_tables(found, list(tables.values()))
    else:
        _by_names(found)


def _by_tables(found: Inputs, tables: Sequence[tuple[Path, Path]]) -> None:
    """Take patients from tables, each with the folder of its images."""
    tellers: dict[int, Path] = {}
    for file, root in tables:
        inside = [
            at
            for at, image in enumerate(found.images)
            if image.file.absolute().is_relative_to(root.absolute()) and not image.refusal
        ]
        tellers |= dict.fromkeys(_take(found, Table.read(file), inside, [root]), file)
    named: dict[str, set[Path]] = {}
    for at, file in tellers.items():
        named.setdefault(found.patients[at], set()).add(file)
    if twice := sorted(name for name, files in named.items() if len(files) > 1):
        one, other, *_ = sorted(map(str, named[twice[0]]))
        found.patients.clear()
        found.notes.append(
            f"{one} and {other} both name {twice[0]}: whether that is one patient cannot be told."
        )
    else:
        found.patients_from = f"Patients are those of {', '.join(str(file) for file, _ in tables)}."


def _by_names(found: Inputs) -> None:
    """Take folders that are named as patients are."""
    places: dict[str, set[tuple[str, ...]]] = {}
    for at, image in enumerate(found.images):
        depth = next((n for n, name in enumerate(image.folders) if is_patient(name)), None)
        if depth is not None:
            name = image.folders[depth]
            found.patients[at] = name
            below = image.file.relative_to(image.home).parts[:depth]
            places.setdefault(name, set()).add((*image.home.absolute().parts, *below))
    if twice := sorted(name for name, where in places.items() if len(where) > 1):
        found.patients.clear()
        found.notes.append(
            f"Several folders are named {twice[0]}: whether they are one patient cannot be told."
        )
    elif places:
        found.patients_from = f"Patients are the folders that are named so, such as {min(places)}."


def _by_folder(images: Sequence[Image]) -> dict[int, str]:
    patients: dict[int, str] = {}
    places: dict[str, Path] = {}
    for at, image in enumerate(images):
        inside = image.file.relative_to(image.top).parts
        folder = (image.top / inside[0] if len(inside) > 1 else image.home).absolute()
        if places.setdefault(folder.name, folder) != folder:
            raise BadUseError(
                f"--patients folders: {places[folder.name]} and {folder} have one name: give a "
                "table instead"
            )
        patients[at] = folder.name
    return patients


def _roots(found: Inputs, listings: Sequence[Listing]) -> list[Path]:
    """Return the folders to which a table's paths may be relative."""
    parents = [str(image.file.absolute().parent) for image in found.images]
    roots = [listing.root.absolute() for listing in listings[:1]]
    return [*roots, Path(os.path.commonpath(parents)), Path.cwd()]


def _take(
    found: Inputs, table: Table, places: Sequence[int], roots: Sequence[Path]
) -> Mapping[int, str]:
    """Take patients, and sequences if it has them, from a table; return these patients."""
    table.needs("path", "patient")
    read = _best(found, table, "patient", places, roots)
    patients = {at: name for at, name in read.items() if name}
    found.patients |= patients
    if "sequence" in table.columns:
        for at, name in _best(found, table, "sequence", places, roots).items():
            if name:
                found.sequences[at] = as_sequence(name)
    return patients


def _best(
    found: Inputs, table: Table, value: str, places: Sequence[int], roots: Sequence[Path]
) -> Mapping[int, str]:
    """Return a column for each image, from the root below which most paths are found."""
    best: dict[int, str] = {}
    told: list[str] = []
    refused: BrainsslError | None = None
    for root in dict.fromkeys(path.absolute() for path in roots):
        below = {
            found.images[at].file.absolute().relative_to(root).as_posix(): at
            for at in places
            if found.images[at].file.absolute().is_relative_to(root)
        }
        notes: list[str] = []
        try:
            read = by_path(table, value, list(below), root, notes.append)
        except BrainsslError as error:
            refused = refused or error
            continue
        if len(read) > len(best):
            best, told = {below[path]: name for path, name in read.items()}, notes
    if not best and refused:
        raise refused
    found.notes += [note for note in told if note not in found.notes]
    return best

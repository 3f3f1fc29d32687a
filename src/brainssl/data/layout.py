"""What a source folder's arrangement says of each image: label, sequence, patient, plane, split.

Nothing is decoded here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from brainssl.data.class_names import questions_about
from brainssl.data.csv_tables import Table, by_folder, by_path, composed
from brainssl.data.families import FILE, read_families
from brainssl.data.levels import read_levels
from brainssl.data.listing import list_files, own, visible
from brainssl.foundation.errors import BadUseError, BrainsslError
from brainssl.foundation.nouns import agreed, counted


@dataclass
class Layout:
    """The files of a source, and what folders and tables say of them.

    Attributes:
        home: the source, or the folder in it that holds everything: its tables lie there.
        root: folder that the paths are relative to.
        paths: candidates for images, relative to `root` in POSIX form, sorted.
        unreadable: paths refused before reading, each with the reason.
        notes: decisions that a reader of the data should know, one sentence each.
        labels: class of each path; None where there is none.
        patients: patient of each path; None where unknown.
        planes: plane of each path, in lower case; None where unknown.
        given: "train", "test" or None for each path.
        overlooked: tables and masks that lie beside the folder that was named, a sentence each.
        further: of each further column that was asked for, its value for each path that has one.
        families: of each class `[family, sequence]`, where `take_families` found a table.
        questions: what only the user can answer; until then no study can be believed.
    """

    home: Path
    root: Path
    paths: list[str]
    unreadable: list[tuple[str, str]]
    notes: list[str]
    labels: dict[str, str | None] = field(default_factory=dict)
    patients: dict[str, str | None] = field(default_factory=dict)
    planes: dict[str, str | None] = field(default_factory=dict)
    given: dict[str, str | None] = field(default_factory=dict)
    overlooked: list[str] = field(default_factory=list)
    further: dict[str, dict[str, str]] = field(default_factory=dict)
    families: dict[str, list[str]] | None = None
    questions: list[str] = field(default_factory=list)


def read_layout(
    source: Path,
    labels: Path | None = None,
    classes_at: int | None = None,
    columns: Sequence[str] = (),
) -> Layout:
    """List a source's files and read its folders and tables, but that of families.

    Args:
        source: class folders; `Training/` and `Testing/` holding them; a flat folder; or a folder
            that holds `images/`, with `patients.csv` and `masks/` beside it, see
            `brainssl.data.levels`. One wrapping folder is looked through.
        labels: CSV `folder,label` or `path,label[,patient]`; without it, a CSV of the second kind
            in the source is used where there is exactly one.
        classes_at: level of the classes among the folders of the source, from 1; by default it is
            found.
        columns: further columns of the tables to keep, such as `site`.

    Returns:
        The layout; nothing has been decoded.

    Raises:
        BrainsslError: no such folder, or a table that does not fit the files.
    """
    found = list_files(source)
    home = found.home
    layout = Layout(home, found.root, found.paths, found.unreadable, found.notes)
    layout.further = {name: {} for name in columns}
    above = len(home.relative_to(source).parts)  # folders that were looked through
    _read_folders(layout, found.closed, None if classes_at is None else classes_at - above, above)
    if classes_at is not None and not any(layout.labels.values()):
        raise BadUseError(
            f"--classes-at {classes_at}: no image of {source} lies so many folders deep"
        )
    table = Table.read(labels) if labels else _table_beside(home, layout)
    if table is not None:
        layout.questions.clear()  # the table says what the classes are
        _take_labels(layout, table)
    patients = _own_table(home, "patients.csv")
    if patients:
        _take_patients(layout, Table.read(patients))
    layout.overlooked = [
        f"{name} beside images/ was not read: name the folder that holds both, "
        f"{source.resolve().parent.name}/, to use it."
        for name in _company(source, home)
    ]
    layout.notes += layout.overlooked
    layout.questions += questions_about({name for name in layout.labels.values() if name})
    layout.notes = list(dict.fromkeys(layout.notes))
    return layout


def take_families(layout: Layout, given: Path | None = None, *, relabelled: bool = False) -> None:
    """Take families and sequences from the table that is given, or lies in the source.

    Args:
        layout: is told.
        given: CSV `label,family,sequence`; without it `families.csv` in the source.
        relabelled: labels were given that are not those of the source. Its own table is of its own
            labels: it need not fit these.

    Raises:
        BrainsslError: the table does not fit the classes.
    """
    file = given or _own_table(layout.home, FILE)
    if file is None:
        return
    try:
        layout.families = read_families(file, {name for name in layout.labels.values() if name})
    except BrainsslError as error:
        if given or not relabelled:
            raise
        layout.notes.append(f"{file.name} was not used, as other labels were given: {error}.")
    else:
        layout.notes.append(f"Families and sequences of the classes were taken from {file.name}.")


def _own_table(home: Path, name: str) -> Path | None:
    """Return a table of a source that has a name of ours.

    Raises:
        BrainsslError: it is a link: without it slices of one patient would be divided in silence.
    """
    for entry in visible(home):
        if entry.name.casefold() == name and entry.is_symlink():
            raise BrainsslError(f"{entry.path}: is a link; put the table itself there")
    return own(home, name)


def _company(source: Path, home: Path) -> list[str]:
    """Return what lies beside a source that is itself `images/`, and not in it."""
    folder = source.resolve()
    if folder.name.casefold() != "images":
        return []
    inside, beside = ({e.name.casefold() for e in visible(at)} for at in (home, folder.parent))
    company = {"patients.csv": "patients.csv", FILE: FILE, "masks": "masks/"}
    return [shown for name, shown in company.items() if name in beside - inside]


def _read_folders(
    layout: Layout, closed: Sequence[str], classes_at: int | None, above: int
) -> None:
    """Take labels, patients and the given split from folder names.

    Args:
        layout: is told.
        closed: folders that cannot be opened, whose class is lost.
        classes_at: level of the classes below the root, if somebody said so.
        above: folders between the source and the root, which a user counts too.
    """
    folders = [PurePosixPath(composed(path)).parts[:-1] for path in layout.paths]
    folders += [PurePosixPath(composed(path)).parts for path in closed]
    if classes_at is not None and classes_at < 1:
        raise BadUseError(f"--classes-at {classes_at + above}: that folder holds everything")
    levels = read_levels(folders, classes_at, above=above)
    for path, place in zip(layout.paths, levels.places[: len(layout.paths)], strict=True):
        layout.labels[path], layout.given[path] = place.label, place.given
        layout.patients[path], layout.planes[path] = place.patient, None
    for path, place in zip(closed, levels.places[len(layout.paths) :], strict=True):
        layout.labels[path] = place.label
    layout.notes += levels.notes
    layout.questions += levels.questions


def _table_beside(home: Path, layout: Layout) -> Table | None:
    """Find the one CSV in the source that has the columns `path` and `label`."""
    found = []
    for entry in visible(home):
        path = Path(entry.path)
        if (
            path.suffix.lower() == ".csv"
            and path.name.casefold() not in ("patients.csv", FILE)
            and entry.is_file()
        ):
            if entry.is_symlink():
                layout.notes.append(f"{path.name} is a link and was not looked into.")
                continue
            try:
                table = Table.read(path)
            except BrainsslError as error:
                layout.notes.append(f"{path.name} was not looked into: {error}.")
                continue
            if {"path", "label"} <= set(table.columns):
                found.append(table)
    if len(found) > 1:
        names = ", ".join(table.file.name for table in found)
        raise BrainsslError(f"{home}: holds several label tables ({names}); choose with --labels")
    if found:
        layout.notes.append(f"Labels were taken from {found[0].file.name}.")
        return found[0]
    return None


def _take_labels(layout: Layout, table: Table) -> None:
    """Let a table's labels, and patients if it has them, stand instead of the folders' names."""
    if "path" not in table.columns:
        table.needs("folder", "label", instead="path,label")
        _take_folder_labels(layout, table)
        return
    table.needs("path", "label")
    found = by_path(table, "label", layout.paths, layout.root, layout.notes.append)
    for path in layout.paths:
        layout.labels[path] = composed(found.get(path, "")) or None
    _take_further(layout, table)
    silent = len(layout.paths) - len(found)
    if silent:
        have = f"{counted(silent, 'image')} {agreed(silent, 'has', 'have')}"
        layout.notes.append(f"{have} no row in {table.file.name}: unlabelled.")
    if "patient" in table.columns:
        _take_patients(layout, table)
    elif "plane" in table.columns:
        _take_planes(layout, table)


def _take_folder_labels(layout: Layout, table: Table) -> None:
    inside = [path for path in layout.paths if "/" in path]
    folders = [_folder_names(path, split=layout.given[path] is not None) for path in inside]
    labels = by_folder(table, folders, layout.root, layout.notes.append)
    layout.labels = dict.fromkeys(layout.paths)
    for path, label in zip(inside, labels, strict=True):
        layout.labels[path] = composed(label) or None
    if len(inside) < len(layout.paths):
        flat = len(layout.paths) - len(inside)
        lie = agreed(flat, "lies in no folder and stays", "lie in no folder and stay")
        layout.notes.append(f"{counted(flat, 'image')} {lie} unlabelled.")


def _folder_names(path: str, *, split: bool) -> list[str]:
    """Return the names by which a table may call an image's folder, the longest first."""
    folders = [folder.strip() for folder in PurePosixPath(composed(path)).parts[:-1]]
    names = []
    for end in range(len(folders), 0, -1):
        names.append("/".join(folders[:end]))
        if split and end > 1:
            names.append("/".join(folders[1:end]))
    return [*names, folders[-1]]


def _take_patients(layout: Layout, table: Table) -> None:
    table.needs("path", "patient")
    found = by_path(table, "patient", layout.paths, layout.root, layout.notes.append)
    for path in layout.paths:
        layout.patients[path] = found.get(path) or layout.patients[path]
    _take_further(layout, table)
    unknown = sum(patient is None for patient in layout.patients.values())
    if unknown:
        layout.notes.append(f"The patient of {counted(unknown, 'image')} is unknown.")
    if "plane" in table.columns:
        _take_planes(layout, table)


def _take_planes(layout: Layout, table: Table) -> None:
    # Names without an image were noted when labels or patients were taken from the same table.
    found = by_path(table, "plane", layout.paths, layout.root, lambda _: None)
    for path in layout.paths:
        layout.planes[path] = found.get(path, "").lower() or layout.planes[path]


def _take_further(layout: Layout, table: Table) -> None:
    for name, known in layout.further.items():
        if name.lower() in table.columns:
            found = by_path(table, name.lower(), layout.paths, layout.root, lambda _: None)
            known |= {path: value for path, value in found.items() if value}

"""What a source folder's arrangement says of each image: label, sequence, patient, plane, split.

Nothing is decoded here.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from brainssl.data.csv_tables import Table, by_folder, by_path, composed
from brainssl.foundation.errors import BrainsslError

GIVEN = {
    "training": "train",
    "train": "train",
    "testing": "test",
    "test": "test",
    "validation": "train",
    "valid": "train",
    "val": "train",
}
"""Folder names of a given split. A given validation set is training data: ours is drawn anew."""

_DOCUMENTS = re.compile(
    r"\.([ct]sv|txt|md|rst|json|ya?ml|toml|xml|html|pdf|xlsx?|docx|parquet|py|ipynb|sh|log|bib)",
    re.IGNORECASE,
)
_IGNORED = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_SEQUENCE = re.compile(
    r"(?:^|[\s_\-./(])"
    r"(?:(?P<contrast>T1[\s_-]*(?:C\s*\+|\+\s*C|C|\+|CE|Gd|post))|(?P<t1>T1w?)"
    r"|(?P<flair>(?:T2[\s_-]*)?FLAIR)|(?P<t2>T2w?)|(?P<other>PD|DWI|ADC|SWI))\)?\s*$",
    re.IGNORECASE,
)


@dataclass
class Layout:
    """The files of a source, and what folders and tables say of them.

    Attributes:
        root: folder that the paths are relative to.
        paths: candidates for images, relative to `root` in POSIX form, sorted.
        unreadable: paths refused before reading, each with the reason.
        notes: decisions that a reader of the data should know, one sentence each.
        labels: class of each path; None where there is none.
        patients: patient of each path; None where unknown.
        planes: plane of each path, in lower case; None where unknown.
        given: "train", "test" or None for each path.
    """

    root: Path
    paths: list[str]
    unreadable: list[tuple[str, str]]
    notes: list[str]
    labels: dict[str, str | None] = field(default_factory=dict)
    patients: dict[str, str | None] = field(default_factory=dict)
    planes: dict[str, str | None] = field(default_factory=dict)
    given: dict[str, str | None] = field(default_factory=dict)


def sequence_of(*names: str | None) -> str | None:
    """Return the MRI sequence that the first telling name ends in: such as "T1", "T1C+" or "FLAIR".

    Spellings such as `T1ce`, `T1 Gd`, `T1+C` are T1C+; None where no name ends in a sequence.
    """
    for name in names:
        found = _SEQUENCE.search(name) if name else None
        if found:
            kind = str(found.lastgroup)
            known = {"contrast": "T1C+", "t1": "T1", "t2": "T2", "flair": "FLAIR"}
            return known.get(kind, found[kind].upper())
    return None


def read_layout(source: Path, labels: Path | None = None) -> Layout:
    """List a source's files and read its folders and tables.

    Args:
        source: class folders; `Training/` and `Testing/` holding them; a flat folder; or a folder
            that holds `images/`, with `patients.csv` and `masks/` beside it. The class is the
            first folder level. A folder below it counts only where it names a sequence
            (`Glioma/T1` is the class "Glioma T1"). One wrapping folder is looked through.
        labels: CSV `folder,label` or `path,label[,patient]`; without it, a CSV of the second kind
            in the source is used where there is exactly one.

    Returns:
        The layout; nothing has been decoded.

    Raises:
        BrainsslError: no such folder, or a table that does not fit the files.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    home = _unwrap(source)
    root = home / "images" if (home / "images").is_dir() else home
    layout = _list_files(root, source.resolve(), home)
    _read_folders(layout)
    table = Table.read(labels) if labels else _table_beside(home, layout)
    if table is not None:
        _take_labels(layout, table)
    patients = home / "patients.csv"
    if patients.is_file():
        _take_patients(layout, Table.read(patients))
    elif _parent_knows_patients(source):
        layout.notes.append(
            "patients.csv beside images/ was not read: name the folder that holds both, "
            f"{source.resolve().parent.name}/, to use its patients."
        )
    return layout


def masks_beside(source: Path) -> Path | None:
    """Return the folder of lesion masks that lies beside `images/`; None where there is none.

    Raises:
        BrainsslError: no such folder as the source.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    home = _unwrap(source)
    return home / "masks" if all((home / n).is_dir() for n in ("images", "masks")) else None


def _parent_knows_patients(source: Path) -> bool:
    folder = source.resolve()
    return folder.name == "images" and (folder.parent / "patients.csv").is_file()


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        kept = [e for e in entries if e.name[0] != "." and e.name.casefold() not in _IGNORED]
    return sorted(kept, key=lambda entry: entry.name)


def _unwrap(source: Path) -> Path:
    """Look through the single folder that an archive often wraps around its content."""
    entries = _visible(source)
    folders = [e for e in entries if e.is_dir(follow_symlinks=False)]
    if len(entries) != 1 or len(folders) != 1 or folders[0].name == "images":
        return source
    inside = Path(folders[0].path)
    if any(entry.is_dir(follow_symlinks=False) for entry in _visible(inside)):
        return _unwrap(inside)
    return source


def _list_files(root: Path, boundary: Path, home: Path) -> Layout:
    """Walk the root; refuse links that leave `boundary` and names that no table can hold."""
    layout = Layout(root, [], [], [])
    skipped: Counter[str] = Counter()
    pending = [root]
    while pending:
        for entry in _entries(pending.pop(), layout):
            path = Path(entry.path)
            relative = path.relative_to(root).as_posix()
            refusal = _refusal(entry, relative, boundary)
            if refusal:
                printable = relative.encode("utf-8", "replace").decode()
                layout.unreadable.append((printable, refusal))
            elif entry.is_dir(follow_symlinks=False):
                if path != home / "masks":
                    pending.append(path)
            elif _DOCUMENTS.fullmatch(path.suffix):
                skipped[path.suffix.lower()] += 1
            else:
                layout.paths.append(relative)
    layout.paths.sort()
    if skipped:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(skipped.items()))
        layout.notes.append(f"Files that are no images were not read: {kinds}.")
    known = {"images", "masks"} if root != home else set()
    beside = [e.name for e in _visible(home) if e.is_dir() and e.name not in known] if known else []
    if beside:
        layout.notes.append(f"Folders beside images/ were not scanned: {', '.join(beside)}.")
    return layout


def _entries(folder: Path, layout: Layout) -> list[os.DirEntry[str]]:
    """Return a folder's visible entries; one that cannot be opened is listed, not fatal."""
    try:
        return _visible(folder)
    except OSError as error:
        reason = f"is a folder that cannot be opened ({error.strerror})"
        layout.unreadable.append((folder.relative_to(layout.root).as_posix(), reason))
        return []


def _refusal(entry: os.DirEntry[str], relative: str, boundary: Path) -> str | None:
    try:
        relative.encode("utf-8")
    except UnicodeEncodeError:
        return "its name is not valid UTF-8; rename it"
    if entry.is_symlink():
        if not Path(entry.path).resolve().is_relative_to(boundary):
            return "is a link that leaves the source; copy what it points to"
        if entry.is_dir():
            return "is a link to a folder, which is not followed; its files are read where they lie"
    return None


def _read_folders(layout: Layout) -> None:
    """Take labels and the given split from folder names."""
    tops = {PurePosixPath(path).parts[0] for path in layout.paths if "/" in path}
    given = {top: GIVEN[top.casefold()] for top in tops if top.casefold() in GIVEN}
    if set(given.values()) != {"train", "test"}:
        given = {}
    deeper = False
    for path in layout.paths:
        folders = PurePosixPath(composed(path)).parts[:-1]
        layout.patients[path] = layout.planes[path] = None
        layout.given[path] = given.get(PurePosixPath(path).parts[0]) if folders else None
        below = folders[1:] if layout.given[path] else folders
        if given and not layout.given[path]:
            below = ()
        name = below[0] if below else None
        if name and len(below) > 1:
            whole = _SEQUENCE.fullmatch(below[1])
            if whole and not sequence_of(name):
                name = f"{name} {below[1]}"
            deeper = deeper or not whole or len(below) > 2
        layout.labels[path] = name
    if deeper:
        layout.notes.append(
            "Folders below the classes say nothing to the scan; if they are patients, name them in "
            "a CSV path,label,patient."
        )
    outside = sorted(tops - set(given)) if given else []
    if outside:
        layout.notes.append(
            f"Beside the given split, these folders are kept unlabelled: {', '.join(outside)}."
        )
    validation = sorted(top for top in given if top.casefold().startswith("val"))
    if validation:
        layout.notes.append(
            f"{', '.join(validation)}/ counts as training data; validation is drawn anew from it."
        )


def _table_beside(home: Path, layout: Layout) -> Table | None:
    """Find the one CSV in the source that has the columns `path` and `label`."""
    found = []
    for entry in _visible(home):
        path = Path(entry.path)
        if path.suffix.lower() == ".csv" and path.name != "patients.csv" and entry.is_file():
            table = Table.read(path)
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
        table.needs("folder", "label")
        _take_folder_labels(layout, table)
        return
    table.needs("path", "label")
    found = by_path(table, "label", layout.paths, layout.root, layout.notes.append)
    for path in layout.paths:
        layout.labels[path] = composed(found.get(path, "")) or None
    silent = len(layout.paths) - len(found)
    if silent:
        layout.notes.append(f"{silent} images have no row in {table.file.name}: unlabelled.")
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
        layout.notes.append(f"{flat} images lie in no folder and stay unlabelled.")


def _folder_names(path: str, *, split: bool) -> list[str]:
    """Return the names by which a table may call an image's folder, the longest first."""
    folders = PurePosixPath(composed(path)).parts[:-1]
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
    unknown = sum(patient is None for patient in layout.patients.values())
    if unknown:
        layout.notes.append(f"The patient of {unknown} images is unknown.")
    if "plane" in table.columns:
        _take_planes(layout, table)


def _take_planes(layout: Layout, table: Table) -> None:
    # Names without an image were noted when labels or patients were taken from the same table.
    found = by_path(table, "plane", layout.paths, layout.root, lambda _: None)
    for path in layout.paths:
        layout.planes[path] = found.get(path, "").lower() or layout.planes[path]

"""What a source folder's arrangement says of each image: label, sequence, patient, plane, split.

Nothing is decoded here.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from brainssl.data.class_names import questions_about
from brainssl.data.csv_tables import Table, by_folder, by_path, composed
from brainssl.data.levels import is_patient, read_levels
from brainssl.data.mask_files import masks_among
from brainssl.data.sequence import is_sequence
from brainssl.foundation.errors import BadUseError, BrainsslError

_DOCUMENTS = re.compile(
    r"\.([ct]sv|txt|md|rst|json|ya?ml|toml|xml|html|pdf|xlsx?|docx|parquet|py|ipynb|sh|log|bib)",
    re.IGNORECASE,
)
# What file servers and systems leave behind.
_IGNORED = frozenset(
    {
        "thumbs.db",
        "desktop.ini",
        "__macosx",
        "@eadir",
        "#recycle",
        "@recycle",
        "#snapshot",
        "@tmp",
        "__pycache__",
        "$recycle.bin",
        "lost+found",
        "system volume information",
    }
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
        questions: what only the user can answer; until then no study can be believed.
    """

    root: Path
    paths: list[str]
    unreadable: list[tuple[str, str]]
    notes: list[str]
    labels: dict[str, str | None] = field(default_factory=dict)
    patients: dict[str, str | None] = field(default_factory=dict)
    planes: dict[str, str | None] = field(default_factory=dict)
    given: dict[str, str | None] = field(default_factory=dict)
    questions: list[str] = field(default_factory=list)


def read_layout(source: Path, labels: Path | None = None, classes_at: int | None = None) -> Layout:
    """List a source's files and read its folders and tables.

    Args:
        source: class folders; `Training/` and `Testing/` holding them; a flat folder; or a folder
            that holds `images/`, with `patients.csv` and `masks/` beside it, see
            `brainssl.data.levels`. One wrapping folder is looked through.
        labels: CSV `folder,label` or `path,label[,patient]`; without it, a CSV of the second kind
            in the source is used where there is exactly one.
        classes_at: level of the classes among the folders of the source, from 1; by default it is
            found.

    Returns:
        The layout; nothing has been decoded.

    Raises:
        BrainsslError: no such folder, or a table that does not fit the files.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    home = _unwrap(source)
    root = _own(home, "images") or home
    layout = _list_files(root, source.resolve(), home)
    if home != source:
        layout.notes.append(f"Looked through {home.relative_to(source)}/, which holds everything.")
    above = len(home.relative_to(source).parts)  # folders that were looked through
    _read_folders(layout, None if classes_at is None else classes_at - above, above)
    if classes_at is not None and not any(layout.labels.values()):
        raise BadUseError(
            f"--classes-at {classes_at}: no image of {source} lies so many folders deep"
        )
    table = Table.read(labels) if labels else _table_beside(home, layout)
    if table is not None:
        layout.questions.clear()  # the table says what the classes are
        _take_labels(layout, table)
    patients = _own(home, "patients.csv")
    if patients:
        _take_patients(layout, Table.read(patients))
    elif _parent_knows_patients(source):
        layout.notes.append(
            "patients.csv beside images/ was not read: name the folder that holds both, "
            f"{source.resolve().parent.name}/, to use its patients."
        )
    layout.questions += questions_about({name for name in layout.labels.values() if name})
    layout.notes = list(dict.fromkeys(layout.notes))
    return layout


def images_of(source: Path) -> Path:
    """Return the folder of a source that is scanned for images: its `images/`, if it has one."""
    home = _unwrap(source)
    return _own(home, "images") or home


def masks_beside(source: Path) -> Path | None:
    """Return the folder of lesion masks that lies beside `images/`; None where there is none.

    Raises:
        BrainsslError: no such folder as the source.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    home = _unwrap(source)
    return _own(home, "masks") if _own(home, "images") else None


def _own(home: Path, name: str) -> Path | None:
    """Return what lies in a folder under a name of ours, in whatever case it is written."""
    found = [e for e in _visible(home) if e.name.casefold() == name]
    # Links are left alone: what they point to may lie outside of the source.
    table = name.endswith(".csv")
    found = [e for e in found if (e.is_file if table else e.is_dir)(follow_symlinks=False)]
    return Path(min(found, key=lambda entry: entry.name != name).path) if found else None


def _parent_knows_patients(source: Path) -> bool:
    folder = source.resolve()
    if folder.name.casefold() != "images":
        return False
    return _own(folder.parent, "patients.csv") is not None


def is_litter(name: str) -> bool:
    """Tell whether a file or folder is hidden, or left behind by a system: no scan looks at it."""
    return name.startswith(".") or name.casefold() in _IGNORED


def _visible(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not is_litter(entry.name)]
    return sorted(kept, key=lambda entry: entry.name)


def _unwrap(source: Path) -> Path:
    """Look through the single folder that an archive often wraps around its content.

    Documents beside it do not count, but a table may be meant for it. A folder of sequences or
    patients is a class.
    """
    entries = [
        e for e in _visible(source) if not _is_document(e) or e.name.casefold().endswith(".csv")
    ]
    if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
        return source
    inside = Path(entries[0].path)
    folders = [e.name for e in _visible(inside) if e.is_dir(follow_symlinks=False)]
    if not folders or entries[0].name.casefold() == "images":
        return source
    numbers = all(map(str.isdecimal, folders)) and max(map(len, folders)) > 1
    if numbers or all(is_sequence(name) or is_patient(name) for name in folders):
        return source
    return _unwrap(inside)


def _is_document(entry: os.DirEntry[str]) -> bool:
    suffix = PurePosixPath(entry.name).suffix
    return bool(_DOCUMENTS.fullmatch(suffix)) and not entry.is_dir(follow_symlinks=False)


def _list_files(root: Path, boundary: Path, home: Path) -> Layout:
    """Walk the root; refuse links that leave `boundary` and names that no table can hold."""
    layout = Layout(root, [], [], [])
    masks = _own(home, "masks")
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
                if path != masks:
                    pending.append(path)
            elif _DOCUMENTS.fullmatch(path.suffix):
                skipped[path.suffix.lower()] += 1
            else:
                layout.paths.append(relative)
    layout.paths.sort()
    if masks_inside := set(masks_among(layout.paths)):
        layout.paths = [path for path in layout.paths if path not in masks_inside]
        layout.notes.append(
            f"{len(masks_inside)} masks beside their images are no slices, e.g. "
            f"{min(masks_inside)}."
        )
    if skipped:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(skipped.items()))
        layout.notes.append(f"Files that are no images were not read: {kinds}.")
    known = {root.name, masks.name if masks else ""}
    others = _visible(home) if root != home else []
    beside = [e.name for e in others if e.is_dir() and e.name not in known]
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
        if _leads_nowhere(Path(entry.path)):
            return "is a link that leads nowhere; delete it"
        if not Path(entry.path).resolve().is_relative_to(boundary):
            return "is a link that leaves the source; copy what it points to"
        if entry.is_dir():
            return "is a link to a folder, which is not followed; its files are read where they lie"
    return None


def _leads_nowhere(link: Path) -> bool:
    try:
        return not link.exists()
    except (OSError, RuntimeError):  # Python before 3.13 raises where links lead in a circle
        return True


def _read_folders(layout: Layout, classes_at: int | None, above: int) -> None:
    """Take labels, patients and the given split from folder names.

    Args:
        layout: is told.
        classes_at: level of the classes below the root, if somebody said so.
        above: folders between the source and the root, which a user counts too.
    """
    folders = [PurePosixPath(composed(path)).parts[:-1] for path in layout.paths]
    if classes_at is not None and classes_at < 1:
        raise BadUseError(f"--classes-at {classes_at + above}: that folder holds everything")
    levels = read_levels(folders, classes_at, above=above)
    for path, place in zip(layout.paths, levels.places, strict=True):
        layout.labels[path], layout.given[path] = place.label, place.given
        layout.patients[path], layout.planes[path] = place.patient, None
    layout.notes += levels.notes
    layout.questions += levels.questions


def _table_beside(home: Path, layout: Layout) -> Table | None:
    """Find the one CSV in the source that has the columns `path` and `label`."""
    found = []
    for entry in _visible(home):
        path = Path(entry.path)
        if (
            path.suffix.lower() == ".csv"
            and path.name.casefold() != "patients.csv"
            and entry.is_file()
        ):
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

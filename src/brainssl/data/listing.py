"""The files of a source: what is looked at, looked through, refused or left alone."""

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from brainssl.data.levels import is_patient
from brainssl.data.mask_files import masks_among
from brainssl.data.sequence import is_sequence
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.nouns import agreed, counted

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
class Listing:
    """The files of a source that may be images.

    Attributes:
        home: the source, or the folder in it that holds everything.
        root: folder that the paths are relative to: `images/` in `home`, or `home` itself.
        paths: candidates for images, relative to `root` in POSIX form, sorted.
        unreadable: paths refused before reading, each with the reason.
        closed: those of them that are folders which cannot be opened.
        notes: decisions that a reader of the data should know, one sentence each.
    """

    home: Path
    root: Path
    paths: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_files(source: Path) -> Listing:
    """List the files of a source that may be images.

    Links that leave the source are refused, and names that no table can hold.

    Raises:
        BrainsslError: no such folder.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    home = _unwrap(source)
    root, masks = own(home, "images") or home, own(home, "masks")
    listing = Listing(home, root)
    if home != source:
        listing.notes.append(f"Looked through {home.relative_to(source)}/, which holds everything.")
    _walk(listing, source.resolve(), masks)
    if masks_inside := set(masks_among(listing.paths)):
        listing.paths = [path for path in listing.paths if path not in masks_inside]
        listing.notes.append(
            f"{counted(len(masks_inside), 'mask')} beside "
            f"{agreed(len(masks_inside), 'its image is no slice', 'their images are no slices')}, "
            f"e.g. {min(masks_inside)}."
        )
    known = {root.name, masks.name if masks else ""}
    others = visible(home) if root != home else []
    beside = [e.name for e in others if e.is_dir() and e.name not in known]
    if beside:
        listing.notes.append(f"Folders beside images/ were not scanned: {', '.join(beside)}.")
    return listing


def _walk(listing: Listing, boundary: Path, masks: Path | None) -> None:
    """List all files below the root but masks; refuse links that leave `boundary`."""
    skipped: Counter[str] = Counter()
    pending = [listing.root]
    while pending:
        for entry in _entries(pending.pop(), listing):
            path = Path(entry.path)
            relative = path.relative_to(listing.root).as_posix()
            refusal = _refusal(entry, relative, boundary)
            if refusal:
                printable = relative.encode("utf-8", "replace").decode()
                listing.unreadable.append((printable, refusal))
            elif entry.is_dir(follow_symlinks=False):
                if path != masks:
                    pending.append(path)
            elif _DOCUMENTS.fullmatch(path.suffix):
                skipped[path.suffix.lower()] += 1
            else:
                listing.paths.append(relative)
    listing.paths.sort()
    if skipped:
        kinds = ", ".join(f"{count} {suffix}" for suffix, count in sorted(skipped.items()))
        listing.notes.append(f"Files that are no images were not read: {kinds}.")


def _entries(folder: Path, listing: Listing) -> list[os.DirEntry[str]]:
    """Return a folder's visible entries; one that cannot be opened is listed, not fatal."""
    try:
        return visible(folder)
    except OSError as error:
        path = folder.relative_to(listing.root).as_posix()
        listing.unreadable.append((path, f"is a folder that cannot be opened ({error.strerror})"))
        listing.closed.append(path)
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


def images_of(source: Path) -> Path:
    """Return the folder of a source that is scanned for images: its `images/`, if it has one."""
    home = _unwrap(source)
    return own(home, "images") or home


def masks_beside(source: Path) -> Path | None:
    """Return the folder of lesion masks that lies beside `images/`; None where there is none.

    Raises:
        BrainsslError: no such folder as the source.
    """
    if not source.is_dir():
        raise BrainsslError(f"{source}: is not a folder; name the folder that holds the images")
    home = _unwrap(source)
    return own(home, "masks") if own(home, "images") else None


def own(home: Path, name: str) -> Path | None:
    """Return what lies in a folder under a name of ours, in whatever case it is written.

    Raises:
        BrainsslError: it is a link to a folder. What that points to may lie outside of the source,
            and without it images or masks would be missing in silence.
    """
    found = [e for e in visible(home) if e.name.casefold() == name]
    table = name.endswith(".csv")
    if linked := next((e for e in found if not table and e.is_symlink()), None):
        raise BrainsslError(f"{linked.path}: is a link; put the folder itself there")
    found = [e for e in found if (e.is_file if table else e.is_dir)(follow_symlinks=False)]
    return Path(min(found, key=lambda entry: entry.name != name).path) if found else None


def is_litter(name: str) -> bool:
    """Tell whether a file or folder is hidden, or left behind by a system: no scan looks at it."""
    return name.startswith(".") or name.casefold() in _IGNORED


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, litter aside, by name."""
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not is_litter(entry.name)]
    return sorted(kept, key=lambda entry: entry.name)


def _unwrap(source: Path) -> Path:
    """Look through the single folder that an archive often wraps around its content.

    Documents beside it do not count, but a table may be meant for it. A folder of sequences or
    patients is a class.
    """
    entries = [
        e for e in visible(source) if not _is_document(e) or e.name.casefold().endswith(".csv")
    ]
    if len(entries) != 1 or not entries[0].is_dir(follow_symlinks=False):
        return source
    inside = Path(entries[0].path)
    folders = [e.name for e in visible(inside) if e.is_dir(follow_symlinks=False)]
    if not folders or entries[0].name.casefold() == "images":
        return source
    numbers = all(map(str.isdecimal, folders)) and max(map(len, folders)) > 1
    if numbers or all(is_sequence(name) or is_patient(name) for name in folders):
        return source
    return _unwrap(inside)


def _is_document(entry: os.DirEntry[str]) -> bool:
    suffix = PurePosixPath(entry.name).suffix
    return bool(_DOCUMENTS.fullmatch(suffix)) and not entry.is_dir(follow_symlinks=False)

"""The files of an archive: listed, refused where a link leaves the source, or not there at all."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from brainssl.data.listing import visible
from brainssl.foundation.nouns import agreed, counted

VOLUME_SUFFIXES = (".nii", ".nii.gz", ".hdr", ".hdr.gz", ".img", ".img.gz")
_HEADS = {".img": ".hdr", ".img.gz": ".hdr"}


@dataclass
class Walk:
    """What lies in a folder and below.

    Attributes:
        root: the folder.
        files: relative to it, POSIX, sorted.
        unreadable: relative path and reason of what was refused.
        absent: links that lead nowhere, as git-annex leaves them.
    """

    root: Path
    files: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """What to say of files that are not there."""
        if not self.absent:
            return []
        are = agreed(len(self.absent), "is a link that leads", "are links that lead")
        return [
            f"{counted(len(self.absent), 'file')} {are} nowhere, as "
            f"git-annex leaves them, e.g. {self.absent[0]}: fetch with datalad get, or delete."
        ]

    def volumes(self) -> list[str]:
        """Return the files that are named as NIfTI is; of a pair the header."""
        held = set(self.files)
        kept = []
        for path in self.files:
            suffix = volume_suffix(path)
            if suffix is None:
                continue
            head = path[: -len(suffix)] + _HEADS.get(suffix, suffix)
            if suffix not in _HEADS or not held & {head, f"{head}.gz"}:
                kept.append(path)
        return kept


def walk(
    root: Path, *, boundary: Path | None = None, enter: Callable[[str], bool] = lambda _: True
) -> Walk:
    """List the files below a folder; litter and hidden ones aside.

    Links that leave `boundary` are refused; links to folders are not followed.

    Args:
        root: the folder.
        boundary: by default the folder itself.
        enter: told the relative path of each folder below, whether it is looked into.
    """
    found, boundary = Walk(root), (boundary or root).resolve()
    pending = [root]
    while pending:
        folder = pending.pop()
        for entry in _entries(folder, found):
            path = Path(entry.path)
            relative = path.relative_to(root).as_posix()
            if not _is_text(relative):
                printable = relative.encode("utf-8", "replace").decode()
                found.unreadable.append((printable, "its name is not valid UTF-8; rename it"))
            elif entry.is_symlink():
                _take_link(found, path, relative, boundary)
            elif entry.is_dir(follow_symlinks=False):
                if enter(relative):
                    pending.append(path)
            else:
                found.files.append(relative)
    found.files.sort()
    found.absent.sort()
    return found


def _entries(folder: Path, found: Walk) -> list[os.DirEntry[str]]:
    try:
        return visible(folder)
    except OSError as error:
        name = folder.relative_to(found.root).as_posix()
        reason = f"is a folder that cannot be opened ({error.strerror})"
        found.unreadable.append((name, reason))
        return []


def _is_text(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _take_link(found: Walk, link: Path, relative: str, boundary: Path) -> None:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        found.absent.append(relative)
        return
    if not target.is_relative_to(boundary):
        reason = "is a link that leaves the source; copy what it points to"
        found.unreadable.append((relative, reason))
    elif target.is_dir():
        reason = "is a link to a folder, which is not followed; its files are read where they lie"
        found.unreadable.append((relative, reason))
    else:
        found.files.append(relative)


def volume_suffix(path: str) -> str | None:
    """Return the end of a name by which it is a NIfTI file, as it is written; None of another."""
    lower = path.lower()
    ends = [suffix for suffix in VOLUME_SUFFIXES if lower.endswith(suffix)]
    if not ends:
        return None
    return path[-len(max(ends, key=len)) :].lower()


def bare(path: str) -> str:
    """Return a path without the suffix of a volume."""
    return path[: -len(volume_suffix(path) or "")] or path


def own_names(paths: Sequence[str]) -> Iterator[str]:
    """Yield paths without suffix; those that would be the same keep theirs."""
    held: dict[str, int] = {}
    for path in paths:
        held[bare(path)] = held.get(bare(path), 0) + 1
    for path in paths:
        yield bare(path) if held[bare(path)] == 1 else path


def inner(source: Path) -> Path:
    """Look through single folders that only wrap what is in them."""
    for _ in range(4):
        held = visible(source)
        if len(held) != 1 or not held[0].is_dir(follow_symlinks=False):
            break
        if PurePosixPath(held[0].name).name.casefold().startswith("sub-"):
            break
        source = Path(held[0].path)
    return source

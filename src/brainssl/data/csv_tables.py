"""CSV tables beside the images: labels by folder or by path, patients by path.

Names are compared in Unicode's composed form (NFC), because one file system stores `õ` as one
character and another as two.
"""

import csv
import io
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from brainssl.foundation.errors import BrainsslError

_KEYS = frozenset({"path", "folder"})  # names of files and folders, which may be called anything
_MISSING = frozenset({"na", "n/a", "nan", "null", "<na>", "#n/a"})


def composed(name: str) -> str:
    """Return a name in Unicode's composed form."""
    return unicodedata.normalize("NFC", name)


@dataclass(frozen=True)
class Table:
    """A CSV file in memory.

    Attributes:
        file: where it was read.
        columns: names of the header, lower-cased.
        rows: cells by column, stripped; what says that nothing is known is empty.
        missing: how many cells said so in words, such as `NA`.
    """

    file: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    missing: int = 0

    @classmethod
    def read(cls, file: Path) -> "Table":
        """Read a UTF-8 CSV, separated by commas, semicolons or tabs.

        Raises:
            BrainsslError: it cannot be read, or a row does not have as many cells as the header.
        """
        try:
            text = file.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise BrainsslError(f"{file}: cannot be read ({error.strerror})") from error
        except UnicodeDecodeError as error:
            raise BrainsslError(f"{file}: cannot be read as a UTF-8 CSV ({error})") from error
        text, separator = _separated(file, text)
        # As a stream: a quoted cell may hold line ends, and only real line ends end a row.
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        try:
            read = [(lines.line_num, [cell.strip() for cell in line]) for line in lines]
        except csv.Error as error:
            raise BrainsslError(f"{file}: line {lines.line_num} is no CSV ({error})") from None
        filled = [(number, line) for number, line in read if "".join(line)]
        cells = [line for _, line in filled]
        header = tuple(name.lower() for name in cells[0]) if cells else ()
        if doubled := [name for name, times in Counter(header).items() if name and times > 1]:
            raise BrainsslError(
                f"{file}: has the column {doubled[0]} twice; rename one or delete it"
            )
        if not cells[1:]:
            raise BrainsslError(f"{file}: has no row below its header")
        for number, line in filled[1:]:
            if len(line) == 1 and (other := _separator(line[0])) and len(header) > 1:
                raise BrainsslError(
                    f"{file}: line {number} is separated by {other!r} and the header by "
                    f"{separator!r}; write one of them throughout"
                )
            if len(line) != len(header):
                raise BrainsslError(
                    f"{file}: line {number} has {len(line)} cells and the header {len(header)}; "
                    "quote names that hold the separator"
                )
        rows = [dict(zip(header, line, strict=True)) for line in cells[1:]]
        values = [(row, name) for row in rows for name in header if name not in _KEYS]
        said = [(row, name) for row, name in values if row[name].casefold() in _MISSING]
        for row, name in said:
            row[name] = ""
        return cls(file, header, tuple(rows), len(said))

    def needs(self, *columns: str, instead: str = "") -> None:
        """Raise BrainsslError unless the table has these columns; `instead` names others."""
        if not set(columns) <= set(self.columns):
            have = ",".join(self.columns) or "none"
            wanted = ",".join(columns) + (f", or {instead}" if instead else "")
            raise BrainsslError(f"{self.file}: needs the columns {wanted}; it has {have}")

    def column(self, key: str, value: str) -> dict[str, str]:
        """Return `key` to `value`; the keys are file names, brought to one form.

        Raises:
            BrainsslError: a key has two different values.
        """
        found: dict[str, str] = {}
        for row in self.rows:
            if not row[key]:
                raise BrainsslError(f"{self.file}: a row has no {key}; fill it in or delete it")
            name = str(PurePosixPath(composed(row[key].replace("\\", "/"))))
            if found.setdefault(name, row[value]) != row[value]:
                raise BrainsslError(
                    f"{self.file}: {row[key]} has two values for {value}, {found[name]!r} and "
                    f"{row[value]!r}; keep one"
                )
        return found


def _separated(file: Path, text: str) -> tuple[str, str]:
    """Return the lines from the header on, and what separates their cells.

    Excel writes `sep=;` above the header to say so.
    """
    lines = text.lstrip().splitlines(keepends=True)
    first = lines[0].strip() if lines else ""
    if said := re.fullmatch(r"sep=([,;\t])?", first, re.IGNORECASE):
        return "\n" + "".join(lines[1:]), said[1] or "\t"
    if first.startswith("#"):
        raise BrainsslError(f"{file}: begins with a comment; delete what stands above the header")
    return text, _separator(first) or ","


def _separator(line: str) -> str:
    """Return the most frequent separator of a line; "" where there is none."""
    found = max(",;\t", key=line.count)
    return found if found in line else ""


def by_path(
    table: Table, value: str, paths: Sequence[str], root: Path, note: Callable[[str], None]
) -> dict[str, str]:
    """Return the value of each path that the table's column `path` names.

    Args:
        table: has the columns `path` and `value`.
        value: the column to return.
        paths: images, relative to `root`.
        root: the images' folder. The table may name them relative to it, or to the folder above
            it, or by file names alone where these are unique.
        note: is told of names in the table without an image.

    Raises:
        BrainsslError: the table names none of the images, or one of them with two values.
    """
    column = table.column("path", value)
    names = Counter(PurePosixPath(composed(path)).name for path in paths)
    values: dict[str, str] = {}
    used: set[str] = set()
    for path in paths:
        key = composed(path)
        name = PurePosixPath(key).name
        forms = [key, f"{root.name}/{key}", *([name] if names[name] == 1 else [])]
        form = next((form for form in forms if form in column), None)
        if form is not None:
            used.add(form)
            values[path] = column[form]
    if paths and not values:
        doubled = next((name for name in column if names[name] > 1), None)
        if doubled:
            raise BrainsslError(
                f"{table.file}: {doubled} lies in {names[doubled]} folders of {root}; give its "
                "path with its folder"
            )
        raise BrainsslError(
            f"{table.file}: names none of the images in {root}; "
            "its column path must be relative to that folder"
        )
    _note_absent(table, sorted(set(column) - used), "files", note)
    _note_missing(table, note)
    return values


def by_folder(
    table: Table, folders: Sequence[Sequence[str]], root: Path, note: Callable[[str], None]
) -> list[str]:
    """Return the label of each image from the table's columns `folder` and `label`.

    Args:
        table: has the columns `folder` and `label`.
        folders: for each image, the names by which its folder may be called, best first.
        root: the images' folder, for errors.
        note: is told of folders in the table without an image.

    Raises:
        BrainsslError: a folder is not in the table, or is there with two labels.
    """
    column = table.column("folder", "label")
    labels: list[str] = []
    used: set[str] = set()
    for names in folders:
        name = next((name for name in names if name in column), None)
        if name is None:
            raise BrainsslError(
                f"{table.file}: has no row for the folder {names[0]!r} of {root}; add one, with an "
                "empty label to keep its images for pretraining only"
            )
        used.add(name)
        labels.append(column[name])
    _note_absent(table, sorted(set(column) - used), "folders", note)
    _note_missing(table, note)
    return labels


def _note_absent(
    table: Table, absent: Sequence[str], what: str, note: Callable[[str], None]
) -> None:
    if absent:
        note(f"{table.file.name} names {len(absent)} {what} without an image, e.g. {absent[0]}.")


def _note_missing(table: Table, note: Callable[[str], None]) -> None:
    if table.missing:
        note(
            f"{table.missing} cells of {table.file.name} say NA, NaN or null: they count as empty."
        )

"""A table: what stands in each cell, apart from how a page shows it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True)
class Cell:
    """One cell: `text`, a smaller `detail` under it, and `shade` in [0, 1] behind it."""

    text: str
    detail: str = ""
    shade: float | None = None
    title: str = ""


@dataclass(frozen=True)
class Line:
    """One row of a table: `headers` name it, `cells` are its content.

    Attributes:
        kind: `mean` for a summary over seeds, `seed` for one model, else empty.
        start: Whether a new group of rows begins here.
    """

    headers: tuple[str, ...]
    cells: tuple[Cell, ...]
    kind: str = ""
    start: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its caption. `stub` heads the columns of row headers, `columns` the rest.

    Attributes:
        name: Anchor, unique on the page.
        layout: `plain`, `wide` (smaller print) or `matrix` (upright column heads).
        drawn: Whether its cells are a picture as well, by their shades, for who wants a file.
        numeric: Whether the cells are numbers, and set flush right.
    """

    name: str
    caption: str
    stub: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    layout: str = "plain"
    numeric: bool = True
    column_titles: Mapping[str, str] = field(default_factory=dict)
    drawn: bool = False
    kind: ClassVar[str] = "table"

"""What a report is made of: blocks that the template shows by their kind, and sections of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from brainssl.reporting.figures.figure import Figure, Key
from brainssl.reporting.figures.pictures import Picture
from brainssl.reporting.findings.caution import Caution
from brainssl.reporting.tables.table import Table


@dataclass(frozen=True)
class Prose:
    """Paragraphs; `lead` sets the first one larger, `mark` sets all apart: `serious` or `calm`."""

    paragraphs: tuple[str, ...]
    lead: bool = False
    mark: str = ""
    kind: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Facts:
    """Terms and what they are, as a definition list; `code` sets the values in monospace."""

    pairs: tuple[tuple[str, str], ...]
    code: frozenset[str] = frozenset()
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Cautions:
    """A list of cautions."""

    items: tuple[Caution, ...]
    kind: ClassVar[str] = "cautions"


@dataclass(frozen=True)
class Strips:
    """Sample pictures, a strip a class; `wide` ones stand below each other, `small` ones four."""

    caption: str
    pictures: tuple[Picture, ...]
    wide: bool = False
    small: bool = False
    kind: ClassVar[str] = "strips"


@dataclass(frozen=True)
class Fold:
    """Blocks that a reader opens if wanted."""

    title: str
    blocks: tuple["Block", ...]
    kind: ClassVar[str] = "fold"


@dataclass(frozen=True)
class Columns:
    """Blocks side by side where the page is wide enough."""

    blocks: tuple["Block", ...]
    kind: ClassVar[str] = "columns"


@dataclass(frozen=True)
class Multiples:
    """Small figures under one title, legend and caption.

    Attributes:
        name: Of the file that shows them all, unique in a report.
        across: How many stand side by side where the page is wide enough.
        labels: How wide the names of rows are that all figures share, in CSS pixels; they stand
            once where figures stand side by side. 0 if every figure has its own.
    """

    name: str
    title: str
    caption: str
    keys: tuple[Key, ...]
    figures: tuple[Figure, ...]
    across: int
    labels: int = 0
    kind: ClassVar[str] = "multiples"


@dataclass(frozen=True)
class Panel:
    """One of the alternatives of a `Choice`."""

    name: str
    title: str
    blocks: tuple["Block", ...]


@dataclass(frozen=True)
class Choice:
    """Alternatives of which one is shown, the first to begin with."""

    name: str
    label: str
    panels: tuple[Panel, ...]
    kind: ClassVar[str] = "choice"


def across(figures: int) -> int:
    """Return how many small figures stand side by side: two at least, lest they be stretched."""
    return 4 if figures % 4 == 0 else min(3, max(2, figures))


@dataclass(frozen=True)
class Slices:
    """What images are for which the points of a section's figures stand.

    A point names its image by the place in these lists, as `customdata`.

    Attributes:
        names: What is said of each image.
        sheet: Thumbnails of them all as one data URI, row by row; empty without pictures.
        columns: Thumbnails in a row of the sheet.
    """

    names: tuple[str, ...]
    sheet: str
    columns: int
    kind: ClassVar[str] = "slices"


Block = (
    Prose
    | Facts
    | Cautions
    | Strips
    | Fold
    | Columns
    | Multiples
    | Choice
    | Slices
    | Table
    | Figure
)


def flat(blocks: Sequence[Block]) -> Iterator[Block]:
    """Return blocks in their order, those within folds, columns and choices, too."""
    for block in blocks:
        if isinstance(block, Fold | Columns):
            yield from flat(block.blocks)
        elif isinstance(block, Choice):
            for panel in block.panels:
                yield from flat(panel.blocks)
        else:
            yield block


@dataclass(frozen=True)
class Section:
    """A numbered part of the report."""

    name: str
    title: str
    blocks: tuple[Block, ...] = field(default=())

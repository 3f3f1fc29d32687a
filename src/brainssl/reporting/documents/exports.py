"""Tables and figures of a report as files for papers: CSV, LaTeX, SVG, PNG, JPEG."""

import base64
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from brainssl.foundation.spreadsheet import csv_of
from brainssl.foundation.storage import write_atomically, write_text
from brainssl.reporting.blocks import Block, Multiples, Section, Strips, flat
from brainssl.reporting.documents.drawing import draw, draw_matrix
from brainssl.reporting.documents.latex import latex_of
from brainssl.reporting.figures.figure import Figure
from brainssl.reporting.figures.pictures import Picture
from brainssl.reporting.tables.table import Table

_SUFFIXES = {"jpeg": "jpg"}


def export(folder: Path, sections: Sequence[Section]) -> None:
    """Write every table, and every figure with its caption; of a choice every panel.

    Args:
        folder: of the study. `tables/NAME.csv` and `.tex` go there, `figures/NAME.svg` and `.png`,
            strips of slices as `figures/SECTION-NUMBER.jpg`, and `figures/captions.csv`. What was
            there under the same names is replaced.
        sections: of the report.
    """
    captions: dict[str, str] = {}
    for section in sections:
        strips: list[tuple[str, Picture]] = []
        for block in flat(section.blocks):
            if isinstance(block, Table):
                _write_table(folder, block)
            if isinstance(block, Strips):
                strips += [(block.caption, picture) for picture in block.pictures]
            captions |= _draw(folder / "figures", block)
        for number, (caption, picture) in enumerate(strips, start=1):
            name = f"{section.name}-{number:02d}"
            _write_picture(folder / "figures", name, picture)
            captions[name] = f"{picture.caption}. {caption}".strip()
    told = pd.DataFrame(list(captions.items()), columns=["figure", "caption"])
    _write(folder / "figures" / "captions.csv", csv_of(told))


def frame_of(table: Table) -> pd.DataFrame:
    """Return the cells as text, what stands small beside a number in a column of its own."""
    columns: dict[str, list[str]] = {
        head: [line.headers[i] for line in table.lines] for i, head in enumerate(table.stub)
    }
    for i, head in enumerate(table.columns):
        cells = [line.cells[i] for line in table.lines]
        columns[_free(head, columns)] = [cell.text for cell in cells]
        if any(cell.detail for cell in cells):
            columns[_free(f"{head}: range", columns)] = [cell.detail for cell in cells]
    return pd.DataFrame(columns)


def _draw(folder: Path, block: Block) -> dict[str, str]:
    """Draw a block that is a figure; return its name with its caption."""
    if isinstance(block, Table) and block.drawn:
        draw_matrix(folder, block)
        return {block.name: block.caption}
    if isinstance(block, Figure):
        draw(folder, block.name, [block])
        return {block.name: block.caption}
    if isinstance(block, Multiples):
        draw(folder, block.name, block.figures, block.keys)
        return {block.name: f"{block.title}. {block.caption}"}
    return {}


def _free(head: str, taken: dict[str, list[str]]) -> str:
    """Return a column's head that is not taken yet."""
    while head in taken:
        head += "'"
    return head


def _write_table(folder: Path, table: Table) -> None:
    frame = frame_of(table)
    _write(folder / "tables" / f"{table.name}.csv", csv_of(frame))
    _write(folder / "tables" / f"{table.name}.tex", latex_of(table, frame))


def _write_picture(folder: Path, name: str, picture: Picture) -> None:
    """Write the very bytes that the page holds."""
    head, _, encoded = picture.data.partition(";base64,")
    kind = head.removeprefix("data:image/")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.{_SUFFIXES.get(kind, kind)}"
    write_atomically(path, lambda beside: beside.write_bytes(base64.b64decode(encoded)))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text)

"""Tables and figures of a report as files for papers: CSV, LaTeX, SVG, PNG."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from brainssl.reporting.blocks import Block, Choice, Columns, Fold, Multiples, Section
from brainssl.reporting.drawing import draw
from brainssl.reporting.figures import Figure
from brainssl.reporting.tables import Table
from brainssl.storage import write_atomically


def export(folder: Path, sections: Sequence[Section]) -> None:
    """Write every table, and every figure with its caption; of a choice of models the first.

    Args:
        folder: of the study; `tables/NAME.csv` and `.tex`, `figures/NAME.svg` and `.png` and
            `figures/captions.csv` go there. What was there under the same names is replaced.
        sections: of the report.
    """
    captions = io.StringIO()
    writer = csv.writer(captions)
    writer.writerow(("figure", "caption"))
    for block in _flat([block for section in sections for block in section.blocks]):
        if isinstance(block, Table):
            frame = frame_of(block)
            _write(folder / "tables" / f"{block.name}.csv", frame.to_csv(index=False))
            _write(folder / "tables" / f"{block.name}.tex", latex_of(block, frame))
        elif isinstance(block, Figure):
            draw(folder / "figures", block.name, [block])
            writer.writerow((block.name, block.caption))
        elif isinstance(block, Multiples):
            name = block.figures[0].name.rpartition("-")[0]
            draw(folder / "figures", name, block.figures, block.keys)
            writer.writerow((name, f"{block.title}. {block.caption}"))
    _write(folder / "figures" / "captions.csv", captions.getvalue())


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


def latex_of(table: Table, frame: pd.DataFrame) -> str:
    """Return a `table` environment; it needs the package booktabs."""
    stub = len(table.stub)
    text: str = frame.map(_typeset).to_latex(
        index=False,
        escape=True,
        caption=_escaped(table.caption),
        label=f"tab:{table.name}",
        column_format="l" * stub + "r" * (frame.shape[1] - stub),
        position="htbp",
    )
    return text.replace("−", "$-$")


def _flat(blocks: Sequence[Block]) -> Iterator[Block]:
    for block in blocks:
        if isinstance(block, Fold | Columns):
            yield from _flat(block.blocks)
        elif isinstance(block, Choice):
            yield from _flat(block.panels[0].blocks)
        else:
            yield block


def _free(head: str, taken: dict[str, list[str]]) -> str:
    """Return a column's head that is not taken yet."""
    while head in taken:
        head += "'"
    return head


def _typeset(text: str) -> str:
    return text.replace("\u00a0", " ").replace("\u202f", " ")


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "%&_#$" else c for c in _typeset(text))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, lambda beside: beside.write_text(text, encoding="utf-8"))

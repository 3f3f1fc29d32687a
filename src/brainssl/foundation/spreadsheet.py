"""CSV that is safe to open in a spreadsheet."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_RUN = ("=", "+", "-", "@", "\t", "\n", "＝", "＋", "－", "＠")


def csv_of(frame: "pd.DataFrame") -> str:
    """Return a table as CSV in which no text is a formula; its index is left out."""
    text: str = frame.map(as_text).rename(columns=as_text).to_csv(index=False)
    return text


def as_text(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs: text with the beginning of a formula gets a '.

    Whoever names a class or a file could otherwise run a command where the table is opened.
    Numbers stay as they are, also negative ones and those that are written as text.
    """
    if not isinstance(cell, str):
        return cell
    if "\r" in cell:  # which pandas does not quote: it would begin a row
        cell = cell.replace("\r\n", "\n").replace("\r", "\n")
    if not cell.startswith(_RUN):
        return cell
    try:
        float(cell)
    except ValueError:
        return f"'{cell}"
    return f"'{cell}" if cell[0].isspace() else cell

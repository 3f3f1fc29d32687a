"""Text for LaTeX, and tables of it."""

import re

import pandas as pd

from brainssl.reporting.tables.table import Table

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
}


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it is; white space of any kind becomes a blank."""
    return "".join(_SPECIAL.get(character, character) for character in re.sub(r"\s", " ", text))


def latex_of(table: Table, frame: pd.DataFrame) -> str:
    """Return a `table` environment; it needs the package booktabs.

    Args:
        table: for its caption, its name and its number of row headers.
        frame: its cells as text.
    """
    stub = len(table.stub)
    text: str = (
        frame.map(escaped)
        .rename(columns=escaped)
        .to_latex(
            index=False,
            escape=False,
            caption=escaped(table.caption),
            label="tab:" + re.sub(r"[^\w.+-]", "-", table.name, flags=re.ASCII),
            column_format="l" * stub + "r" * (frame.shape[1] - stub),
            position="htbp",
        )
    )
    return text

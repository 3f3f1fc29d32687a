"""The section that quotes the published study: numbers for context, not for comparison."""

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from brainssl.reporting.blocks import Columns, Prose, Section
from brainssl.reporting.results import Study
from brainssl.reporting.tables import Cell, Line, Table


def published_section(study: Study) -> Section:
    """Show the numbers of the published study, marked as not comparable."""
    del study
    published = read_published()
    shown = tuple(published_table(published, i) for i in range(len(published["tables"])))
    warning = (
        f"These numbers are quoted from: {published['source']}. They were measured on other "
        f"images under another protocol. {published['note']} They stand here for context, and are "
        "not comparable with any number above."
    )
    return Section("published", "Published numbers", (Prose((warning,)), Columns(shown)))


def read_published() -> dict[str, Any]:
    """Return `published.toml`."""
    text = resources.files("brainssl.reporting").joinpath("published.toml").read_text("utf-8")
    return tomllib.loads(text)


def published_table(published: Mapping[str, Any], number: int) -> Table:
    """Return one table of `published.toml`; accuracy in per cent, the rest as fractions."""
    source = published["tables"][number]
    columns = [key for key in ("accuracy", "precision", "recall", "f1") if key in source["rows"][0]]
    heads = {"accuracy": "Accuracy, %", "precision": "Precision", "recall": "Recall", "f1": "F1"}
    lines = [
        Line(
            (row["method"],),
            tuple(Cell(f"{row[k]:.{2 if k == 'accuracy' else 4}f}") for k in columns),
        )
        for row in source["rows"]
    ]
    return Table(
        name=f"published-{number}",
        caption=(
            f"Published, not measured here. {source['name']} of that study: {source['title']}. "
            f"Measured on: {source['measured_on']}."
        ),
        stub=("Model",),
        columns=tuple(heads[key] for key in columns),
        lines=tuple(lines),
    )

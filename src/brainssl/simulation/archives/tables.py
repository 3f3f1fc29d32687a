"""Tables beside an archive."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path


def write_table(file: Path, rows: Sequence[Mapping[str, object]], separator: str = ",") -> None:
    """Writes rows that have the same keys, which become the header; at least one row."""
    with file.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)

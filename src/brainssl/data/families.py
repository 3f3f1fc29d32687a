"""Tumour family and sequence of each class: a table says them, or else the classes' names."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from brainssl.data.csv_tables import Table, composed
from brainssl.data.sequence import as_sequence, family_and_sequence
from brainssl.foundation.errors import BrainsslError

Families: TypeAlias = Mapping[str, Sequence[str]]
"""Family and sequence by class, as JSON holds them; "" where a class has no sequence."""

FILE = "families.csv"


def read_families(file: Path, classes: Collection[str]) -> dict[str, list[str]]:
    """Read family and sequence of each class from a CSV table `label,family,sequence`.

    Known sequences come in one spelling (`T1ce` is T1C+), others as they are written.

    Args:
        file: one row a class; an empty sequence says that the class has none.
        classes: their names.

    Returns:
        `[family, sequence]` by class.

    Raises:
        BrainsslError: the table lacks a column, a class or a family, names a label twice, or one
            that is no class.
    """
    table = Table.read(file)
    table.needs("label", "family", "sequence")
    names = {composed(name): name for name in classes}
    found: dict[str, list[str]] = {}
    for row in table.rows:
        label, sequence = composed(row["label"]), row["sequence"]
        if label not in names:
            near = difflib.get_close_matches(label, names, n=1)
            hint = f" (nearest: {near[0]!r})" if near else ""
            raise BrainsslError(
                f"{file}: label {label!r} is not among the classes{hint}; correct it or delete "
                "its row"
            )
        if names[label] in found:
            raise BrainsslError(f"{file}: has the label {label!r} twice; keep one row")
        if not row["family"]:
            raise BrainsslError(f"{file}: label {label!r} has no family; fill it in")
        found[names[label]] = [row["family"], as_sequence(sequence)]
    if absent := [name for name in classes if name not in found]:
        raise BrainsslError(f"{file}: has no row for the class {min(absent)!r}; add one")
    return found


def pairs_of(classes: Sequence[str], told: Families | None = None) -> list[tuple[str, str]]:
    """Return family and sequence of each class; "" where it has no sequence.

    Args:
        classes: their names.
        told: what a table said, as a store, a study or a classifier keeps it under `families`;
            without it, and for a class that it lacks, the name is asked: "Glioma T1ce" is of the
            family "Glioma", the sequence T1C+.
    """
    pairs = []
    for name in classes:
        family, sequence = (told or {}).get(name) or family_and_sequence(name)
        pairs.append((str(family), str(sequence)))
    return pairs


def factors(classes: Sequence[str], told: Families | None = None) -> dict[str, list[str]]:
    """Return `family` and `sequence` of each class.

    A factor that is the same for all classes is left out, families that are the classes, and
    sequences where a class has none.

    Args:
        classes: their names.
        told: what a table said of them, see `pairs_of`.
    """
    pairs = pairs_of(classes, told)
    named = {name: [pair[at] for pair in pairs] for at, name in enumerate(("family", "sequence"))}
    return {
        name: values
        for name, values in named.items()
        if all(values) and len(set(values)) > 1 and values != list(classes)
    }

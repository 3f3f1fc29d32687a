"""Labels of series: from a table of a hospital, from headers, or as the source itself has them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from brainssl.data.archives.archive import UNKNOWN, Archive, Series, Unit
from brainssl.data.archives.reading import LabelBy
from brainssl.data.csv_tables import Table, composed
from brainssl.foundation.errors import BadUseError, BrainsslError

UNITS: tuple[Unit, ...] = get_args(Unit)

# Columns that are ours, or that can only name people.
_OWN = frozenset({"path", "label", "patient", "study", "series", "group", "image_id", "pixels"})
_NAMES = frozenset(
    {"name", "first_name", "last_name", "surname", "patient_name", "patientname", "patient_id"}
    | {"birthdate", "birth_date", "date_of_birth", "dob", "address", "phone", "email", "mrn"}
)


@dataclass
class SeriesLabels:
    """What is said of each series that is read, by its name.

    Attributes:
        labels: the label; None where there is none.
        further: of each further column of the table, its values.
        notes: what a reader of the data should know, without an identifier.
        table: whether a table said it.
    """

    labels: dict[str, str | None]
    further: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    table: bool = False


def labels_of(
    archive: Archive,
    read: Sequence[Series],
    *,
    labels: Path | None = None,
    label_by: LabelBy | None = None,
) -> SeriesLabels:
    """Return the labels of an archive's series.

    Args:
        archive: that holds them.
        read: series that are not excluded.
        labels: CSV `patient,label`, `study,label` or `series,label`, of pseudonyms or of the
            identifiers that the hospital has.
        label_by: sequence or plane, which is the label then; what is unknown has none.

    Raises:
        BadUseError: both are given.
        BrainsslError: the table does not fit, or one of its identifiers means several patients.
    """
    if labels is not None and label_by is not None:
        raise BadUseError("--labels and --label-by both say what the classes are: omit one")
    if label_by is not None:
        told = {one.name: getattr(one, label_by).value for one in read}
        found = {name: None if value == UNKNOWN else value for name, value in told.items()}
        silent = sum(value is None for value in found.values())
        unknown = f"; of {silent} it is unknown: unlabelled" if silent else ""
        return SeriesLabels(
            found, notes=[f"The label of {len(found)} series is their {label_by}{unknown}."]
        )
    if labels is not None:
        return _joined(archive, read, Table.read(labels))
    return SeriesLabels({one.name: one.label for one in read})


def _joined(archive: Archive, read: Sequence[Series], table: Table) -> SeriesLabels:
    unit = next((unit for unit in UNITS[::-1] if unit in table.columns), None)
    if unit is None or "label" not in table.columns:
        table.needs("patient", "label", instead="study,label or series,label")
        raise BrainsslError(f"{table.file}: needs the columns patient,label")
    rows, unknown = _rows(archive, read, table, unit)
    found = {one.name: rows.get(getattr(one, unit) or "") for one in read}
    if not any(found.values()):
        raise BrainsslError(
            f"{table.file}: none of its {len(table.rows)} identifiers is one of a {unit} in "
            f"{archive.root}; the column {unit} must hold the archive's identifiers or pseudonyms"
        )
    kept = [name for name in table.columns if name and name not in {unit, *_OWN, *_NAMES}]
    left = [name for name in table.columns if name in _NAMES]
    notes = [f"Labels were taken from {table.file.name}, by {unit}."]
    silent = sum(row is None for row in found.values())
    if silent:
        notes.append(f"{silent} series have no row in {table.file.name}: unlabelled.")
    if unknown:
        notes.append(f"{unknown} rows of {table.file.name} are of nothing in the source.")
    if left:
        notes.append(f"Columns that may name people were not kept: {', '.join(left)}.")
    return SeriesLabels(
        {name: (composed(row["label"]) or None) if row else None for name, row in found.items()},
        {
            column: {name: row[column] for name, row in found.items() if row and row[column]}
            for column in kept
        },
        notes,
        table=True,
    )


def _rows(
    archive: Archive, read: Sequence[Series], table: Table, unit: Unit
) -> tuple[dict[str, Mapping[str, str]], int]:
    """Return the row of each pseudonym, and how many rows are of nothing that is read."""
    pseudonyms = {name for one in read if (name := getattr(one, unit)) is not None}
    rows: dict[str, Mapping[str, str]] = {}
    unknown = 0
    for number, row in enumerate(table.rows, start=1):
        # Never the identifier itself in an error: it may be a patient's number or name.
        where = f"{table.file}: row {number} below the header"
        if not row[unit]:
            raise BrainsslError(f"{where} has no {unit}; fill it in or delete it")
        means = _meant(archive, unit, row[unit], pseudonyms)
        if len(means) > 1:
            raise BrainsslError(
                f"{where}: its {unit} means {len(means)} different ones in {archive.root}, of "
                "several hospitals perhaps; give their pseudonyms instead"
            )
        for name in means:
            if rows.setdefault(name, row)["label"] != row["label"]:
                raise BrainsslError(f"{where} gives a {unit} a second label; keep one of them")
        unknown += not means
    return rows, unknown


def _meant(archive: Archive, unit: Unit, told: str, pseudonyms: set[str]) -> set[str]:
    """Return the pseudonyms that a cell means: itself, or those of an original identifier."""
    meant = set(archive.originals.get((unit, told), ())) & pseudonyms
    if told in pseudonyms:
        meant.add(told)
    return meant

"""What `participants.tsv` and `sessions.tsv` of BIDS say."""

import re
from dataclasses import dataclass, field
from pathlib import Path

from brainssl.data.archives.sidecars import age_of, sex_of
from brainssl.data.csv_tables import Table, composed
from brainssl.foundation.errors import BrainsslError

# What a manifest calls by these names is something else.
_TAKEN = re.compile(
    r"image_id|path|label|sequence|patient|plane|group|width|height|source_bits|flags|given|pixels"
    r"|study|series|row_mm|column_mm|lesion"
)
_PEOPLE = re.compile(
    r"(?:\w+_)?(?:(?:sur|fore|first|last|full|patient)_?)?names?|initials|patient_?id|mrn|ssn"
    r"|birth\w*|date_of_birth|dob|address|street|(?:tele)?phone|e?_?mail|nhs\w*"
)
_CANDIDATES = re.compile(
    r"diagnos[ie]s|dx|group|disease|pathology|tumou?r(?:_type)?|histology|(?:who_)?grade|class"
    r"|condition|category"
)


@dataclass
class Participants:
    """What tables say.

    Attributes:
        columns: of each participant, further facts.
        labels: of each participant, where there is a column `label`.
        ages: of each session, `sub-01_ses-1`, in years.
        notes: decisions that a reader of the data should know.
    """

    columns: dict[str, dict[str, str]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    ages: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_participants(root: Path, files: list[str]) -> Participants:
    """Read `participants.tsv` and the sessions' tables where they are among the files."""
    found = Participants()
    if "participants.tsv" in files:
        table = _table(root / "participants.tsv", "participant_id", found)
        if table is not None:
            _take(table, found)
    for path in files:
        if path.endswith("_sessions.tsv"):
            table = _table(root / path, "session_id", found)
            subject = Path(path).name.removesuffix("_sessions.tsv")
            for row in table.rows if table else ():
                session = row["session_id"].removeprefix("ses-")
                if age := age_of(row.get("age", "")):
                    found.ages[f"{subject}_ses-{session}"] = age
    return found


def _table(file: Path, key: str, found: Participants) -> Table | None:
    try:
        table = Table.read(file)
        table.needs(key)
    except BrainsslError as error:
        found.notes.append(f"{file.name} was not read: {str(error).removeprefix(f'{file}: ')}.")
        return None
    return table


def _take(table: Table, found: Participants) -> None:
    names = [name for name in table.columns if name not in ("participant_id", "label", "")]
    kept = {n: f"bids_{n}" if _TAKEN.fullmatch(n) else n for n in names if not _PEOPLE.fullmatch(n)}
    for row in table.rows:
        patient = f"sub-{composed(row['participant_id']).removeprefix('sub-')}"
        facts = {own: value for name, own in kept.items() if (value := row[name])}
        facts |= {"sex": sex} if (sex := sex_of(facts.get("sex"))) else {}
        facts |= {"age": age} if (age := age_of(facts.get("age"))) else {}
        found.columns[patient] = facts
        if label := composed(row.get("label", "")):
            found.labels[patient] = label
    if left := [name for name in names if _PEOPLE.fullmatch(name)]:
        found.notes.append(
            f"Columns of participants.tsv that may name people: {len(left)} left out."
        )
    if renamed := [f"{name} is {own} here" for name, own in kept.items() if name != own]:
        found.notes.append(f"Of participants.tsv, {', '.join(renamed)}.")
    if "label" in table.columns:
        found.notes.append("Labels were taken from the column label of participants.tsv.")
    elif candidates := [name for name in names if _CANDIDATES.fullmatch(name)]:
        found.notes.append(
            f"The column {candidates[0]} of participants.tsv may hold the classes: give a CSV "
            "patient,label made of it as --labels."
        )

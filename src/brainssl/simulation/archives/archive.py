"""A simulated study population as an archive of whole series."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from brainssl.simulation import assembly
from brainssl.simulation.archives import bids, brats, dicom
from brainssl.simulation.archives.study import Study, draw_study, lesion_centre
from brainssl.simulation.cohort import VERSION, Patient, draw_plan, write_record

FORMATS = ("dicom", "bids", "brats")
"""What an archive can be."""

SLICES = 24
"""Slices of a series where nothing else is asked for."""

_FEWEST, _MOST = 8, 512

Row = dict[str, object]


class Writer(Protocol):
    """What the module of each format holds."""

    def write_patient(self, out: Path, study: Study) -> Row:
        """Writes one patient, and returns what the tables of the archive say of them."""

    def write_dataset(self, out: Path, rows: list[Row], version: int) -> Path:
        """Writes what belongs to all patients; returns where the record of making belongs."""


_WRITERS: dict[str, Writer] = {"dicom": dicom, "bids": bids, "brats": brats}


def simulate_archive(
    out: Path,
    *,
    format: str,  # noqa: A002 - as the command calls it
    patients: int = 130,
    size: int = 224,
    slices: int = SLICES,
    seed: int = 0,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulates a study population and writes whole series, each covering the brain.

    A patient has the head, lesion and scanner of the patient of that number in the images that
    `simulate` makes of the same seed. The folder is built aside and renamed: it is complete or
    absent.

    Args:
        out: Folder to make; may exist if it is empty.
        format: One of `FORMATS`. DICOM and BIDS hold the same samples.
        patients: How many.
        size: Rows and columns of a slice, 64 to 1024.
        slices: Slices of a series, 8 to 512; their distance is what covers the brain.
        seed: The same seed gives the same bytes, however many workers.
        workers: Processes; by default one a core. With 1 no process is started.
        progress: Called with patients done and patients in all.

    Returns:
        `out`.

    Raises:
        ValueError: An argument is out of range, or `out` exists and is not an empty folder.
        ImportError: nibabel or pydicom is not installed.
    """
    if format not in FORMATS:
        raise ValueError(f"format is {format!r}; take one of {', '.join(FORMATS)}")
    if not _FEWEST <= slices <= _MOST:
        raise ValueError(f"slices is {slices}; give {_FEWEST} to {_MOST}")
    assembly.check(patients, size, seed, workers)
    asked = {"seed": seed, "patients": patients, "size": size, "slices": slices}
    plan, seeds = draw_plan(patients, seed)
    jobs: list[tuple[object, ...]] = []
    rows: list[tuple[int, Row, Row]] = []

    def done(row: tuple[int, Row, Row]) -> None:
        rows.append(row)
        if progress is not None:
            progress(len(rows), patients)

    with assembly.built_aside(Path(out)) as built:
        jobs += [
            (format, built, patient, number, child, asked)
            for number, (patient, child) in enumerate(zip(plan, seeds, strict=True), start=1)
        ]
        assembly.each(_write_patient, jobs, workers, done)
        rows.sort(key=lambda row: row[0])
        file = _WRITERS[format].write_dataset(built, [row for _, row, _ in rows], VERSION)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_record(file, {"format": format, **asked, "truth": [truth for *_, truth in rows]})
    return Path(out)


def _write_patient(
    kind: str,
    out: Path,
    patient: Patient,
    number: int,
    seed: np.random.SeedSequence,
    asked: dict[str, int],
) -> tuple[int, Row, Row]:
    """Writes one patient; returns the number, the rows of tables, and the truth for the record."""
    population = " ".join(
        f"{name}={value}" for name, value in {"version": VERSION, **asked}.items()
    )
    study = draw_study(
        patient,
        number,
        seed,
        slices=asked["slices"],
        size=asked["size"],
        population=population,
    )
    row = _WRITERS[kind].write_patient(out, study)
    centre = lesion_centre(study)
    truth: Row = {
        "patient": patient.name,
        "family": patient.family,
        "kind": study.lesion.kind if study.lesion else None,
        "lesion_centre_mm_ras": None if centre is None else [round(float(c), 2) for c in centre],
    }
    return number, row, truth

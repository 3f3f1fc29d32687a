"""A folder as a scanner leaves it: series of one head as DICOM, which name their patient."""

from pathlib import Path
from typing import Any

import numpy as np
from oracles.dicom_files import AXIAL, made, positions, write
from oracles.heads import head

NAME, NUMBER = "Mueller^Hilde", "H-4711"
"""What must be told nowhere."""


def scan(folder: Path, *, seed: int = 0, series: str = "1.2.3.4", **elements: Any) -> list[Path]:
    """Write an axial series of a head, files named against their order; those in order."""
    values = np.clip(head(seed), 0, None).astype(np.uint16)
    paths = []
    for at, position in enumerate(positions(AXIAL, len(values))):
        facts = {
            "PatientName": NAME,
            "PatientID": NUMBER,
            "SeriesInstanceUID": series,
            "InstanceNumber": at + 1,
            "ImagePositionPatient": position,
            "SeriesDescription": "t1_se_tra",
        }
        path = folder / f"{(at * 7) % len(values):03}.dcm"
        paths.append(write(made(values[at], **(facts | elements)), path))
    return paths

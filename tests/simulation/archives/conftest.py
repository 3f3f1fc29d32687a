"""One small population in each format."""

from pathlib import Path

import pytest

from brainssl.simulation import FORMATS, simulate_archive

SMALL = {
    "patients": 6,
    "size": 64,
    "slices": 10,
    "seed": 6,
}  # patient 5 is enhanced and has T1C+; scanners B and C are used


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("archives")
    return {
        name: simulate_archive(folder / name, format=name, workers=1, **SMALL) for name in FORMATS
    }

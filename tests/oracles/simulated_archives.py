"""One small simulated population in each format of an archive, made when it is first asked for."""

from pathlib import Path

from brainssl.simulation import simulate_archive

SMALL = {
    "patients": 6,
    "size": 64,
    "slices": 10,
    "seed": 6,
}  # patient 5 is enhanced and has T1C+; scanners B and C are used


class Archives(dict[str, Path]):
    """Folders by format."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> Path:
        """Simulate the population in this format."""
        self[name] = simulate_archive(self.folder / name, format=name, workers=1, **SMALL)
        return self[name]

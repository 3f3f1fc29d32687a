"""The seam: what a scheduler is given, and what it does with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from brainssl.foundation.progress import Terminal
from brainssl.studies.scheduling.graph import Agenda, Outcome

MOST_DEATHS = 2
"""So many processes may die of a step before it is given up."""


@dataclass(frozen=True)
class Demand:
    """What a step takes of a machine.

    Attributes:
        cpus: threads that it computes with.
        gpus: how many, or a share of one.
        memory: bytes.
    """

    cpus: int
    gpus: float
    memory: int


class Elsewhere(Protocol):
    """What makes the same work in another process."""

    def __call__(self, terminal: Terminal, folder: Path | None = None) -> "Work":
        """Make it.

        Args:
            terminal: of that process.
            folder: of the study there; by default it is the same.
        """


class Work(Protocol):
    """A way to do the steps, one at a time."""

    terminal: Terminal

    def do(self, name: str) -> Outcome:
        """Do a step; where it fails the failure is noted and told."""

    def give_up(self, name: str, cause: str) -> None:
        """Note and tell that a step failed without a word of its own, because its process died."""

    def kind(self, name: str) -> str | None:
        """Name what a process keeps after this step that makes others of the same kind shorter."""

    def demand(self, name: str, *, gpus: bool) -> Demand:
        """Say what a step takes of a machine, where there are GPUs or none."""

    def elsewhere(self) -> "Elsewhere":
        """Return what makes the same of it in another process; for pickle."""

    def ground(self) -> dict[str, Path]:
        """Return files and folders that all steps need, by their paths in the study's folder."""

    @property
    def digest(self) -> str:
        """What tells this study from others."""


class Scheduler(Protocol):
    """Works off an agenda."""

    def check(self) -> None:
        """Look whether it can work here, before anything is made.

        Raises:
            BrainsslError: it cannot.
        """

    def run(self, agenda: Agenda, work: Work) -> None:
        """Settle every step of the agenda.

        Raises:
            BrainsslError: there is nobody to do the steps.
        """

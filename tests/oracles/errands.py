"""Work without a study: steps that note who did them, and do what their names say."""

import errno
import os
import signal
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from brainssl.foundation.progress import Terminal
from brainssl.studies.scheduling.graph import Outcome
from brainssl.studies.scheduling.scheduler import Demand, Elsewhere


@dataclass
class Errands:
    """Notes each step in a file `done`, as `name pid`, one a line.

    `deadly` kills its process, `endless` never ends, `broken` fails, of `unwritten` nothing can be
    noted; `probe-KIND-…` has a kind.
    """

    folder: Path
    terminal: Terminal = field(default_factory=lambda: Terminal(quiet=True))
    given_up: dict[str, str] = field(default_factory=dict)

    def do(self, name: str) -> Outcome:
        with self.terminal.task(name), (self.folder / "done").open("a") as file:
            file.write(f"{name} {os.getpid()}\n")
        if name.startswith("deadly"):
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("endless"):
            time.sleep(600)
        if name.startswith("unwritten"):
            raise OSError(errno.EROFS, "Read-only file system", "study/failed")
        return Outcome.FAILED if name.startswith("broken") else Outcome.DONE

    def give_up(self, name: str, cause: str) -> None:
        self.given_up[name] = cause

    def kind(self, name: str) -> str | None:
        return name.split("-")[1] if name.startswith("probe") else None

    def demand(self, _name: str, *, gpus: bool) -> Demand:
        return Demand(1, 0.25 if gpus else 0.0, 10**8)

    def elsewhere(self) -> Elsewhere:
        return partial(_errands, self.folder)

    def ground(self) -> dict[str, Path]:
        return {}

    @property
    def digest(self) -> str:
        return "errands"

    @property
    def done(self) -> list[tuple[str, int]]:
        """The steps that were begun, in their order, and the processes that did."""
        file = self.folder / "done"
        lines = file.read_text().splitlines() if file.exists() else []
        return [(name, int(number)) for name, number in map(str.split, lines)]


def _errands(study: Path, terminal: Terminal, folder: Path | None = None) -> Errands:
    return Errands(folder or study, terminal)

"""What became of each step of a study: one file a step, as several processes write at once.

Beside the steps, it holds how long the work around them took.
"""

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import read_json, write_json, write_text

AROUND = ("reading", "audit", "images", "maps of features", "explanations", "analysis", "report")
"""The work around the steps of a study, in its order."""


@dataclass(frozen=True)
class Journal:
    """The notes of a study.

    Attributes:
        out: folder of the study; notes are in `log/` and `failed/`.
        study: digest of its identity.
        began: when this run began, as `st_mtime` of a file in `out`: the clock of a shared folder
            may be another one than ours. What failed earlier is tried again.
    """

    out: Path
    study: str
    began: float

    def finish(self, step: str, seconds: float, where: dict[str, Any]) -> None:
        """Note a finished step, how long it took and where it ran."""
        told = {
            "study": self.study,
            "seconds": round(seconds, 1),
            "finished": datetime.now(UTC).isoformat(timespec="microseconds"),
            "where": where,
        }
        write_json(self._note(step), told)
        self._trace(step).unlink(missing_ok=True)

    def finished(self, step: str) -> bool:
        """Tell whether the making of a step's folder is noted: after it, and of this study."""
        try:
            note = read_json(self._note(step), "a note on a finished step")
            made, noted = (self.out / "steps" / step).stat(), self._note(step).stat()
        except (BrainsslError, OSError):
            return False
        own = isinstance(note, dict) and note.get("study") == self.study
        return own and noted.st_mtime_ns >= made.st_mtime_ns

    def fail(self, step: str, error: Exception) -> dict[str, str]:
        """Note an error, and return what `failure` then returns."""
        message = " ".join(str(error).split()) or type(error).__name__
        told = "".join(traceback.format_exception(error))
        text, file = f"{message}\n\n{told}", self._trace(step)
        write_text(file, text)
        return self._told(step, message)

    def failure(self, step: str) -> dict[str, str] | None:
        """Return step, error and trace of one that failed in this run, in whichever process."""
        file = self._trace(step)
        try:
            if file.stat().st_mtime < self.began:
                return None
            error = file.read_text(encoding="utf-8").partition("\n")[0]
        except FileNotFoundError:
            return None
        return self._told(step, error)

    def _told(self, step: str, error: str) -> dict[str, str]:
        return {"step": step, "error": error, "trace": f"failed/{step}.txt"}

    def _note(self, step: str) -> Path:
        return self.out / "log" / f"{step}.json"

    def _trace(self, step: str) -> Path:
        return self.out / "failed" / f"{step}.txt"


def read_log(out: Path) -> dict[str, dict[str, Any]]:
    """Return the notes on finished steps by their names, over all runs, the latest last.

    A note that cannot be read is left out: it tells of a step, and is none.
    """
    notes = {}
    for file in (out / "log").glob("[!.]*.json"):
        try:
            note = read_json(file, "a note on a finished step")
        except BrainsslError:
            continue
        if isinstance(note, dict) and note.keys() >= {"study", "seconds", "finished", "where"}:
            notes[file.stem] = note
    return dict(sorted(notes.items(), key=lambda item: str(item[1]["finished"])))


@contextmanager
def noting(out: Path, work: str) -> Iterator[None]:
    """Note how long the block takes, as the time of some work of `AROUND`.

    The longest time stands: work that is done already takes none.
    """
    started = time.perf_counter()
    yield
    seconds = round(time.perf_counter() - started, 2)
    if seconds > read_around(out).get(work, 0.0):
        write_json(_around(out, work), {"seconds": seconds})


def read_around(out: Path) -> dict[str, float]:
    """Return how many seconds the work around the steps took, as far as it was noted."""
    found = {}
    for work in AROUND:
        try:
            found[work] = float(read_json(_around(out, work), "a note on time")["seconds"])
        except (BrainsslError, KeyError, TypeError, ValueError):
            continue
    return found


def _around(out: Path, work: str) -> Path:
    return out / "log" / "around" / f"{work.replace(' ', '-')}.json"

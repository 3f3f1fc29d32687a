"""A study's folder on a machine that shares none: what a step needs is fetched, what it makes sent.

In the depot, beside what all steps need (`ground`), lie finished steps (`steps/NAME`, each with its
note) and the newest checkpoint of those that are not finished (`begun/NAME`).
"""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import locked
from brainssl.foundation.storage import remove, working_folder
from brainssl.studies.scheduling.depot import Depot
from brainssl.training.trainer import CHECKPOINT

Traces = dict[str, tuple[str, float]]
"""What is told of steps that failed, by their names: the text, and when it was written."""

_GROUND = "ground"
_SEND_SECONDS = 20.0
"""How often it is looked whether there is a new checkpoint to send."""


def name_of(content: Mapping[str, Path]) -> str:
    """Return a name for files and folders that others would not have: a digest of all of it."""
    digest = hashlib.sha256()
    for name, path in sorted(content.items()):
        every = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in (one for one in every if one.is_file()):
            digest.update(f"{name} {file.relative_to(path.parent)}".encode())
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]


def send_ground(depot: Depot, content: Mapping[str, Path]) -> None:
    """Send what all steps need, unless it is there.

    Args:
        depot: of the study, and of this content.
        content: files and folders by their paths in the study's folder.
    """
    if not depot.has(_GROUND):
        depot.put(_GROUND, content)


def fetch_ground(depot: Depot, names: Iterable[str], folder: Path) -> None:
    """Fetch what all steps need, once for all processes of a machine.

    Raises:
        BrainsslError: it is not there, or cannot be had.
    """
    mark = folder / f".{_GROUND}"
    with _alone(folder):
        if mark.is_file():
            return
        if not depot.fetch(_GROUND, folder, list(names)):
            raise BrainsslError(f"the storage {depot.url} holds nothing of this study")
        mark.touch()


def send_step(depot: Depot, name: str, folder: Path) -> None:
    """Send a finished step with its note, if it has one; its checkpoint is needed no more."""
    step, note = _of_step(name)
    kept = [step, note] if (folder / note).is_file() else [step]
    depot.put(f"steps/{name}", {one: folder / one for one in kept})
    depot.drop(f"begun/{name}")


def fetch_step(depot: Depot, name: str, folder: Path) -> bool:
    """Fetch a finished step with its note; tell whether there is one."""
    return depot.fetch(f"steps/{name}", folder, _of_step(name))


def traces_in(folder: Path) -> Traces:
    """Return what is told of steps that failed."""
    return {
        file.stem: (file.read_text("utf-8"), file.stat().st_mtime)
        for file in (folder / "failed").glob("[!.]*.txt")
    }


def keep_trace(folder: Path, name: str, text: str, written: float | None = None) -> None:
    """Write what is told of a step that failed, as of when it was written; by default of now."""
    file = folder / "failed" / f"{name}.txt"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, "utf-8")
    if written is not None:
        os.utime(file, (written, written))


@contextmanager
def begun_from(depot: Depot, name: str, needed: Iterable[str], folder: Path) -> Iterator[None]:
    """Fetch what a step needs and where it was left, and send its checkpoints while it is made.

    Args:
        depot: of the study.
        name: of the step.
        needed: names of finished steps that it reads.
        folder: of the study on this machine.

    Raises:
        BrainsslError: one of them is not there, or the storage does not do its part.
    """
    steps = folder / "steps"
    working = working_folder(steps / name)
    with _alone(folder):  # else one would take from another what that reads
        for one in needed:
            if not (steps / one).is_dir() and not fetch_step(depot, one, folder):
                raise BrainsslError(f"the storage {depot.url} lacks the step {one}")
        # What was left here may be older than what another machine made of it since.
        if depot.has(f"begun/{name}"):
            remove(working)
            depot.fetch(f"begun/{name}", folder, [_relative(working, folder)])
    over, sent = threading.Event(), _changed(working)
    sender = threading.Thread(
        target=_send_checkpoints, args=(depot.url, name, working, folder, sent, over), daemon=True
    )
    sender.start()
    try:
        yield
    finally:
        over.set()
        sender.join()


def _send_checkpoints(
    url: str, name: str, working: Path, folder: Path, sent: int | None, over: threading.Event
) -> None:
    """Send the working folder of a step whenever its checkpoint is another one than was sent."""
    while not over.wait(_SEND_SECONDS):
        now = _changed(working)
        # The step may write just now, or the storage be away for a moment: the next time will do.
        with suppress(OSError, BrainsslError):
            if now not in (None, sent):
                # It first: what lies beside it is then of the same epoch or later, as after a kill.
                every = sorted(working.glob("[!.]*"), key=lambda file: file.name != CHECKPOINT)
                Depot(url).put(f"begun/{name}", {_relative(file, folder): file for file in every})
                sent = now


def _changed(working: Path) -> int | None:
    """Return when the checkpoint in a working folder was written; None where there is none."""
    with suppress(OSError):
        return (working / CHECKPOINT).stat().st_mtime_ns
    return None


def _alone(folder: Path) -> AbstractContextManager[None]:
    """Let the other processes of this machine wait that fetch what several need."""
    return locked(folder / ".fetching.lock", waiting=lambda: None)


def _of_step(name: str) -> list[str]:
    return [f"steps/{name}", f"log/{name}.json"]


def _relative(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()

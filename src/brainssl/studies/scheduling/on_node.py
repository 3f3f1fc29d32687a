"""What runs on a machine of a cluster: tasks and an actor of Ray, which need nothing of it here."""

import os
import socket
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl import __version__
from brainssl.foundation.board import Message, Relay
from brainssl.foundation.errors import BrainsslError, line_of
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import remove
from brainssl.studies.scheduling.away import (
    Traces,
    begun_from,
    fetch_ground,
    fetch_step,
    keep_trace,
    send_step,
    traces_in,
)
from brainssl.studies.scheduling.depot import Depot, StorageError
from brainssl.studies.scheduling.graph import Outcome
from brainssl.studies.scheduling.scheduler import Elsewhere, Work

_EARS_SECONDS = 10.0


@dataclass(frozen=True)
class Place:
    """Where a study is, as all machines must see it.

    Attributes:
        folder: of the study, on storage that all share; None where it is `stored`.
        mark: name and content of a file in it.
        directory: that the command was started in: paths may be relative to it.
        version: of brainssl.
        stored: where it is kept for machines that share no folder.
    """

    folder: Path | None
    mark: str
    directory: str
    version: str
    stored: "Stored | None" = None


@dataclass(frozen=True)
class Stored:
    """A study in a depot.

    Attributes:
        url: of the depot, and of this study alone.
        names: paths of what all steps need.
        run: what tells this command from others.
    """

    url: str
    names: tuple[str, ...]
    run: str

    @property
    def folder(self) -> Path:
        """A folder of this user and this command on whichever machine this is."""
        return Path(tempfile.gettempdir(), f"brainssl-{os.getuid()}-{self.run}")


@dataclass(frozen=True)
class Ended:
    """How a task ended.

    Attributes:
        outcome: of the step; None where the storage did not do its part.
        trace: what is told of a step that failed, where its machine keeps no folder.
        fault: of the storage.
    """

    outcome: Outcome | None
    trace: str | None = None
    fault: str = ""


class Ears:
    """Collects what steps say, wherever they are, for the process that shows it."""

    def __init__(self) -> None:
        self._heard: list[Message] = []

    def hear(self, message: Message) -> None:
        """Keep a message of a `Relay`."""
        self._heard.append(message)

    def none_missing(self) -> None:
        """Return when everything was heard that the same process said before."""

    def take(self) -> list[Message]:
        """Return what was heard since the last time."""
        heard, self._heard = self._heard, []
        return heard


def look(place: Place) -> str | None:
    """Return what is amiss with this machine; None if it can do steps of the study."""
    if place.version != __version__:
        return f"it has brainssl {__version__}, and {place.version} is wanted"
    if place.stored is not None:
        return _fault_of(place.stored, place.mark)
    assert place.folder is not None
    # A store that the study only links to must be seen, too.
    seen = _content(place.folder / place.mark) == place.mark
    if not seen or not (place.folder / "store" / "store.json").is_file():
        what = place.folder / ("store" if seen else "")
        return f"it does not see {what}: a study on a cluster lies on storage that all share"
    return None


def _fault_of(stored: Stored, mark: str) -> str | None:
    try:
        if not Depot(stored.url).has(mark):
            return f"it does not see what is in {stored.url}: another storage answers there"
        stored.folder.mkdir(mode=0o700, exist_ok=True)
    except (BrainsslError, OSError) as error:
        return line_of(error) if isinstance(error, OSError) else str(error)
    if stored.folder.lstat().st_uid != os.getuid():
        return f"{stored.folder} is somebody else's: set TMPDIR to another folder"
    return None


def leave(stored: Stored) -> None:
    """Delete what this machine has fetched of a study, and made."""
    remove(stored.folder)


_works: dict[str, Work] = {}
"""The work of the study whose steps this process does: it keeps what steps share."""


def do(
    begin: "list[Any]",
    name: str,
    needed: Sequence[str],
    traces: Traces,
    place: Place,
    threads: int,
    ears: Any,
) -> Ended:
    """Do a step of a study, and return what became of it.

    Args:
        begin: the reference to what makes the work, in a list so that it is fetched only once.
        name: of the step.
        needed: names of finished steps before it.
        traces: of steps that failed, where machines keep no folder.
        place: where the study is.
        threads: to compute with.
        ears: the actor that is told what goes on.

    Raises:
        BrainsslError: this machine is of no use.
    """
    import ray

    if place.mark not in _works:
        import torch

        if fault := look(place):
            raise BrainsslError(f"machine {socket.gethostname()} is of no use: {fault}")
        with suppress(OSError):
            os.chdir(_directory(place))
        torch.set_num_threads(threads)
        make: Elsewhere = ray.get(begin[0])
        _works.clear()
        try:
            _works[place.mark] = _work(make, Relay(ears.hear.remote), place.stored)
        except StorageError as error:
            return Ended(None, fault=str(error))
    try:
        ended = _done(_works[place.mark], name, needed, traces, place.stored)
    except StorageError as error:
        ended = Ended(None, fault=str(error))
    with suppress(ray.exceptions.RayError):
        ray.get(ears.none_missing.remote(), timeout=_EARS_SECONDS)
    return ended


def _directory(place: Place) -> Path:
    """Return where relative paths lead to: by them starts are called, also where no file is."""
    if place.stored is None:
        return Path(place.directory)
    there = place.stored.folder / "directory" / place.directory.lstrip("/")
    there.mkdir(parents=True, exist_ok=True)
    return there


def _work(make: Elsewhere, terminal: Terminal, stored: Stored | None) -> Work:
    if stored is None:
        return make(terminal)
    fetch_ground(Depot(stored.url), stored.names, stored.folder)
    return make(terminal, stored.folder)


def _done(
    work: Work, name: str, needed: Sequence[str], traces: Traces, stored: Stored | None
) -> Ended:
    """Do a step, unless a machine that was lost before it could answer has sent it."""
    if stored is None:
        return Ended(work.do(name))
    depot, folder = Depot(stored.url), stored.folder
    if fetch_step(depot, name, folder):
        return Ended(Outcome.DONE)
    for failed, trace in traces.items():
        keep_trace(folder, failed, *trace)
    with begun_from(depot, name, needed, folder):
        outcome = work.do(name)
    if outcome is Outcome.DONE:
        send_step(depot, name, folder)
    told, _ = traces_in(folder).get(name, (None, 0.0))
    return Ended(outcome, told)


def _content(file: Path) -> str | None:
    with suppress(OSError, ValueError):
        return file.read_text("utf-8")
    return None

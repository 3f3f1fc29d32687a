"""What runs on a machine of a cluster: tasks and an actor of Ray, which need nothing of it here."""

import hashlib
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
from brainssl.studies.scheduling.away import begun_from, fetch_ground, fetch_step, send_step
from brainssl.studies.scheduling.depot import Depot
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
    """

    url: str
    names: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """A folder of this user and this study on whichever machine this is."""
        digest = hashlib.sha256(self.url.encode()).hexdigest()[:16]
        return Path(tempfile.gettempdir(), f"brainssl-{os.getuid()}-{digest}")


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
    place: Place,
    threads: int,
    ears: Any,
) -> str:
    """Do a step of a study, and return what became of it.

    Args:
        begin: the reference to what makes the work, in a list so that it is fetched only once.
        name: of the step.
        needed: names of the steps before it.
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
            os.chdir(place.directory)
        torch.set_num_threads(threads)
        make: Elsewhere = ray.get(begin[0])
        _works.clear()
        _works[place.mark] = _work(make, Relay(ears.hear.remote), place.stored)
    outcome = _done(_works[place.mark], name, needed, place.stored)
    with suppress(ray.exceptions.RayError):
        ray.get(ears.none_missing.remote(), timeout=_EARS_SECONDS)
    return outcome.value


def _work(make: Elsewhere, terminal: Terminal, stored: Stored | None) -> Work:
    if stored is None:
        return make(terminal)
    fetch_ground(Depot(stored.url), stored.names, stored.folder)
    return make(terminal, stored.folder)


def _done(work: Work, name: str, needed: Sequence[str], stored: Stored | None) -> Outcome:
    """Do a step, unless a machine that was lost before it could answer has sent it."""
    if stored is None:
        return work.do(name)
    depot = Depot(stored.url)
    if fetch_step(depot, name, stored.folder):
        return Outcome.DONE
    with begun_from(depot, name, needed, stored.folder):
        outcome = work.do(name)
    send_step(depot, name, outcome, stored.folder)
    return outcome


def _content(file: Path) -> str | None:
    with suppress(OSError, ValueError):
        return file.read_text("utf-8")
    return None

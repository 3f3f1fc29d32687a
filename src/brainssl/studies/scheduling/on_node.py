"""What runs on a machine of a cluster: tasks and an actor of Ray, which need nothing of it here."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brainssl import __version__
from brainssl.foundation.board import Message, Relay
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.studies.scheduling.scheduler import Work

_EARS_SECONDS = 10.0


@dataclass(frozen=True)
class Place:
    """Where a study is, as all machines must see it.

    Attributes:
        folder: of the study.
        mark: name and content of a file in it.
        directory: that the command was started in: paths may be relative to it.
        version: of brainssl.
    """

    folder: Path
    mark: str
    directory: str
    version: str


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
    # A store that the study only links to must be seen, too.
    seen = _content(place.folder / place.mark) == place.mark
    if not seen or not (place.folder / "store" / "store.json").is_file():
        what = place.folder / ("store" if seen else "")
        return f"it does not see {what}: a study on a cluster lies on storage that all share"
    return None


_works: dict[str, Work] = {}
"""The work of the study whose steps this process does: it keeps what steps share."""


def do(begin: "list[Any]", name: str, place: Place, threads: int, ears: Any) -> str:
    """Do a step of a study, and return what became of it.

    Args:
        begin: the reference to what makes the work, in a list so that it is fetched only once.
        name: of the step.
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
        make: Callable[[Terminal], Work] = ray.get(begin[0])
        _works.clear()
        _works[place.mark] = make(Relay(ears.hear.remote))
    outcome: str = _works[place.mark].do(name).value
    with suppress(ray.exceptions.RayError):
        ray.get(ears.none_missing.remote(), timeout=_EARS_SECONDS)
    return outcome


def _content(file: Path) -> str | None:
    with suppress(OSError, ValueError):
        return file.read_text("utf-8")
    return None

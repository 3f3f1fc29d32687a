"""What several processes do, in the one terminal of the process that watches them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from rich.progress import Progress, TaskID

from brainssl.foundation.progress import Report, Terminal

Message = tuple[Any, ...]

_REPORT_SECONDS = 0.3
_PLAIN_SECONDS = 60.0


class Relay(Terminal):
    """The terminal of a process that is watched: it says nothing itself and tells a `Board`.

    Args:
        send: takes messages to the board, in their order.
    """

    def __init__(self, send: Callable[[Message], object]) -> None:
        super().__init__(quiet=True)
        self._send = send

    def say(self, text: str) -> None:
        """Let the board print a line."""
        self._send(("say", text))

    @contextmanager
    def task(self, title: str) -> Iterator[Report]:
        """Yield a function of (done, total) that moves the task on the board."""
        started = told = time.monotonic()
        self._send(("begin", title))

        def report(done: int, total: int) -> None:
            nonlocal told
            now = time.monotonic()
            if now - told >= _REPORT_SECONDS:
                told = now
                self._send(("move", title, done, total))

        try:
            yield report
        except BaseException:
            self._send(("end", title, None))
            raise
        self._send(("end", title, time.monotonic() - started))


class Board:
    """Shows the tasks of several processes: a bar for each on a terminal, else lines.

    In a log there is a line when a task is done, and one on all that are under way each minute. A
    task is told to be done once: a process may be lost after it made and told it, but before it
    noted it.

    Args:
        terminal: where to show them.
        bars: that run in this terminal; None where it has none.
    """

    def __init__(self, terminal: Terminal, bars: Progress | None = None) -> None:
        self._terminal, self._bars = terminal, bars
        self._shown: dict[str, TaskID] = {}
        self._state: dict[str, str] = {}
        self._done: list[str] = []
        self._spoken = time.monotonic()

    def hear(self, message: Message) -> None:
        """Take a message of a `Relay`."""
        what, text, *rest = message
        if what == "say":
            self._terminal.say(text)
        elif what == "begin":
            self._state[text] = ""
            if self._bars:
                self._shown[text] = self._bars.add_task(text, total=None)
        elif what == "move":
            self._move(text, *rest)
        else:
            self.drop(text)
            if rest[0] is not None and not any(_is_called(text, one) for one in self._done):
                self._done.append(text)
                self._terminal.say(f"{text}: done in {rest[0]:.0f} s")

    def settle(self, name: str) -> None:
        """Say that a task is done, unless its process said so; from now on that comes too late.

        Args:
            name: its title, or the last word of that.
        """
        if not any(_is_called(one, name) for one in self._done):
            self._done.append(name)
            self._terminal.say(f"{name}: done, which its lost process did not come to tell")

    def drop(self, name: str) -> None:
        """Show a task no longer, if it was shown: what did it is no more.

        Args:
            name: its title, or the last word of that.
        """
        for title in [one for one in self._state if _is_called(one, name)]:
            del self._state[title]
            if self._bars:
                self._bars.remove_task(self._shown.pop(title))

    def _move(self, title: str, done: int, total: int) -> None:
        if title not in self._state:  # a message that came late
            return
        self._state[title] = f" {done} of {total}"
        if self._bars:
            self._bars.update(self._shown[title], completed=done, total=total)
        elif time.monotonic() - self._spoken >= _PLAIN_SECONDS:
            self._spoken = time.monotonic()
            self._terminal.say("; ".join(f"{one}:{at}" for one, at in self._state.items() if at))


def _is_called(title: str, name: str) -> bool:
    return title == name or title.endswith(f" {name}")


@contextmanager
def board(terminal: Terminal) -> Iterator[Board]:
    """Yield a board in a terminal; its bars go when the block ends."""
    bars = terminal.bars() if terminal.has_bars else None
    with bars or nullcontext():
        yield Board(terminal, bars)

"""What the terminal shows while work goes on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

Report = Callable[[int, int], None]

_PLAIN_SECONDS = 20.0


class Terminal:
    """Shows each task: a bar on a terminal, a few plain lines in a log. Writes to stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False)

    def say(self, text: str) -> None:
        """Print a line."""
        self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str) -> Iterator[Report]:
        """Yield a function of (done, total) that keeps the task's bar or lines going."""
        started = time.monotonic()
        if self.console.is_terminal:
            with self._bar() as bar:
                number = bar.add_task(title, total=None)
                yield lambda done, total: bar.update(number, completed=done, total=total)
        else:
            yield self._lines(title)
        self.say(f"{title}: done in {time.monotonic() - started:.0f} s")

    def _bar(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.console, transient=True)

    def _lines(self, title: str) -> Report:
        spoken = time.monotonic()

        def report(done: int, total: int) -> None:
            nonlocal spoken
            if time.monotonic() - spoken >= _PLAIN_SECONDS:
                spoken = time.monotonic()
                self.say(f"{title}: {done} of {total}")

        return report


class Lines(Terminal):
    """A line when a task is done and none before: for processes that share a terminal."""

    @contextmanager
    def task(self, title: str) -> Iterator[Report]:
        """Yield a function of (done, total) that shows nothing."""
        started = time.monotonic()
        yield lambda done, total: None
        self.say(f"{title}: done in {time.monotonic() - started:.0f} s")

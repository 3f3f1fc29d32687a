"""What is shown while work goes on: in a terminal, a log, or the cell of a notebook."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

Report = Callable[[int, int], None]

_PLAIN_SECONDS = 20.0
_CELL_SECONDS = 0.2  # a browser need not draw more often


class Terminal:
    """Shows each task: a bar on a terminal or in a notebook, a few plain lines in a log.

    It writes to stderr, or to the output of the notebook's cell that was running when it was made.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        from rich.console import Console

        self.console = Console(stderr=True, quiet=quiet, highlight=False)
        self._cell = Cell() if self.console.is_jupyter and not quiet else None

    def say(self, text: str) -> None:
        """Print a line."""
        if self._cell:
            self._cell.say(text)
        else:
            self.console.print(text, markup=False, soft_wrap=True)

    @contextmanager
    def task(self, title: str) -> Iterator[Report]:
        """Yield a function of (done, total) that keeps the task's bar or lines going."""
        started = time.monotonic()
        if self._cell:
            with self._cell.bar(title) as report:
                yield report
        elif self.has_bars:
            with self.bars() as bar:
                number = bar.add_task(title, total=None)
                yield lambda done, total: bar.update(number, completed=done, total=total)
        else:
            yield self._lines(title)
        self.say(f"{title}: done in {time.monotonic() - started:.0f} s")

    @property
    def has_bars(self) -> bool:
        """Whether tasks are bars that are drawn again and again."""
        return self.console.is_terminal and not self.console.quiet and self._cell is None

    def bars(self) -> "Progress":
        """Return what draws bars, to be entered."""
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

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


class Cell:
    """One output of a notebook's cell, drawn again in its place: lines, and a bar below them.

    It is plain HTML, which every notebook shows. Rich's own bar needs ipywidgets, which are not
    everywhere, and is lost when the notebook is saved.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._handle: Any = None

    def say(self, text: str) -> None:
        """Add a line."""
        self._lines.append(text)
        self._draw()

    @contextmanager
    def bar(self, title: str) -> Iterator[Report]:
        """Yield a function of (done, total) that moves a bar, which goes when the block ends."""
        started = drawn = time.monotonic()
        self._draw(_bar_of(title, None))

        def report(done: int, total: int) -> None:
            nonlocal drawn
            now = time.monotonic()
            if now - drawn >= _CELL_SECONDS:
                drawn = now
                self._draw(_bar_of(title, (done, total), now - started))

        try:
            yield report
        finally:
            self._draw()

    def _draw(self, bar: tuple[str, str] = ("", "")) -> None:
        from IPython.display import display

        plain, drawn = bar
        lines = escape("\n".join(self._lines))
        html = f'<pre style="margin:0;white-space:pre-wrap">{lines}</pre>{drawn}'
        shown = {"text/plain": "\n".join([*self._lines, plain]).strip(), "text/html": html}
        if self._handle is None:
            self._handle = display(shown, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._handle.update(shown, raw=True)


def _bar_of(title: str, state: tuple[int, int] | None, elapsed: float = 0) -> tuple[str, str]:
    """Return a bar as plain text and as HTML; without a state it tells only that work goes on."""
    text, place = title, ""
    if state:
        done, total = state
        text += f": {done} of {total}, {_clock(elapsed)}"
        if done:
            text += f", left {_clock(elapsed * (total - done) / done)}"
        place = f' value="{done}" max="{max(total, 1)}"'
    bar = f'<progress{place} style="width:16em;vertical-align:middle"></progress>'
    return text, f"<div>{bar} {escape(text)}</div>"


def _clock(seconds: float) -> str:
    return f"{seconds // 60:.0f}:{int(seconds) % 60:02d}"

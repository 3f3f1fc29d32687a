"""The sections of a report: which there are, in which order, and what they say of one study."""

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module, resources

from brainssl.reporting.blocks import Block, Fold, Section
from brainssl.reporting.study import Study

_ROOM = "brainssl.reporting.sections"


@dataclass(frozen=True)
class Entry:
    """A section as `sections/sections.toml` lists it.

    Attributes:
        name: its file in `sections/`, and its anchor on the page.
        title: its heading.
        question: what it answers.
        left_out: when it has nothing to show.
        folded: whether it is looked up rather than read: a reader opens it by its question.
        last: whether it is made when all others are: it tells how long they took.
    """

    name: str
    title: str
    question: str
    left_out: str
    folded: bool = False
    last: bool = False

    def content(self, study: Study) -> tuple[Block, ...]:
        """Return what it shows of a study."""
        make: Callable[[Study], tuple[Block, ...]] = import_module(f"{_ROOM}.{self.name}").content
        blocks = make(study)
        return (Fold(self.question, blocks),) if self.folded and blocks else blocks


@cache
def entries() -> tuple[Entry, ...]:
    """Return the sections that there are, in their order."""
    text = resources.files(_ROOM).joinpath("sections.toml").read_text("utf-8")
    return tuple(Entry(**entry) for entry in tomllib.loads(text)["section"])


def sections(study: Study, built: Sequence[Section] | None = None) -> list[Section]:
    """Return every section that has something to show; `built` are the untimed ones, if known."""
    known = untimed_sections(study) if built is None else list(built)
    return known + _made(study, [entry for entry in entries() if entry.last])


def untimed_sections(study: Study) -> list[Section]:
    """Return the sections that can be told before it is known how long the report took."""
    return _made(study, [entry for entry in entries() if not entry.last])


def _made(study: Study, asked: Sequence[Entry]) -> list[Section]:
    made = (Section(entry.name, entry.title, entry.content(study)) for entry in asked)
    return [section for section in made if section.blocks]

"""The section that says what a reviewer asks for: from the run, from `study.toml`, or missing."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from brainssl.reporting.blocks import Block, Facts, Fold, Prose
from brainssl.reporting.findings.about import FILE, About, read_about
from brainssl.reporting.findings.data_evidence import DATA_EVIDENCE
from brainssl.reporting.findings.model_evidence import MODEL_EVIDENCE
from brainssl.reporting.study import Study
from brainssl.reporting.wording import counted, join

EVIDENCE = DATA_EVIDENCE | MODEL_EVIDENCE

Status = Literal["from the run", "from study.toml", "missing", "not done here", "does not apply"]
FILLED: frozenset[Status] = frozenset({"from the run", "from study.toml"})

_SOURCES = (
    "The questions follow two guidelines in this project’s own words: CLAIM (2024), named by its "
    "headings, and TRIPOD+AI (2024), by its item numbers. A question that is answered is not "
    "thereby answered well."
)


@dataclass(frozen=True)
class Item:
    """One thing that is asked, answered by the run or by a person.

    Attributes:
        topic: under which it stands.
        title: what is asked.
        key: of `study.toml`; empty if the run answers.
        run: of `EVIDENCE`; empty if a person answers.
        otherwise: what would mend it if there is no answer; if empty, to add the key.
        claim: heading of CLAIM that asks it.
        tripod: items of TRIPOD+AI that ask it.
        of_patients: whether it makes no sense for simulated images.
    """

    topic: str
    title: str
    key: str = ""
    run: str = ""
    otherwise: str = ""
    claim: str = ""
    tripod: str = ""
    of_patients: bool = False

    @property
    def guidelines(self) -> str:
        """Where the guidelines ask it: "CLAIM: Data; TRIPOD+AI 5a"."""
        named = (
            f"CLAIM: {self.claim}" if self.claim else "",
            f"TRIPOD+AI {self.tripod}" if self.tripod else "",
        )
        return "; ".join(name for name in named if name)


@dataclass(frozen=True)
class Answer:
    """An item, where its answer comes from, and the answer or what would mend its absence."""

    item: Item
    status: Status
    text: str


def read_items() -> list[Item]:
    """Return `checklist.toml`."""
    text = (
        resources.files("brainssl.reporting.sections").joinpath("checklist.toml").read_text("utf-8")
    )
    return [Item(**raw) for raw in tomllib.loads(text)["items"]]


def answers(study: Study) -> list[Answer]:
    """Answer every item of the checklist, in its order.

    Raises:
        BrainsslError: `study.toml` is not as it should be.
    """
    about = read_about(study.folder)
    return [_answer(item, study, about) for item in read_items()]


def content(study: Study) -> tuple[Block, ...]:
    """Show every item by topic, with what answers it; nothing for a study without results."""
    if not study.rows:
        return ()
    given = answers(study)
    blocks: list[Block] = [Prose((_summary(given),))]
    for topic in dict.fromkeys(answer.item.topic for answer in given):
        own = [answer for answer in given if answer.item.topic == topic]
        head = f"{topic}: {_filled(own)} of {len(_asked(own))}"
        blocks.append(Fold(head, (Facts(tuple((a.item.title, _shown(a)) for a in own)),)))
    blocks.append(Fold("Where the questions come from", (Prose((_SOURCES,)),)))
    return tuple(blocks)


def _answer(item: Item, study: Study, about: About) -> Answer:
    if text := getattr(about, item.key) if item.key else "":
        return Answer(item, "from study.toml", text)
    if text := EVIDENCE[item.run](study) if item.run else "":
        return Answer(item, "from the run", text)
    if item.of_patients and study.facts.get("simulated"):
        return Answer(item, "does not apply", "the images are simulated")
    if item.otherwise:
        return Answer(item, "not done here", item.otherwise)
    return Answer(item, "missing", f"add `{item.key}` to {FILE}")


def _summary(given: Sequence[Answer]) -> str:
    asked, by = _asked(given), {s: [a for a in given if a.status == s] for s in FILLED}
    text = (
        f"{_filled(given)} of {counted(len(asked), 'item')} are filled, "
        f"{len(by['from the run'])} from the run and {len(by['from study.toml'])} from {FILE}."
    )
    undone = [a.item.title for a in given if a.status == "not done here"]
    missing = [f"`{a.item.key}`" for a in given if a.status == "missing"]
    if undone:
        text += f" Not done here: {join(undone)}."
    if missing:
        text += f" Missing in {FILE}, beside this file: {join(missing)}."
    return text


def _asked(given: Sequence[Answer]) -> list[Answer]:
    return [answer for answer in given if answer.status != "does not apply"]


def _filled(given: Sequence[Answer]) -> int:
    return sum(answer.status in FILLED for answer in given)


def _shown(answer: Answer) -> str:
    status = answer.status[0].upper() + answer.status[1:]
    asked = f" [{answer.item.guidelines}]" if answer.item.guidelines else ""
    return f"{status}: {answer.text}{asked}"

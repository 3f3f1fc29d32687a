"""The sections of a report: one file and one entry each, in the order of a reader's questions."""

from collections.abc import Callable
from pathlib import Path

import pytest

from brainssl.reporting import assembly
from brainssl.reporting.assembly import Entry, entries, sections, untimed_sections
from brainssl.reporting.blocks import Block, Prose
from brainssl.reporting.study import Study, read_study

FILES = Path(assembly.__file__).parent / "sections"


def test_sections_come_in_the_order_of_a_readers_questions(study: Path) -> None:
    assert [section.name for section in sections(read_study(study))] == [
        "answer",
        "cautions",
        "run",
        "pretraining",
        "efficiency",
        "results",
        "models",
        "losses",
        "data",
        "settings",
        "checklist",
        "published",
    ]


def test_several_protocols_stand_side_by_side(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], protocols=["grouped", "image"], extras=False)
    assert "protocols" in [section.name for section in sections(read_study(folder))]


def test_each_section_is_a_file_and_an_entry() -> None:
    names = [entry.name for entry in entries()]
    helpers = {"__init__", "example_slices", "explained_slices"}
    assert sorted(names) == sorted({file.stem for file in FILES.glob("*.py")} - helpers)
    assert len({entry.title for entry in entries()}) == len(names)
    assert all(entry.question.endswith("?") and entry.left_out for entry in entries())


def test_a_new_entry_is_a_new_section(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else knows which sections there are; what has nothing to show is left out."""

    class Fairness(Entry):
        def content(self, study: Study) -> tuple[Block, ...]:
            return (Prose((f"{len(study.classes)} classes.",)),) if study.classes else ()

    one = Fairness("fairness", "Fairness", "Who is served worse?", "without classes")
    last = Fairness("late", "Late", "And later?", "without classes", last=True)
    monkeypatch.setattr(assembly, "entries", lambda: (last, one))
    held = read_study(study)
    assert [section.name for section in untimed_sections(held)] == ["fairness"]
    assert [section.title for section in sections(held)] == ["Fairness", "Late"]
    monkeypatch.setattr(Fairness, "content", lambda self, study: ())
    assert sections(held) == []

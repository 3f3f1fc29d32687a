"""Where the time went: seconds by kind of work, their shares, and what training took of it."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from brainssl.reporting.assembly import sections, untimed_sections
from brainssl.reporting.blocks import Prose
from brainssl.reporting.report import render_report
from brainssl.reporting.sections.time import content
from brainssl.reporting.study import read_study
from brainssl.reporting.tables.table import Table

SPENT = [
    {"what": "pretraining", "seconds": 600.0, "steps": 2, "training": True},
    {"what": "supervised training", "seconds": 330.0, "steps": 4, "training": True},
    {"what": "reading", "seconds": 50.0, "steps": 0, "training": False},
    {"what": "explanations", "seconds": 20.0, "steps": 0, "training": False},
]


def test_every_kind_of_work_has_its_time_and_share(study: Path) -> None:
    held = read_study(study)
    section = content(replace(held, facts={**held.facts, "time": SPENT}))
    said, table = section
    assert isinstance(said, Prose)
    assert said.paragraphs[0].startswith("93.0 % of the time went into training, 7.0 %")
    assert isinstance(table, Table)
    cells = {line.headers[0]: [cell.text for cell in line.cells] for line in table.lines}
    assert cells["Pretraining"] == ["2", "10 min", "60.0"]
    assert cells["Reading, fingerprints and near-duplicates"] == ["", "50 s", "5.0"]
    assert cells["All"] == ["", "17 min", "100.0"]


def test_a_study_that_noted_nothing_has_no_such_section(study: Path) -> None:
    assert content(read_study(study)) == ()
    assert "time" not in {section.name for section in sections(read_study(study))}


def test_sections_that_were_built_before_give_the_same_page(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study()
    built = untimed_sections(read_study(folder))
    file = folder / "results.json"
    held = json.loads(file.read_text("utf-8"))
    held["study"]["time"] = SPENT
    file.write_text(json.dumps(held), encoding="utf-8")
    page = render_report(folder, built).read_bytes()
    assert page == render_report(folder).read_bytes()
    assert b"Where the time went" in page

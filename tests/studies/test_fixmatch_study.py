"""A study that holds FixMatch beside self-supervision: its rows, its pages, what it says of it."""

import html
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan

from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.reporting.documents.model_card import card
from brainssl.reporting.findings.about import About
from brainssl.reporting.study import read_study
from brainssl.studies.estimate import estimate
from brainssl.studies.plan import Plan
from brainssl.studies.record import where_time_went
from brainssl.studies.run import Study

pytestmark = pytest.mark.usefixtures("hasty")

OWN = "supervised-fixmatch-grouped-f1-s0"


@pytest.fixture(scope="module")
def plan(shared_store: ImageStore) -> Plan:
    own = (*FAST, "fixmatch.threshold=0.4")
    return small_plan(shared_store.path, own, methods=("simclr", "fixmatch"), explained=2)


@pytest.fixture(scope="module")
def grown(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A study that had no FixMatch first; and when each of its steps was made."""
    out = tmp_path_factory.mktemp("fixmatch") / "out"
    Study(replace(plan, methods=("simclr",)), out, Terminal(quiet=True)).run()
    before = {step.name: step.stat().st_mtime_ns for step in (out / "steps").iterdir()}
    Study(plan, out, Terminal(quiet=True)).run()
    return out, before


@pytest.fixture(scope="module")
def out(grown: tuple[Path, dict[str, int]]) -> Path:
    return grown[0]


@pytest.fixture(scope="module")
def page(out: Path) -> str:
    return " ".join(html.unescape((out / "report.html").read_text("utf-8")).split())


def held(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    return found


def test_a_begun_study_grows_by_it(grown: tuple[Path, dict[str, int]]) -> None:
    out, before = grown
    after = {step.name: step.stat().st_mtime_ns for step in (out / "steps").iterdir()}
    assert after.keys() - before.keys() == {OWN}
    assert {name: after[name] for name in before} == before


def test_it_has_rows_of_its_own_and_is_compared_like_a_method(out: Path) -> None:
    found = held(out)
    assert found["study"]["failed"] == []
    own = [row for row in found["rows"] if row["method"] == "fixmatch"]
    assert {(row["stage"], row["step"]) for row in own} == {("supervised", f"steps/{OWN}")}
    assert {row["split"] for row in own} == {"train", "val", "test"}
    assert found["study"]["settings"]["fixmatch"]["threshold"] == 0.4
    sides = [
        {(pair[side]["method"], pair[side]["stage"]) for side in ("first", "second")}
        for pair in found["analysis"]["comparisons"]
    ]
    for other in (("supervised", "supervised"), ("simclr", "finetune")):
        assert {("fixmatch", "supervised"), other} in sides


def test_what_is_shown_of_models_is_shown_of_it(out: Path) -> None:
    maps = pd.read_parquet(out / "projections.parquet")
    assert {("fixmatch", "supervised"), ("supervised", "supervised")} <= set(
        zip(maps["method"], maps["moment"], strict=True)
    )
    explained = {one["step"] for one in held(out)["analysis"]["explanations"]["models"]}
    assert f"steps/{OWN}" in explained
    spent = {one["what"]: one["steps"] for one in where_time_went(out)}
    assert (spent["semi-supervised training"], spent["supervised training"]) == (1, 1)


def test_the_report_says_what_it_is(page: str) -> None:
    assert "by semi-supervised training (FixMatch), and by supervised training alone" in page
    assert "FixMatch: training 1 epochs" in page
    assert "Semi-supervised" in page
    assert "holds the loss of pseudo-labels, too" in page
    assert "FixMatch: the strong views" in page
    assert "For pretraining and FixMatch only" in page


def test_nothing_says_that_it_is_pretrained(page: str) -> None:
    for wrong in ("FixMatch pretraining", "FixMatch, fine-tuned", "FixMatch, linear probe"):
        assert wrong not in page
    assert not re.search(r"[Pp]retraining (with(out)? labels )?(by|with) [^.:,]*FixMatch", page)
    assert not re.search(r"FixMatch[^.]*seed 0[^.]*not recorded", page)


def test_the_model_card_of_it_tells_of_pseudo_labels(out: Path) -> None:
    study = read_study(out)
    study = replace(study, facts={**study.facts, "best": {"step": f"steps/{OWN}"}})
    told = card(study, About())
    assert "trained with labels, and with pseudo-labels of images without" in told
    assert "semi-supervised-learning" in told
    assert "self-supervised-learning" not in told


def test_a_dry_run_foresees_it(plan: Plan, out: Path, tmp_path: Path) -> None:
    fresh = estimate(plan, tmp_path / "new")
    by_name = {one.step.name: one.seconds for one in fresh.steps}
    assert by_name[OWN] > by_name["supervised-grouped-f1-s0"]
    assert all(one.finished for one in estimate(plan, out).steps)


def test_it_needs_no_self_supervision_beside_it(shared_store: ImageStore, tmp_path: Path) -> None:
    plan = small_plan(shared_store.path, FAST, methods=("fixmatch",), folds=2, explained=0)
    Study(plan, tmp_path / "out", Terminal(quiet=True)).run()
    assert held(tmp_path / "out")["study"]["failed"] == []
    page = html.unescape((tmp_path / "out" / "report.html").read_text("utf-8"))
    assert re.search(r"FixMatch (is (ahead|behind)|cannot be told apart)", page)
    assert "Pretraining: each strip" not in page

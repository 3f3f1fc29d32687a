"""A whole study in folds: every image tested once, a report of what is pooled."""

import json
from pathlib import Path
from typing import Any

import pytest
from oracles.small_plan import FAST, small_plan

from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.studies.plan import Plan
from brainssl.studies.run import Study


@pytest.fixture(scope="module")
def plan(shared_store: ImageStore) -> Plan:
    return small_plan(shared_store.path, FAST, folds=2, explained=2)


@pytest.fixture(scope="module")
def finished(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("folds") / "out"
    Study(plan, out, Terminal(quiet=True)).run()
    return out


def results(out: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    return held


def test_pooled_rows_are_of_every_labelled_image(finished: Path, shared_store: ImageStore) -> None:
    rows = results(finished)["rows"]
    pooled = [row for row in rows if (row["fold"], row["split"]) == ("all", "test")]
    labelled = int(shared_store.manifest["label"].notna().sum())
    assert {(row["method"], row["stage"], row["n"]) for row in pooled} == {
        ("untrained", "linear", labelled),
        ("simclr", "linear", labelled),
        ("simclr", "finetune", labelled),
        ("supervised", "supervised", labelled),
    }
    singles = [row for row in rows if row["fold"] in (1, 2) and row["split"] == "test"]
    assert {row["fold"] for row in singles if row["method"] == "random_labels"} == {1}
    assert len([row for row in singles if row["method"] == "simclr"]) == 4


def test_the_record_tells_the_folds(finished: Path, shared_store: ImageStore) -> None:
    study = results(finished)["study"]
    assert study["folds"] == {"number": 2, "column": None, "values": None}
    split = study["splits"]["grouped"]
    own = [Split.load(finished / fold["file"]) for fold in split["folds"]]
    assert [one.digest for one in own] == [fold["digest"] for fold in split["folds"]]
    assert split["images"]["test"] == sum(len(one.test) for one in own)
    assert split["groups"]["test"] == shared_store.manifest["group"].nunique()
    assert study["failed"] == []
    assert study["best"]["step"].startswith("steps/")


def test_what_is_analysed_is_pooled(finished: Path) -> None:
    analysis = results(finished)["analysis"]
    assert {name.split("/")[0] for name in analysis["models"]} <= {"pooled", "ensembles"}
    about = analysis["models"]["pooled/simclr-finetune-grouped-f1-s0"]
    assert len(about["calibration"]["temperatures"]) == 2
    assert "novelty" in about
    assert [row["fold"] for row in analysis["ensembles"]] == ["all"] * len(analysis["ensembles"])
    assert analysis["comparisons"]
    assert (finished / "report.html").is_file()


def test_a_finished_study_in_folds_trains_nothing_again(finished: Path, plan: Plan) -> None:
    steps = {file: file.stat().st_mtime_ns for file in (finished / "steps").iterdir()}
    before = results(finished)["rows"]
    Study(plan, finished, Terminal(quiet=True)).run()
    assert {file: file.stat().st_mtime_ns for file in (finished / "steps").iterdir()} == steps
    assert results(finished)["rows"] == before

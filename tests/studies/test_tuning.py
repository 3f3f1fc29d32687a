"""A study that tries settings: equal budgets, chosen on validation, the test set once and after."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from oracles.small_plan import FAST, small_plan
from oracles.steps_alone import work
from scipy.special import log_softmax

from brainssl.data.store import ImageStore
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.unlabelled import UNLABELLED
from brainssl.foundation.progress import Terminal
from brainssl.models.classifier import Classifier
from brainssl.studies import steps as module
from brainssl.studies.identity import identity
from brainssl.studies.plan import Plan
from brainssl.studies.run import Study
from brainssl.studies.trials import KEPT
from brainssl.training.tuned import TUNING

pytestmark = pytest.mark.usefixtures("hasty")

TEMPERATURES = np.exp(np.linspace(np.log(0.05), np.log(20), 2001))
ARMS = ("linear-simclr-grouped-f1-s0", "finetune-simclr-grouped-f1-s0", "supervised-grouped-f1-s0")


@pytest.fixture(scope="module")
def plan(shared_store: ImageStore) -> Plan:
    return small_plan(shared_store.path, [*FAST, "split.val_fraction=0.2"], explained=1)


@pytest.fixture(scope="module")
def grown(plan: Plan, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[Path, int]]:
    """A study that was finished without a search and then given one, and what there was before."""
    out = tmp_path_factory.mktemp("tuned") / "out"
    work(replace(plan, explained=0), out)
    before = {file: file.stat().st_mtime_ns for file in (out / "steps").rglob("*")}
    Study(replace(plan, trials=3), out, Terminal(quiet=True)).run()
    return out, before


@pytest.fixture(scope="module")
def tuned(grown: tuple[Path, dict[Path, int]]) -> Path:
    return grown[0]


def results(out: Path) -> dict[str, Any]:
    held: dict[str, Any] = json.loads((out / "results.json").read_text("utf-8"))
    return held


def loss(folder: Path) -> float:
    """The least validation NLL over a grid of temperatures."""
    val = Predictions.load(folder / "predictions.parquet").of("val")
    logits, rows = val.logits.astype(float), np.arange(len(val))
    said = log_softmax(logits / TEMPERATURES[:, None, None], axis=2)
    return float((-said[:, rows, val.labels].mean(axis=1)).min())


def test_a_finished_study_is_given_a_search_and_does_nothing_again(
    grown: tuple[Path, dict[Path, int]], plan: Plan
) -> None:
    _, before = grown
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert identity(plan) == identity(replace(plan, trials=3))


def test_of_what_is_only_tried_nothing_is_known_about_the_test_set(tuned: Path) -> None:
    trials = [f for f in (tuned / "steps").iterdir() if f.name.endswith(("-t2", "-t3"))]
    measured = [folder for folder in trials if not folder.name.startswith("pretrain-")]
    assert len(measured) == 6
    for folder in measured:
        frame = pd.read_parquet(folder / "predictions.parquet")
        assert set(frame["split"]) == {"train", "val"}
        rows = json.loads((folder / "rows.json").read_text())
        assert {row["split"] for row in rows} == {"train", "val"}
        assert not (folder / UNLABELLED).exists()


@pytest.mark.parametrize("arm", ARMS)
def test_the_chosen_trial_has_the_least_validation_loss(tuned: Path, arm: str) -> None:
    names = [arm, f"{arm}-t2", f"{arm}-t3"]
    losses = [loss(tuned / "steps" / name) for name in names]
    folder = tuned / "steps" / f"tuned3-{arm}"
    record = json.loads((folder / TUNING).read_text())
    assert [one["val_nll"] for one in record["tried"]] == pytest.approx(losses, abs=1e-4)
    best = record["chosen"]
    assert losses[best - 1] == pytest.approx(min(losses), abs=1e-4)
    chosen = tuned / "steps" / names[best - 1]
    for name in ("settings.json", "split.json"):
        assert (folder / name).read_text() == (chosen / name).read_text()
    own, other = Classifier.load(folder), Classifier.load(chosen)
    assert own.facts == other.facts | {"trial": best, "trials": 3}
    assert all((own.state_dict()[k] == v).all() for k, v in other.state_dict().items())
    ours, theirs = (Predictions.load(f / "predictions.parquet") for f in (folder, chosen))
    pd.testing.assert_frame_equal(ours.of("val").frame, theirs.of("val").frame)
    assert len(ours.of("test"))


def test_the_rows_are_those_of_what_was_chosen(tuned: Path) -> None:
    rows = results(tuned)["rows"]
    by_step = {row["step"]: row for row in rows}
    assert set(by_step) == {
        *(f"steps/tuned3-{arm}" for arm in ARMS),
        "steps/linear-untrained-grouped-f1-s0",
        "steps/linear-random_labels-grouped-f1-s0",
    }
    for step, row in by_step.items():
        searched = step.startswith("steps/tuned3-")
        assert (row.get("trials"), "trial" in row) == ((3, True) if searched else (None, False))
    assert {row["stage"] for row in rows} == {"linear", "finetune", "supervised"}


def test_every_arm_has_as_many_trials_and_controls_have_none(tuned: Path) -> None:
    found = results(tuned)["study"]["tuning"]
    assert found["trials"] == 3
    searches = found["searches"]
    assert [(one["method"], one["stage"]) for one in searches] == [
        ("simclr", "linear"),
        ("simclr", "finetune"),
        ("supervised", "supervised"),
    ]
    assert {len(one["tried"]) for one in searches} == {3}
    assert all(one["tried"][0]["changed"] == {} for one in searches)
    baseline, method = searches[2]["tried"][1]["changed"], searches[1]["tried"][1]["changed"]
    # Both were multiplied by the same factor.
    key, change = "finetune.learning_rate", json.loads((tuned / KEPT).read_text())[1]
    settings = results(tuned)["study"]["settings"]
    own = settings["simclr"]["finetune"]["learning_rate"]
    assert baseline[key] / settings["finetune"]["learning_rate"] == pytest.approx(
        method[key] / own, rel=1e-3
    )
    assert method[key] / own == pytest.approx(change["finetune_rate"], rel=1e-3)


def test_what_reads_a_study_knows_the_chosen_models(tuned: Path) -> None:
    held = results(tuned)
    assert held["study"]["failed"] == []
    assert held["study"]["best"]["step"].startswith(("steps/tuned3-", "steps/linear-untrained"))
    index = json.loads((tuned / "explanations" / "index.json").read_text())
    assert {one["step"] for one in index["steps"]} == {f"tuned3-{arm}" for arm in ARMS}
    maps = pd.read_parquet(tuned / "projections.parquet")
    assert set(maps["moment"]) == {"before", "pretrained", "finetuned", "supervised"}
    assert any(step.startswith("steps/tuned3-") for step in held["analysis"]["models"])
    page = (tuned / "report.html").read_text("utf-8")
    assert "What the search chose" in page
    assert "trial" in (tuned / "model-card.md").read_text("utf-8")


def test_fewer_trials_later_are_a_search_of_their_own(tuned: Path, plan: Plan) -> None:
    before = {file: file.stat().st_mtime_ns for file in (tuned / "steps").iterdir()}
    Study(replace(plan, trials=2, explained=0), tuned, Terminal(quiet=True)).run()
    new = {file.name for file in (tuned / "steps").iterdir() if file not in before}
    assert new == {f"tuned2-{arm}" for arm in ARMS}
    assert results(tuned)["study"]["tuning"]["trials"] == 2
    Study(replace(plan, explained=0), tuned, Terminal(quiet=True)).run()
    without = results(tuned)
    assert without["study"]["tuning"] is None
    assert {f"steps/{arm}" for arm in ARMS} < {row["step"] for row in without["rows"]}
    page = (tuned / "report.html").read_text("utf-8")
    assert "What the search chose" not in page


def test_a_failed_trial_costs_itself_alone_and_is_not_tried_again(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finetune, called = module.finetune_stage, []

    def diverging(*args: Any, **options: Any) -> Any:
        called.append(options["parts"])
        if "test" not in options["parts"]:
            raise RuntimeError("the validation loss was never finite")
        return finetune(*args, **options)

    monkeypatch.setattr(module, "finetune_stage", diverging)
    own = replace(plan, trials=2, methods=(), explained=0)
    Study(own, tmp_path / "out", Terminal(quiet=True)).run()
    held = results(tmp_path / "out")["study"]
    assert held["failed"] == []
    (search,) = held["tuning"]["searches"]
    assert (search["chosen"], search["failed"]) == (1, 1)
    assert search["tried"][1]["error"] == "the validation loss was never finite"
    work(own, tmp_path / "out")
    assert len(called) == 2
    # Without what the search chose it is tried again, as the documentation says.
    folder = tmp_path / "out" / "steps" / "tuned2-supervised-grouped-f1-s0"
    shutil.rmtree(folder)
    monkeypatch.setattr(module, "finetune_stage", finetune)
    work(own, tmp_path / "out")
    assert all(one["val_nll"] for one in json.loads((folder / TUNING).read_text())["tried"])


def test_where_all_trials_fail_the_choice_fails(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any, **_options: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(module, "finetune_stage", broken)
    own = replace(plan, trials=2, methods=(), explained=0)
    Study(own, tmp_path / "out", Terminal(quiet=True)).run()
    (failed,) = results(tmp_path / "out")["study"]["failed"]
    assert failed["step"] == "tuned2-supervised-grouped-f1-s0"
    assert failed["error"] == "all 2 trials failed; the first: no memory"

"""The study: a complete grid, results as specified, finished steps never run again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brainssl import study as module
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.errors import BrainsslError
from brainssl.evaluation.metrics import METRICS
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.plan import Plan
from brainssl.progress import Terminal
from brainssl.settings import load_settings
from brainssl.study import Study

FAST = [
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "probe.epochs=5",
    "finetune.epochs=1",
    "finetune.batch_size=8",
    "evaluation.draws=50",
    "split.val_fraction=0.2",
    "split.test_fraction=0.2",
    "run.accelerator=cpu",
]


def plan_for(source: Path, **changes: Any) -> Plan:
    settings, reasons = load_settings("quick", FAST)
    plan = Plan(
        source=source,
        labels=None,
        methods=("simclr",),
        protocols=("grouped", "paper"),
        label_fractions=(0.5, 1.0),
        seeds=1,
        seed=0,
        preset="quick",
        settings=settings,
        reasons=reasons,
        command="brainssl study",
    )
    return replace(plan, **changes)


@pytest.fixture(scope="module")
def unbalanced(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared folder with one class smaller than the others, as balancing needs it."""
    folder = tmp_path_factory.mktemp("unbalanced") / "images"
    shutil.copytree(shared_folder, folder)
    for file in sorted((folder / "Normal T1").iterdir())[5:]:
        file.unlink()
    return folder


@pytest.fixture(scope="module")
def finished(unbalanced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("study") / "out"
    report = Study(plan_for(unbalanced), out, Terminal(quiet=True)).run()
    assert report == out / "report.html"
    return out


def results(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return content


def test_there_is_a_row_for_each_cell_of_the_grid(finished: Path) -> None:
    rows = results(finished)["rows"]
    cells = {
        (r["method"], r["stage"], r["protocol"], r["label_fraction"], r["seed"], r["split"])
        for r in rows
    }
    kinds = [
        ("untrained", "linear"),
        ("simclr", "linear"),
        ("simclr", "finetune"),
        ("supervised", "supervised"),
    ]
    expected = {
        (method, stage, protocol, fraction, 0, split)
        for method, stage in kinds
        for protocol in ("grouped", "paper")
        for fraction in (0.5, 1.0)
        for split in ("train", "val", "test")
    }
    assert cells == expected
    assert len(rows) == len(expected)


def test_every_row_has_every_metric_with_its_interval(finished: Path) -> None:
    for row in results(finished)["rows"]:
        assert tuple(row["metrics"]) == METRICS == tuple(row["intervals"])
        assert row["n"] > 0
        assert row["seconds"] >= 0
        assert 0 <= row["metrics"]["accuracy"] <= 1
        if row["intervals"]["accuracy"]:
            low, high = row["intervals"]["accuracy"]
            assert low <= row["metrics"]["accuracy"] + 1e-9
            assert row["metrics"]["accuracy"] <= high + 1e-9


def test_rows_can_be_recomputed_from_the_predictions(finished: Path) -> None:
    for row in results(finished)["rows"]:
        part = Predictions.load(finished / row["step"] / "predictions.parquet").of(row["split"])
        assert len(part) == row["n"]
        accuracy = float(np.mean(part.predicted == part.labels))
        assert row["metrics"]["accuracy"] == pytest.approx(accuracy)


def test_no_group_of_a_grouped_result_is_on_two_sides(finished: Path) -> None:
    for row in results(finished)["rows"]:
        if row["protocol"] != "grouped":
            continue
        frame = Predictions.load(finished / row["step"] / "predictions.parquet").frame
        assert (frame.groupby("group")["split"].nunique() == 1).all()


def test_predictions_are_on_the_splits_images(finished: Path) -> None:
    for row in results(finished)["rows"]:
        split = Split.load(finished / "splits" / f"{row['protocol']}.json")
        part = Predictions.load(finished / row["step"] / "predictions.parquet").of(row["split"])
        ids = set(part.frame["image_id"])
        if row["split"] == "train" and row["label_fraction"] < 1:
            assert ids < set(split.train)
        else:
            assert ids == set(split.ids(row["split"]))


def test_the_record_says_what_was_run_on_what(finished: Path) -> None:
    study = results(finished)["study"]
    assert study["protocols"] == ["grouped", "paper"]
    for protocol, facts in study["splits"].items():
        split = Split.load(finished / facts["file"])
        assert (split.protocol, split.digest) == (protocol, facts["digest"])
        assert facts["images"] == {part: len(split.ids(part)) for part in ("train", "val", "test")}
    assert study["reasons"]["pretrain.epochs"] == "set by hand"
    assert (finished / study["best"]["classifier"]).is_file()
    assert study["failed"] == []
    store = ImageStore.open(finished / "store")
    assert study["classes"] == list(store.classes)


def test_the_best_classifier_is_chosen_on_validation(finished: Path) -> None:
    content = results(finished)
    rows = [r for r in content["rows"] if (r["protocol"], r["split"]) == ("grouped", "val")]
    best = max(rows, key=lambda row: row["metrics"]["f1_macro"])
    chosen = [r for r in rows if r["step"] == content["study"]["best"]["step"]]
    assert chosen[0]["metrics"]["f1_macro"] == best["metrics"]["f1_macro"]


def test_the_paper_protocol_shows_copies_on_both_sides(finished: Path) -> None:
    split = Split.load(finished / "splits" / "paper.json")
    train = {image.split("+")[0] for image in split.train}
    assert train & {image.split("+")[0] for image in split.test}
    balanced = pd.read_parquet(finished / "store-paper" / "manifest.parquet")
    assert balanced["label"].value_counts().nunique() == 1


def test_finished_steps_are_never_run_again(
    finished: Path, unbalanced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {file: file.stat().st_mtime_ns for file in (finished / "steps").rglob("*")}
    rows = results(finished)["rows"]

    def forbidden(*_args: object, **_options: object) -> None:
        raise AssertionError("a finished step was run again")

    for name in ("pretrain", "probe_stage", "finetune_stage", "scan", "prepare"):
        monkeypatch.setattr(module, name, forbidden)
    Study(plan_for(unbalanced), finished, Terminal(quiet=True)).run()
    assert before == {file: file.stat().st_mtime_ns for file in (finished / "steps").rglob("*")}
    assert results(finished)["rows"] == rows


def test_rows_hold_all_that_can_be_recomputed(finished: Path) -> None:
    """Metrics, intervals and classes of a row follow from its predictions alone."""
    settings, _ = load_settings("quick", FAST)
    for row in results(finished)["rows"]:
        predictions = Predictions.load(finished / row["step"] / "predictions.parquet")
        again = {r["split"]: r for r in result_rows(predictions, {}, settings.evaluation)}
        for key in ("n", "metrics", "intervals", "per_class"):
            assert row[key] == again[row["split"]][key]


def test_a_study_that_finished_nothing_may_be_begun_anew(unbalanced: Path, tmp_path: Path) -> None:
    settings, _ = load_settings("quick", [*FAST, "encoder.name=resnet1888"])
    plan = plan_for(unbalanced, protocols=("grouped",), label_fractions=(1.0,), methods=())
    with pytest.raises(BrainsslError, match=r"encoder\.name"):
        Study(replace(plan, settings=settings), tmp_path / "out", Terminal(quiet=True)).run()
    Study(plan, tmp_path / "out", Terminal(quiet=True)).run()


def test_another_source_in_the_same_folder_is_refused(finished: Path, shared_folder: Path) -> None:
    with pytest.raises(BrainsslError, match="another source"):
        Study(plan_for(shared_folder), finished, Terminal(quiet=True)).run()


def test_another_study_in_the_same_folder_is_refused(finished: Path, unbalanced: Path) -> None:
    settings, _ = load_settings("quick", [*FAST, "pretrain.learning_rate=0.5"])
    other = plan_for(unbalanced, settings=settings)
    with pytest.raises(BrainsslError, match=r"pretrain\.learning_rate.*choose another folder"):
        Study(other, finished, Terminal(quiet=True)).run()


def test_a_failed_step_is_reported_and_the_others_go_on(
    unbalanced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(module, "pretrain", broken)
    plan = plan_for(unbalanced, protocols=("grouped",), label_fractions=(1.0,))
    out = tmp_path / "out"
    Study(plan, out, Terminal(quiet=True)).run()
    content = results(out)
    failed = {failure["step"]: failure["error"] for failure in content["study"]["failed"]}
    assert failed["pretrain-simclr-grouped-s0"] == "out of memory"
    trace = (out / "failed" / "pretrain-simclr-grouped-s0.txt").read_text()
    assert "RuntimeError" in trace
    assert set(failed) == {
        "pretrain-simclr-grouped-s0",
        "linear-simclr-grouped-f1-s0",
        "finetune-simclr-grouped-f1-s0",
    }
    assert {row["method"] for row in content["rows"]} == {"untrained", "supervised"}

    monkeypatch.undo()
    Study(plan, out, Terminal(quiet=True)).run()
    assert results(out)["study"]["failed"] == []
    assert {row["method"] for row in results(out)["rows"]} == {"untrained", "simclr", "supervised"}


def test_a_prepared_store_is_a_source(finished: Path, tmp_path: Path) -> None:
    plan = plan_for(finished / "store", protocols=("grouped",), label_fractions=(1.0,), methods=())
    Study(plan, tmp_path / "out", Terminal(quiet=True)).run()
    again, first = results(tmp_path / "out")["study"], results(finished)["study"]
    assert again["splits"]["grouped"]["digest"] == first["splits"]["grouped"]["digest"]

"""The study: a complete grid, results as specified, finished steps never run again."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from oracles.fork_server import command, fork_server
from oracles.small_plan import small_plan
from oracles.steps_alone import work
from safetensors.torch import load_file

from brainssl.data.dataset import Data
from brainssl.data.split import Split
from brainssl.data.store import ImageStore
from brainssl.evaluation.metrics import METRICS
from brainssl.evaluation.predictions import Predictions
from brainssl.evaluation.rows import result_rows
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import locked
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import whole_folder, working_folder
from brainssl.hardware.device import precision_of
from brainssl.settings import load_settings
from brainssl.settings.sections import RunSettings
from brainssl.studies import preparation
from brainssl.studies import steps as module
from brainssl.studies.grid import grid
from brainssl.studies.identity import finished_steps
from brainssl.studies.journal import Journal, read_log
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared
from brainssl.studies.run import Study
from brainssl.training.classical import FAMILIES
from brainssl.training.untrained import untrained_encoder

FAST = [
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "pretrain.epochs=1",
    "pretrain.batch_size=8",
    "probe.epochs=5",
    "finetune.epochs=1",
    "finetune.min_epoch_steps=0",
    "finetune.batch_size=8",
    "evaluation.draws=50",
    "split.val_fraction=0.2",
    "split.test_fraction=0.2",
    "run.accelerator=cpu",
]


def plan_for(source: Path, **changes: Any) -> Plan:
    plan = small_plan(source, FAST, protocols=("grouped", "paper"), label_fractions=(0.5, 1.0))
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
    } | {
        ("random_labels", "linear", protocol, 1.0, 0, split)
        for protocol in ("grouped", "paper")
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


def test_the_controls_have_one_encoder_whose_statistics_are_those_of_images(
    finished: Path, unbalanced: Path
) -> None:
    settings = plan_for(unbalanced).settings
    for protocol, store in (("grouped", "store"), ("paper", "store-paper")):
        split = Split.load(finished / "splits" / f"{protocol}.json")
        data = Data(ImageStore.open(finished / store), split)
        expected = untrained_encoder(data, settings, 0).state_dict()
        for control, fraction in (("untrained", "0.5"), ("untrained", "1"), ("random_labels", "1")):
            step = finished / "steps" / f"linear-{control}-{protocol}-f{fraction}-s0"
            found = load_file(step / "classifier.safetensors")
            for name, value in expected.items():
                assert torch.equal(found[f"encoder.{name}"], value), (control, name)


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


def test_the_record_says_how_exactly_and_where_the_time_went(finished: Path) -> None:
    study = results(finished)["study"]
    own = precision_of(RunSettings(accelerator="cpu"))
    assert study["environment"]["precision"] == own.name
    assert study["environment"]["precision_reason"] == own.reason
    spent = {one["what"]: one for one in study["time"]}
    assert {what for what, one in spent.items() if one["training"]} == {
        "pretraining",
        "linear probes",
        "fine-tuning",
        "supervised training",
    }
    log = read_log(finished)
    assert sum(one["steps"] for one in spent.values()) == len(log)
    trained = sum(one["seconds"] for one in spent.values() if one["training"])
    assert trained == pytest.approx(sum(note["seconds"] for note in log.values()), abs=0.3)
    assert {"reading", "analysis", "report"} <= set(spent)
    page = (finished / "report.html").read_text("utf-8")
    assert "Where the time went" in page


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

    for name in ("pretrain", "probe_stage", "finetune_stage"):
        monkeypatch.setattr(module, name, forbidden)
    for name in ("scan", "prepare", "balance", "make_split"):
        monkeypatch.setattr(preparation, name, forbidden)
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
    unbalanced: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_args: object, **_options: object) -> None:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(module, "pretrain", broken)
    plan = plan_for(unbalanced, protocols=("grouped",), label_fractions=(1.0,))
    out = tmp_path / "out"
    Study(plan, out, Terminal()).run()
    content = results(out)
    pretraining, trace = "pretrain-simclr-grouped-s0", "failed/pretrain-simclr-grouped-s0.txt"
    undone = ("linear-simclr-grouped-f1-s0", "finetune-simclr-grouped-f1-s0")
    because = f"not done, because {pretraining} failed"
    assert content["study"]["failed"] == [
        {"step": pretraining, "error": "out of memory", "trace": trace},
        *({"step": step, "error": because, "trace": trace} for step in undone),
    ]
    assert "RuntimeError" in (out / trace).read_text()
    assert len(list((out / "failed").iterdir())) == 1
    said = capsys.readouterr().err
    assert f"[3/6] {pretraining}: FAILED: out of memory" in said
    assert f"{because}: {', '.join(undone)}\n" in said
    assert {row["method"] for row in content["rows"]} == {
        "untrained",
        "random_labels",
        "supervised",
    }

    monkeypatch.undo()
    Study(plan, out, Terminal(quiet=True)).run()
    assert results(out)["study"]["failed"] == []
    assert not (out / trace).exists()
    assert {row["method"] for row in results(out)["rows"]} == {
        "untrained",
        "random_labels",
        "simclr",
        "supervised",
    }


def test_classical_baselines_stand_beside_the_networks(
    shared_store: ImageStore, tmp_path: Path
) -> None:
    plan = plan_for(
        shared_store.path,
        protocols=("grouped",),
        label_fractions=(1.0,),
        methods=(),
        classical=True,
    )
    out = tmp_path / "out"
    page = Study(plan, out, Terminal(quiet=True)).run()
    content = results(out)
    assert content["study"]["failed"] == []
    own = [row for row in content["rows"] if row["method"] in FAMILIES]
    assert len(own) == len(FAMILIES) * 3
    assert {row["stage"] for row in own} == {"supervised"}
    assert all(row["chosen"] for row in own)
    for row in own:
        assert row["step"] == f"steps/classical-{row['method']}-grouped-f1-s0"
        assert (out / row["step"] / "predictions.parquet").is_file()
    best = content["study"]["best"]["classifier"]
    assert (out / best).is_file()
    # The squares of the shared store are easier for edges than for a network of one epoch.
    said = page.read_text("utf-8")
    assert "on hand-made features: " in said
    assert "the best network" in said
    assert "Nearest neighbours" in said
    assert "best network" in (out / "model-card.md").read_text("utf-8")
    spent = {one["what"]: one["steps"] for one in content["study"]["time"]}
    assert spent["classical baselines"] == len(FAMILIES)
    Study(replace(plan, classical=False), out, Terminal(quiet=True)).run()
    assert not [row for row in results(out)["rows"] if row["method"] in FAMILIES]


def test_a_prepared_store_is_a_source(finished: Path, tmp_path: Path) -> None:
    plan = plan_for(finished / "store", protocols=("grouped",), label_fractions=(1.0,), methods=())
    Study(plan, tmp_path / "out", Terminal(quiet=True)).run()
    again, first = results(tmp_path / "out")["study"], results(finished)["study"]
    assert again["splits"]["grouped"]["digest"] == first["splits"]["grouped"]["digest"]


def test_a_damaged_step_is_done_again(
    finished: Path, unbalanced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, name = tmp_path / "out", "linear-simclr-grouped-f1-s0"
    shutil.copytree(finished, out)
    file = out / "steps" / name / "classifier.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    Study(plan_for(unbalanced), out, Terminal()).run()
    said = capsys.readouterr().err.splitlines()
    warnings = [line for line in said if line.startswith("warning: ")]
    assert len(warnings) == 1
    assert str(file) in warnings[0]
    steps = [line for line in said if line.startswith("[") and ": done in" in line]
    assert [line.partition("] ")[2].partition(":")[0] for line in steps] == [name]
    assert (out / "damaged" / name / "classifier.safetensors").read_bytes() == content
    before = load_file(finished / "steps" / name / "classifier.safetensors")
    after = load_file(file)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert results(out)["study"]["failed"] == []


@pytest.fixture(scope="module")
def shared(unbalanced: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A study that was started twice at once, and what each process said."""
    out = tmp_path_factory.mktemp("shared study") / "out"
    words = ["study", str(unbalanced), str(out), "--methods", "simclr"]
    words += ["--label-fractions", "0.5,1", "--seeds", "1", "--no-classical"]
    words += [word for override in FAST for word in ("--set", override)]
    files = [out.parent / f"{number}.txt" for number in range(2)]
    # Another number of threads adds in another order.
    threads, context = torch.get_num_threads(), fork_server()
    both = [context.Process(target=command, args=(words, file, threads)) for file in files]
    for process in both:
        process.start()
    for process in both:
        process.join(600)
    said = [file.read_text() for file in files]
    assert [process.exitcode for process in both] == [0, 0], said
    return out, said


def test_who_is_started_second_waits_and_does_nothing_again(
    shared: tuple[Path, list[str]], unbalanced: Path
) -> None:
    out, said = shared
    assert sum("runs this study: waiting until it ends" in text for text in said) == 1
    steps = [step.name for step in grid(plan_for(unbalanced, protocols=("grouped",)))]
    lines = [line for text in said for line in text.splitlines()]
    for number, name in enumerate(steps, start=1):
        title = f"[{number}/{len(steps)}] {name}: done in "
        assert len([line for line in lines if line.startswith(title)]) == 1, name
    for task in ("scan", "audit", "prepare"):
        assert len([line for line in lines if line.startswith(f"{task}: done")]) == 1
    assert sorted(read_log(out)) == sorted(steps)
    assert finished_steps(out) == set(steps)
    assert not [entry for entry in (out / "steps").iterdir() if entry.name.startswith(".")]


def test_two_processes_end_with_the_results_of_one(
    shared: tuple[Path, list[str]], finished: Path
) -> None:
    out, _ = shared
    content = results(out)
    assert content["study"]["failed"] == []
    assert (out / "report.html").is_file()
    numbers = [
        {row["step"] + row["split"]: row["metrics"] for row in rows if row["protocol"] == "grouped"}
        for rows in (content["rows"], results(finished)["rows"])
    ]
    assert numbers[0] == numbers[1]


@dataclass
class Fakes:
    """Stands for the stages: makes a folder for each step, and calls `then` with its name."""

    made: list[str] = field(default_factory=list)
    then: Callable[[str], object] = lambda name: None

    def make(self, folder: Path) -> None:
        with whole_folder(folder):
            self.made.append(folder.name)
        self.then(folder.name)


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Fakes:
    fakes = Fakes()
    for stage in ("pretrain", "probe_stage", "finetune_stage"):
        monkeypatch.setattr(module, stage, lambda _data, _what, folder, **_: fakes.make(folder))
    monkeypatch.setattr(module, "load_encoder", lambda _path: None)
    return fakes


@pytest.fixture
def begun(shared_store: ImageStore, tmp_path: Path) -> Study:
    """A study of five steps that is prepared."""
    plan = plan_for(shared_store.path, protocols=("grouped",), label_fractions=(1.0,))
    study = Study(plan, tmp_path / "out", Terminal())
    with prepared(plan, study.out, Terminal(quiet=True)):
        pass
    return study


UNTRAINED = "linear-untrained-grouped-f1-s0"
RANDOM = "linear-random_labels-grouped-f1-s0"
PRETRAINING = "pretrain-simclr-grouped-s0"
LINEAR = "linear-simclr-grouped-f1-s0"
TUNED = "finetune-simclr-grouped-f1-s0"
LAST = "supervised-grouped-f1-s0"


def test_the_process_takes_the_steps_in_their_order(begun: Study, fakes: Fakes) -> None:
    work(begun.plan, begun.out)
    assert fakes.made == [UNTRAINED, RANDOM, PRETRAINING, LINEAR, TUNED, LAST]


def test_what_failed_in_an_earlier_run_is_tried_again(begun: Study, fakes: Fakes) -> None:
    Journal(begun.out, "", 0.0).fail(PRETRAINING, RuntimeError("out of memory"))
    work(begun.plan, begun.out)
    assert fakes.made == [UNTRAINED, RANDOM, PRETRAINING, LINEAR, TUNED, LAST]


def test_a_process_that_was_cut_off_and_is_still_at_a_step_is_waited_for(
    begun: Study, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that runs the study is no more, and the one that does a step ends a moment later."""
    other = ExitStack()
    other.enter_context(locked(working_folder(begun.out / "steps" / PRETRAINING) / ".lock"))
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: other.close())
    work(begun.plan, begun.out)
    assert fakes.made == [UNTRAINED, RANDOM, PRETRAINING, LINEAR, TUNED, LAST]
    assert not (begun.out / "failed").exists()


def test_what_it_has_just_made_is_used(
    begun: Study, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ExitStack()
    other.enter_context(whole_folder(begun.out / "steps" / PRETRAINING))
    monkeypatch.setattr(module.time, "sleep", lambda _seconds: other.close())
    work(begun.plan, begun.out)
    assert fakes.made == [UNTRAINED, RANDOM, LINEAR, TUNED, LAST]


def test_a_lock_that_nobody_gives_free_fails_the_step_alone(
    begun: Study, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.0)
    with locked(working_folder(begun.out / "steps" / RANDOM) / ".lock"):
        work(begun.plan, begun.out)
    assert fakes.made == [UNTRAINED, PRETRAINING, LINEAR, TUNED, LAST]
    assert "another process is at work" in (begun.out / "failed" / f"{RANDOM}.txt").read_text()

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from brainssl.data.shots import Shots
from brainssl.reporting.study import read_study
from brainssl.reporting.trainings import histories, resolved, trainings, watches


def test_the_baselines_step_names_no_method(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], methods=[], fractions=[0.1], seeds=1)
    path = folder / "steps" / "supervised-grouped-f0.1-s0" / "history.csv"
    path.write_text("epoch,train_loss,val_loss\n1,0.5,\n", encoding="utf-8")
    (history,) = histories(read_study(folder))
    assert (history.training.stage, history.training.method) == ("supervised", "supervised")
    assert history.training.title == "Supervised baseline, 10\u00a0% of labels, seed 0"
    assert (history.train_loss, history.val_loss) == ([0.5], [None])


def test_steps_of_shots_are_read_by_their_names(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[Shots(2), Shots(8), 0.5, 1.0], seeds=1)
    found = [
        (t.stage, t.method, t.protocol, t.label_fraction) for t in trainings(read_study(folder))
    ]
    for stage, method in (("finetune", "simclr"), ("supervised", "supervised")):
        read = [fraction for *step, fraction in found if step == [stage, method, "grouped"]]
        assert read == ["2-shot", "8-shot", 0.5, 1.0]
    titles = {training.title for training in trainings(read_study(folder))}
    assert "Supervised baseline, 8 labels a class, seed 0" in titles


def test_steps_tell_their_start_by_their_names(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1)
    marked = ("pretrain-simclr", "finetune-simclr", "supervised")
    for name in marked:
        (step,) = (folder / "steps").glob(f"{name}-grouped-*")
        shutil.copytree(
            step, step.with_name(step.name.replace("-grouped", "-from-rad_net-grouped"))
        )
    # What was begun with weights that the study no longer speaks of is left out.
    plain = trainings(read_study(folder))
    assert [training.start for training in plain] == [""] * len(plain)
    held = json.loads((folder / "results.json").read_text("utf-8"))
    held["study"]["starts"] = [{"name": "random"}, {"name": "rad net"}]
    own = [{**row, "start": "random"} for row in held["rows"]]
    for row in own[:]:
        step = row["step"].replace("-grouped", "-from-rad_net-grouped")
        own.append({**row, "start": "rad net", "step": step})
    held["rows"] = own
    (folder / "results.json").write_text(json.dumps(held), encoding="utf-8")
    found = [(t.stage, t.method, t.start) for t in trainings(read_study(folder)) if t.start]
    expected = [("pretrain", "simclr"), ("finetune", "simclr"), ("supervised", "supervised")]
    assert [one for one in found if one[2] == "rad net"] == [(*one, "rad net") for one in expected]
    assert {("linear", "simclr", "random"), ("pretrain", "simclr", "random")} <= set(found)
    titles = {training.title for training in trainings(read_study(folder))}
    assert "SimCLR from rad net, seed 0" in titles


def test_histories_read_every_loss_and_leave_empty_ones_none(study: Path) -> None:
    found = list(histories(read_study(study)))
    assert {history.training.stage for history in found} == {"pretrain", "finetune", "supervised"}
    pretraining = next(h for h in found if h.training.stage == "pretrain")
    assert pretraining.val_loss == [None] * 20
    assert pretraining.training.title == "SimCLR, seed 0"
    tuned = next(h for h in found if h.training.folder.name == "finetune-simclr-grouped-f0.1-s1")
    assert tuned.training.title == "SimCLR, 10\u00a0% of labels, seed 1"
    assert None not in tuned.train_loss + tuned.val_loss


def test_steps_of_a_larger_grid_are_left_out(make_study: Callable[..., Path]) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0])
    before = trainings(read_study(folder))
    for old, new in (
        ("pretrain-simclr-grouped-s0", "pretrain-simclr-grouped-s2"),
        ("pretrain-simclr-grouped-s0", "pretrain-byol-grouped-s0"),
        ("pretrain-simclr-grouped-s0", "pretrain-simclr-paper-s0"),
        ("finetune-simclr-grouped-f1-s0", "finetune-simclr-grouped-f0.1-s0"),
        ("finetune-simclr-grouped-f1-s0", "no step"),
    ):
        shutil.copytree(folder / "steps" / old, folder / "steps" / new)
    assert trainings(read_study(folder)) == before
    assert len(before) == 10


def test_watches_come_in_the_order_of_the_study(grid: Path) -> None:
    found = watches(read_study(grid))
    assert [watch.training.title for watch in found[:4]] == [
        "SimCLR, seed 0",
        "SimCLR, seed 1",
        "BYOL, seed 0",
        "BYOL, seed 1",
    ]
    assert len(found) == 12
    (failed,) = (watch for watch in found if watch.verdict)
    assert failed.training.title == "DINO, seed 1"
    assert str(failed.verdict).startswith("since epoch 4, all images")
    raw = json.loads((failed.training.folder / "collapse.json").read_text(encoding="utf-8"))
    assert failed.before("spread") == raw["epochs"][0]["spread"]
    assert failed.after("teacher_entropy") == raw["epochs"][-1]["teacher_entropy"]
    assert failed.k == 5


@pytest.mark.parametrize(
    "content", [None, "", "[]", "{}", '{"epochs": [], "verdict": null, "k": 1}']
)
def test_a_pretraining_that_nobody_watched_is_none(
    make_study: Callable[..., Path], content: str | None
) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0])
    path = folder / "steps" / "pretrain-simclr-grouped-s0" / "collapse.json"
    if content is None:
        path.unlink()
    else:
        path.write_text(content, encoding="utf-8")
    assert [watch.training.seed for watch in watches(read_study(folder))] == [1]


def test_a_resumed_watch_need_not_know_the_untrained_network(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1)
    path = folder / "steps" / "pretrain-simclr-grouped-s0" / "collapse.json"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["epochs"] = raw["epochs"][1:]
    path.write_text(json.dumps(raw), encoding="utf-8")
    (watch,) = watches(read_study(folder))
    assert watch.before("spread") is None


def test_resolved_values_are_read_where_there_are_some(grid: Path) -> None:
    found = resolved(read_study(grid))
    assert {one.name for one in found} == {"byol.momentum", "dino.momentum", "mocov3.momentum"}
    assert {one.value for one in found} == {0.9881203138880518}
    assert len(found) == 6


def test_of_a_search_the_trainings_behind_the_chosen_models_are_shown(
    make_study: Callable[..., Path],
) -> None:
    folder = make_study(classes=["a", "b"], fractions=[1.0], seeds=1)
    steps = folder / "steps"
    shutil.copytree(steps / "pretrain-simclr-grouped-s0", steps / "pretrain-simclr-grouped-s0-t2")
    shutil.copytree(steps / "pretrain-simclr-grouped-s0", steps / "pretrain-simclr-grouped-s0-t3")
    before = [t.folder.name for t in trainings(read_study(folder))]
    assert not [name for name in before if name.endswith(("-t2", "-t3"))]  # of another run

    held = json.loads((folder / "results.json").read_text())
    held["study"]["tuning"] = {"trials": 3, "searches": []}
    for name, trial in (("linear-simclr", 1), ("finetune-simclr", 2)):
        old, new = f"{name}-grouped-f1-s0", f"tuned3-{name}-grouped-f1-s0"
        shutil.copytree(steps / old, steps / new)
        for row in held["rows"]:
            if row["step"] == f"steps/{old}":
                row |= {"step": f"steps/{new}", "trial": trial, "trials": 3}
    (folder / "results.json").write_text(json.dumps(held))
    found = {t.folder.name: t for t in trainings(read_study(folder))}
    pretrained = {name for name in found if name.startswith("pretrain-")}
    assert pretrained == {"pretrain-simclr-grouped-s0", "pretrain-simclr-grouped-s0-t2"}
    assert found["pretrain-simclr-grouped-s0-t2"].title == "SimCLR, seed 0, trial 2"
    tuned = found["tuned3-finetune-simclr-grouped-f1-s0"]
    assert (tuned.stage, tuned.method, tuned.seed, tuned.trial) == ("finetune", "simclr", 0, 1)
    assert "finetune-simclr-grouped-f1-s0" not in found

"""A step that one machine began goes on on another, from its checkpoint."""

import os
import threading
import time
from pathlib import Path

import pytest

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.storage import working_folder
from brainssl.studies.scheduling import away
from brainssl.studies.scheduling.depot import Depot
from brainssl.training.trainer import CHECKPOINT


@pytest.fixture
def depot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Depot:
    monkeypatch.setattr(away, "_SEND_SECONDS", 0.01)
    return Depot(f"file://{tmp_path}/depot")


def machine(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    return folder


def arrived(depot: Depot, key: str) -> None:
    deadline = time.monotonic() + 30
    while not depot.has(key):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def finish(folder: Path, name: str) -> None:
    (folder / "steps" / name).mkdir(parents=True)
    (folder / "steps" / name / "rows.json").write_text("[]")
    (folder / "log").mkdir(exist_ok=True)
    (folder / "log" / f"{name}.json").write_text("{}")


def test_a_step_goes_on_where_another_machine_left_it(depot: Depot, tmp_path: Path) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    working = working_folder(one / "steps" / "train")
    with away.begun_from(depot, "train", [], one):
        working.mkdir(parents=True)
        (working / "request.json").write_text("{}")
        (working / ".lock").touch()
        (working / CHECKPOINT).write_text("of epoch 7")
        arrived(depot, "begun/train")
    there = working_folder(two / "steps" / "train")
    with away.begun_from(depot, "train", [], two):
        found = {file.name: file.read_text() for file in there.iterdir()}
        assert found == {"request.json": "{}", CHECKPOINT: "of epoch 7"}
        there.rename(two / "steps" / "made")
        finish(two, "train")
    away.send_step(depot, "train", two)
    assert not depot.has("begun/train")
    assert away.fetch_step(depot, "train", one)
    assert (one / "log" / "train.json").is_file()


def test_what_a_step_needs_is_there_before_it(depot: Depot, tmp_path: Path) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    finish(one, "pretrain")
    away.send_step(depot, "pretrain", one)
    with away.begun_from(depot, "probe", ["pretrain"], two):
        assert (two / "steps" / "pretrain" / "rows.json").is_file()


def test_a_step_whose_note_is_lost_is_sent_all_the_same(depot: Depot, tmp_path: Path) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    finish(one, "pretrain")
    (one / "log" / "pretrain.json").unlink()
    away.send_step(depot, "pretrain", one)
    assert away.fetch_step(depot, "pretrain", two)
    assert (two / "steps" / "pretrain" / "rows.json").is_file()


def test_what_a_step_needs_and_nobody_sent_is_named(depot: Depot, tmp_path: Path) -> None:
    one = machine(tmp_path, "one")
    begun = away.begun_from(depot, "probe", ["pretrain"], one)
    with pytest.raises(BrainsslError, match="lacks the step pretrain"):
        begun.__enter__()


def test_an_older_checkpoint_here_gives_way(depot: Depot, tmp_path: Path) -> None:
    """Another machine went on from it, and was lost, too."""
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    for folder, told in ((one, "of epoch 3"), (two, "of epoch 50")):
        working = working_folder(folder / "steps" / "train")
        working.mkdir(parents=True)
        (working / CHECKPOINT).write_text(told)
    depot.put("begun/train", {"steps/.train.partial": working})
    with away.begun_from(depot, "train", [], one):
        here = working_folder(one / "steps" / "train")
        assert (here / CHECKPOINT).read_text() == "of epoch 50"


def test_why_a_step_failed_is_told_as_of_when_it_was(tmp_path: Path) -> None:
    one, two, three = (machine(tmp_path, name) for name in ("one", "two", "three"))
    (one / "failed").mkdir()
    (one / "failed" / "train.txt").write_text("out of memory")
    os.utime(one / "failed" / "train.txt", (1000, 1000))
    traces = away.traces_in(one)
    away.keep_trace(two, "train", *traces["train"])
    assert away.traces_in(two) == traces == {"train": ("out of memory", 1000)}
    away.keep_trace(three, "train", "out of memory")
    assert away.traces_in(three)["train"][1] > 1000


def test_the_ground_is_sent_and_fetched_once(
    depot: Depot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    (one / "splits").mkdir()
    (one / "splits" / "grouped.json").write_text("{}")
    content = {"splits": one / "splits"}
    with pytest.raises(BrainsslError, match="holds nothing of this study"):
        away.fetch_ground(depot, content, two)
    away.send_ground(depot, content)
    away.fetch_ground(depot, content, two)
    assert (two / "splits" / "grouped.json").read_text() == "{}"
    monkeypatch.setattr(Depot, "put", None)  # nobody sends or fetches it again
    monkeypatch.setattr(Depot, "fetch", None)
    away.send_ground(depot, content)
    away.fetch_ground(depot, content, two)
    name = away.name_of(content)
    (one / "splits" / "grouped.json").write_text('{"other": 1}')
    assert away.name_of(content) != name


def test_processes_of_a_machine_take_nothing_from_each_other(depot: Depot, tmp_path: Path) -> None:
    """What two steps need is fetched once, and then is not touched."""
    one, two = machine(tmp_path, "one"), machine(tmp_path, "two")
    finish(one, "pretrain")
    away.send_step(depot, "pretrain", one)
    found: list[int] = []

    def step(name: str) -> None:
        with away.begun_from(Depot(depot.url), name, ["pretrain"], two):
            found.append((two / "steps" / "pretrain").stat().st_ino)

    threads = [threading.Thread(target=step, args=(f"probe-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1

"""What steps share: made once, by one process at a time, and nothing is left of a failure."""

import os
import socket
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from oracles.small_plan import small_plan

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.locks import BusyError, locked
from brainssl.foundation.progress import Terminal
from brainssl.studies import preparation
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared

QUIET = Terminal(quiet=True)


@pytest.fixture
def plan(image_folder: Path) -> Plan:
    overrides = ["encoder.image_size=32", "split.val_fraction=0.2", "split.test_fraction=0.2"]
    return small_plan(image_folder, overrides, protocols=("grouped", "paper"))


def test_who_comes_second_waits_until_the_first_has_ended_and_makes_nothing_again(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, scan = tmp_path / "out", preparation.scan
    scanning, go_on, waiting = threading.Event(), threading.Event(), threading.Event()
    scans, grounds = [], []

    def slow(*args: object, **options: object) -> object:
        scans.append(args)
        scanning.set()
        assert go_on.wait(10)
        return scan(*args, **options)  # type: ignore[arg-type]

    class Told(Terminal):
        def say(self, text: str) -> None:
            if f"another process ({os.getpid()} on {socket.gethostname()}) runs this" in text:
                waiting.set()

    def other() -> None:
        with prepared(plan, out, Told(quiet=True)) as ground:
            grounds.append(ground)

    monkeypatch.setattr(preparation, "scan", slow)
    threads = [threading.Thread(target=other) for _ in range(2)]
    threads[0].start()
    assert scanning.wait(10)
    threads[1].start()
    assert waiting.wait(10)
    assert not grounds
    go_on.set()
    for thread in threads:
        thread.join()
    assert len(scans) == 1
    first, second = grounds
    assert first.audit == second.audit
    for protocol in plan.protocols:
        one, two = first.data[protocol, None], second.data[protocol, None]
        assert (one.store.checksum, one.split) == (two.store.checksum, two.split)


@pytest.mark.parametrize("labels", ["folder\nGlioma T1\n", "folder,label\nnowhere,x\n"])
def test_wrong_labels_leave_nothing(plan: Plan, tmp_path: Path, labels: str) -> None:
    table, out = tmp_path / "labels.csv", tmp_path / "out"
    table.write_text(labels)
    with (
        pytest.raises(BrainsslError, match=r"labels\.csv"),
        prepared(replace(plan, labels=table), out, QUIET),
    ):
        pass
    assert not out.exists()


def test_a_folder_of_something_else_is_not_touched(plan: Plan) -> None:
    before = sorted(plan.source.iterdir())
    with pytest.raises(BrainsslError, match="exists already"), prepared(plan, plan.source, QUIET):
        pass
    assert sorted(plan.source.iterdir()) == before


def test_a_study_under_way_is_not_taken_away(plan: Plan, tmp_path: Path) -> None:
    """It has no finished step yet, so its folder would be free if nobody was at work."""
    out, other = tmp_path / "out", replace(plan, seed=1)
    with prepared(plan, out, QUIET) as ground:
        seen = ground.data["grouped", None].store.path / "images.npy"
        with pytest.raises(BusyError, match="another study"), prepared(other, out, QUIET):
            pass
        assert seen.is_file()
    with prepared(other, out, QUIET) as ground:
        assert ground.data["grouped", None].split.seed == 1


def test_a_killed_preparation_is_no_obstacle(plan: Plan, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with locked(out / ".running.lock"):
        pass  # what a process that was killed at once leaves
    with prepared(plan, out, QUIET) as ground:
        assert (out / "study.json").stat().st_mtime == ground.journal.began

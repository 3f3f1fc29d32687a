"""Processes share steps and threads; one that dies is replaced; none outlives its parent."""

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import torch
from oracles.errands import Errands
from oracles.small_plan import FAST, small_plan
from oracles.steps_alone import made, work

from brainssl.data.store import ImageStore
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import working_folder
from brainssl.studies.grid import grid
from brainssl.studies.journal import read_log
from brainssl.studies.scheduling import processes
from brainssl.studies.scheduling.graph import Agenda, Node, Outcome
from brainssl.studies.scheduling.processes import Processes

WORKER = "brainssl.studies.scheduling.worker"
TESTS = str(Path(__file__).parents[2])


@pytest.fixture(autouse=True)
def errands_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let other processes import `oracles`."""
    paths = [TESTS, *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))


@pytest.fixture
def threads() -> Iterator[int]:
    had = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(had)


def workers(of: int | None = None) -> list[psutil.Process]:
    """Return the workers of a process, whose other children are of no concern here."""
    found = []
    for child in psutil.Process(of).children():
        with suppress(psutil.Error):
            found += [child] if WORKER in child.cmdline() else []
    return found


def soon(what: str, ask: object, seconds: float = 300.0) -> None:
    deadline = time.monotonic() + seconds
    while not ask():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def test_a_process_that_is_killed_changes_no_result(
    shared_store: ImageStore, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """All is as one process makes it, bit for bit, though one is killed as it pretrains."""
    overrides = [*FAST, "split.val_fraction=0.2", "pretrain.epochs=4"]
    plan = small_plan(shared_store.path, overrides)
    one, two, name = tmp_path / "one", tmp_path / "two", "pretrain-simclr-grouped-s0"
    lock = str(working_folder(two / "steps" / name) / ".lock")
    killed: list[int] = []

    def holders() -> list[psutil.Process]:
        found = []
        for worker in workers():
            with suppress(psutil.Error):
                found += [worker] if lock in {file.path for file in worker.open_files()} else []
        return found

    def kill() -> None:
        soon("nobody pretrains", holders)
        (holder,) = holders()
        killed.append(holder.pid)
        holder.kill()

    work(plan, one)
    killer = threading.Thread(target=kill)
    killer.start()
    work(plan, two, Processes(2), Terminal())
    killer.join()
    assert made(two) == made(one)
    assert killed
    assert not workers()
    said = capfd.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    assert f"a process was killed (SIGKILL) while it did {name}: done again in another" in lines
    steps = [step.name for step in grid(plan)]
    done = [line.partition(": done in")[0] for line in lines if ": done in" in line]
    assert sorted(done) == sorted(f"[{n}/{len(steps)}] {s}" for n, s in enumerate(steps, start=1))
    assert sorted(read_log(two)) == sorted(steps)


def test_a_step_that_kills_two_processes_has_failed_and_costs_the_others_nothing(
    tmp_path: Path,
) -> None:
    errands = Errands(tmp_path)
    nodes = [Node("deadly"), Node("after", ("deadly",)), *(Node(f"s{n}") for n in range(4))]
    agenda = Agenda(nodes)
    Processes(2).run(agenda, errands)
    assert agenda.outcomes == {
        "deadly": Outcome.FAILED,
        "after": Outcome.UNDONE,
        **{f"s{n}": Outcome.DONE for n in range(4)},
    }
    assert "2 processes died of it: the last was killed (SIGKILL)" in errands.given_up["deadly"]
    names = [name for name, _ in errands.done]
    assert sorted(names) == ["deadly", "deadly", "s0", "s1", "s2", "s3"]
    assert len({number for name, number in errands.done if name == "deadly"}) == 2


def test_a_folder_that_cannot_be_written_ends_the_study_with_one_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    agenda = Agenda([Node("unwritten"), *(Node(f"s{n}") for n in range(3))])
    with pytest.raises(BrainsslError, match=r"^study/failed: Read-only file system$"):
        Processes(2).run(agenda, Errands(tmp_path))
    assert "Traceback" not in capfd.readouterr().err


def test_probes_of_one_encoder_go_to_one_process_which_has_its_share_of_threads(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []
    popen = subprocess.Popen

    def seen(*words: object, env: dict[str, str], **options: object) -> object:
        started.append(env)
        return popen(*words, env=env, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(processes.subprocess, "Popen", seen)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    errands = Errands(tmp_path)
    names = [f"probe-{kind}-{n}" for n in range(6) for kind in ("a", "b")]
    Processes(2, devices=2).run(Agenda(map(Node, names)), errands)
    assert sorted(name for name, _ in errands.done) == sorted(names)
    # Who is left alone in the end may take what is the other's.
    last = {number: name for name, number in errands.done}
    changes = sum(
        one.split("-")[1] != two.split("-")[1]
        for number in last
        for own in [[name for name, by in errands.done if by == number]]
        for one, two in pairwise(own)
    )
    assert changes <= 1
    assert {env["OMP_NUM_THREADS"] for env in started} == {str(threads // 2)}
    assert [env["CUDA_VISIBLE_DEVICES"] for env in started] == ["0,1", "2,3"][: len(started)]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7,1,0")
    assert processes._shares(1) == ["5", "7", "1", "0"]
    assert processes._shares(3) == []


def test_after_an_interruption_no_process_goes_on(tmp_path: Path) -> None:
    class Interrupted(Terminal):
        def say(self, text: str) -> None:
            raise KeyboardInterrupt

    errands = Errands(tmp_path, Interrupted(quiet=True))
    with pytest.raises(KeyboardInterrupt):
        Processes(2).run(Agenda([Node("endless"), Node("soon")]), errands)
    assert not workers()


def test_processes_that_cannot_work_are_told_of_once(tmp_path: Path) -> None:
    class Unfit(Errands):
        def elsewhere(self) -> object:  # type: ignore[override]
            return sys.exit

    with pytest.raises(BrainsslError, match="no further process can be started: ended with code"):
        Processes(1).run(Agenda([Node("a")]), Unfit(tmp_path))


PARENT = """
import pickle, sys
from brainssl.foundation.progress import Terminal
from brainssl.studies.scheduling.graph import Agenda, Node
from brainssl.studies.scheduling.processes import Processes
Processes(1).run(Agenda([Node("endless")]), pickle.load(sys.stdin.buffer)(Terminal()))
"""


def test_processes_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    errands = Errands(tmp_path)
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE) as parent:
        assert parent.stdin
        pickle.dump(errands.elsewhere(), parent.stdin)
        parent.stdin.close()
        soon("no step was begun", lambda: errands.done or parent.poll() is not None)
        assert parent.poll() is None
        (child,) = workers(parent.pid)
        parent.kill()
    child.wait(60)

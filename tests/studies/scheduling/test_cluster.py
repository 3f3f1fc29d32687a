"""A Ray cluster: a machine is lost in the middle, and nothing else."""

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from oracles.ray_nodes import cluster
from oracles.small_plan import FAST, small_plan
from oracles.steps_alone import made, work

from brainssl import __version__
from brainssl.data.store import ImageStore
from brainssl.foundation import extras
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.studies.grid import grid
from brainssl.studies.journal import read_log
from brainssl.studies.scheduling.cluster import Cluster
from brainssl.studies.scheduling.on_node import Place, look

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")


@pytest.fixture
def two_machines(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a machine of one CPU computes
    with cluster(monkeypatch, 2) as machines:
        yield machines
    torch.set_num_threads(threads)


@needs_ray
@pytest.mark.filterwarnings("ignore")  # of what Ray does in its own threads
def test_a_machine_that_is_lost_changes_no_result(
    shared_store: ImageStore,
    tmp_path: Path,
    two_machines: Any,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """All is as one process makes it, bit for bit; what was done is not done again."""
    overrides = [*FAST, "split.val_fraction=0.2", "pretrain.epochs=10"]
    plan = small_plan(shared_store.path, overrides)
    one, two = tmp_path / "one", tmp_path / "two"
    steps = [step.name for step in grid(plan)]
    before: dict[Path, int] = {}

    (machine,) = two_machines.worker_nodes

    def lose() -> None:
        """Take the second machine away while a step is made there."""
        raylet = psutil.Process(machine.all_processes["raylet"][0].process.pid)
        deadline = time.monotonic() + 300
        while not any(map(at_work, raylet.children())):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        before.update({f: f.stat().st_mtime_ns for f in (two / "steps").glob("[!.]*/*")})
        two_machines.remove_node(machine, allow_graceful=False)

    work(plan, one)
    thief = threading.Thread(target=lose)
    thief.start()
    work(plan, two, _Connected(two_machines.address, two), Terminal())
    thief.join()
    assert not two_machines.worker_nodes
    assert made(two) == made(one)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    said = capfd.readouterr()
    assert said.out == ""
    done = [line.partition(": done in")[0] for line in said.err.splitlines() if ": done in" in line]
    assert sorted(done) == sorted(f"[{n}/{len(steps)}] {s}" for n, s in enumerate(steps, start=1))
    assert sorted(read_log(two)) == sorted(steps)
    assert not list(two.glob(".cluster.*"))


def at_work(process: psutil.Process) -> bool:
    """Tell whether a process makes a step."""
    with suppress(psutil.Error):
        return any(file.path.endswith(".partial/.lock") for file in process.open_files())
    return False


class _Connected(Cluster):
    """One that looks whether it can work, as a study lets it before it begins."""

    def run(self, *given: Any) -> None:
        self.check()
        super().run(*given)


@needs_ray
def test_where_no_cluster_answers_one_line_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    for address in ("auto", "127.0.0.1:9", "ray://127.0.0.1:9"):
        with pytest.raises(BrainsslError, match=r"no Ray cluster answers at .*127\.0\.0\.1:9"):
            Cluster(address, tmp_path).check()


def test_without_ray_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _name: None)
    with pytest.raises(BrainsslError, match=r"pip install 'brainssl\[cluster\]'"):
        Cluster("auto", tmp_path)


def test_a_machine_must_see_the_folder_and_have_the_same_version(tmp_path: Path) -> None:
    place = Place(tmp_path, ".cluster.1", str(tmp_path), __version__)
    assert "does not see" in str(look(place))
    (tmp_path / ".cluster.1").write_text(".cluster.0")
    assert str(tmp_path) in str(look(place))
    (tmp_path / ".cluster.1").write_text(".cluster.1")
    assert f"does not see {tmp_path / 'store'}" in str(look(place))
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.json").write_text("{}")
    assert look(place) is None
    assert "0.0.1 is wanted" in str(look(Place(*(tmp_path, ".cluster.1", ""), "0.0.1")))

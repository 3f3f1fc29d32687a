"""A Ray cluster: a machine is lost in the middle, and nothing else."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import pytest
import timm
import torch
from oracles.ray_nodes import cluster
from oracles.small_plan import FAST, small_plan
from oracles.steps_alone import made, work
from safetensors.torch import save_file

from brainssl import __version__
from brainssl.data.store import ImageStore
from brainssl.foundation import extras
from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Terminal
from brainssl.studies.grid import grid
from brainssl.studies.journal import read_log
from brainssl.studies.scheduling.cluster import Cluster
from brainssl.studies.scheduling.depot import Depot
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
@pytest.mark.thorough
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

    def before_lost() -> None:
        before.update({f: f.stat().st_mtime_ns for f in (two / "steps").glob("[!.]*/*")})

    (machine,) = two_machines.worker_nodes

    work(plan, one)
    thief = threading.Thread(target=lose, args=(two_machines, machine, before_lost))
    thief.start()
    work(plan, two, _Connected(two_machines.address, two), Terminal())
    thief.join()
    assert not two_machines.worker_nodes
    assert made(two) == made(one)
    assert {file: file.stat().st_mtime_ns for file in before} == before
    said = capfd.readouterr()
    assert said.out == ""
    done = [line.partition(": done")[0] for line in said.err.splitlines() if ": done" in line]
    assert sorted(line.rpartition(" ")[2] for line in done) == sorted(steps)  # each of them once
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


HIDING = """
import os, sys

hidden = os.environ["BRAINSSL_TEST_HIDDEN"].split(os.pathsep)


def refuse(event, given):
    if event in ("open", "os.chdir", "os.listdir", "os.scandir", "os.mkdir", "os.rename"):
        path = os.fsdecode(given[0]) if isinstance(given[0], (str, bytes)) else ""
        if any(path.startswith(one) for one in hidden):
            raise PermissionError(13, "another machine's", path)


# No path that is relative leads there, as no process can enter it.
sys.addaudithook(refuse)
"""


@pytest.fixture
def hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that no process sees which is started from now on."""
    (tmp_path / "sitecustomize.py").write_text(HIDING)
    folder = tmp_path / "hidden"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("BRAINSSL_TEST_HIDDEN", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # its sockets need short paths
    return folder


@needs_ray
@pytest.mark.filterwarnings("ignore")  # of what Ray does in its own threads
def test_machines_that_share_no_folder_make_the_same(
    shared_store: ImageStore,
    hidden: Path,
    tmp_path: Path,
    two_machines: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Source, weights and folder are on this machine alone, and a machine is lost."""
    source, weights = hidden / "source", hidden / "own" / "model.safetensors"
    shutil.copytree(shared_store.path, source)
    weights.parent.mkdir()
    save_file(timm.create_model("test_resnet", num_classes=0).state_dict(), weights)
    overrides = [*FAST, "split.val_fraction=0.2", "pretrain.epochs=10"]
    monkeypatch.chdir(weights.parent)  # where only this machine is: the others have no such folder
    plan = small_plan(source, overrides, starts=("random", f"./{weights.name}"))
    one, two, three = hidden / "one", hidden / "two", hidden / "three"
    storage = os.environ.get("BRAINSSL_TEST_STORAGE", f"file://{tmp_path}/depot")
    work(plan, one)
    (machine,) = two_machines.worker_nodes
    thief = threading.Thread(target=lose, args=(two_machines, machine))
    thief.start()
    work(plan, two, _Connected(two_machines.address, two, storage))
    thief.join()
    assert not two_machines.worker_nodes
    assert made(two) == made(one)
    assert sorted(read_log(two)) == sorted(step.name for step in grid(plan))
    objects = Depot(storage)._files.find(storage.removeprefix("file://"))
    assert {f"{step.name}.tar" for step in grid(plan)} < {Path(one).name for one in objects}
    assert not [one for one in objects if "/begun/" in one or ".cluster." in one]
    assert not list(two.glob(".fetched-*"))
    assert not list(tmp_path.glob("brainssl-*"))  # what the machines had fetched
    # Whose folder was lost, too, takes from the storage what was made.
    work(plan, three, _Connected(two_machines.address, three, storage))
    assert made(three) == made(one)
    noted = [(name, note["finished"]) for name, note in read_log(two).items()]
    assert [(name, note["finished"]) for name, note in read_log(three).items()] == noted
    # What was made without a storage is given to it, where others need it.
    for step in [folder.name for folder in (two / "steps").glob("[!.]*")]:
        if not step.startswith("pretrain"):
            shutil.rmtree(two / "steps" / step)
    work(plan, two, _Connected(two_machines.address, two, f"{storage}/other"))
    assert made(two) == made(one)


def lose(machines: Any, machine: Any, first: Callable[[], object] = lambda: None) -> None:
    """Take a machine away while a step is made there."""
    raylet = psutil.Process(machine.all_processes["raylet"][0].process.pid)
    deadline = time.monotonic() + 300
    while not any(map(at_work, raylet.children())):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    first()
    machines.remove_node(machine, allow_graceful=False)


@needs_ray
def test_a_storage_of_no_use_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(BrainsslError, match=r"^the storage file:///proc/none cannot be written"):
        Cluster("auto", tmp_path, "file:///proc/none").check()
    assert not list(tmp_path.iterdir())


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

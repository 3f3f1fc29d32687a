"""Workers: real processes that share the steps, the threads, and the fate of their parent."""

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from oracles.small_plan import small_plan

from brainssl.data.store import ImageStore
from brainssl.foundation.progress import Terminal
from brainssl.foundation.storage import is_busy
from brainssl.settings import load_settings
from brainssl.studies.grid import grid
from brainssl.studies.identity import finished_steps
from brainssl.studies.jobs import workers
from brainssl.studies.plan import Plan
from brainssl.studies.preparation import prepared

OVERRIDES = [
    "encoder.name=test_resnet",
    "encoder.image_size=32",
    "finetune.epochs=1",
    "finetune.min_epoch_steps=0",
    "evaluation.draws=20",
    "split.val_fraction=0.2",
    "split.test_fraction=0.2",
    "run.accelerator=cpu",
]


@pytest.fixture
def plan(shared_store: ImageStore) -> Plan:
    """A plan of two steps."""
    return small_plan(shared_store.path, OVERRIDES, methods=())


@pytest.fixture
def threads() -> Iterator[int]:
    had = torch.get_num_threads()
    torch.set_num_threads(4)
    yield 4
    torch.set_num_threads(had)


def own_workers() -> list[psutil.Process]:
    """Return the workers of this process, whose other children are of no concern here."""
    return [p for p in psutil.Process().children() if "brainssl.studies.jobs" in p.cmdline()]


def test_workers_do_the_steps_and_end(
    plan: Plan, tmp_path: Path, threads: int, capfd: pytest.CaptureFixture[str]
) -> None:
    out, steps = tmp_path / "out", {step.name for step in grid(plan)}
    with prepared(plan, out, Terminal(quiet=True)), workers(plan, out, 2):
        (child,) = own_workers()
        assert child.environ()["OMP_NUM_THREADS"] == "2" == str(threads // 2)
        assert torch.get_num_threads() == 2
        # This process does nothing of it.
        deadline = time.monotonic() + 300
        while finished_steps(out) != steps:
            assert child.is_running()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not child.is_running()
    assert torch.get_num_threads() == threads
    said = capfd.readouterr()
    assert said.out == ""
    assert [line.partition(": done in")[0] for line in said.err.splitlines()] == [
        f"[{number}/{len(steps)}] {step.name}" for number, step in enumerate(grid(plan), start=1)
    ]


def test_after_an_interruption_no_worker_goes_on(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), workers(plan, tmp_path / "out", 3):
        children = own_workers()
        assert len(children) == 2
        raise KeyboardInterrupt
    assert not [child for child in children if child.is_running()]


PARENT = """
import pickle, sys, time
from brainssl.studies.jobs import workers
plan, out = pickle.load(sys.stdin.buffer)
with workers(plan, out, 2):
    time.sleep(600)
"""


def test_workers_end_with_a_parent_that_is_killed(plan: Plan, tmp_path: Path) -> None:
    settings, _ = load_settings("quick", [*OVERRIDES, "pretrain.epochs=1000000"])
    endless, out = replace(plan, methods=("simclr",), settings=settings), tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE) as parent:
        assert parent.stdin
        pickle.dump((endless, out), parent.stdin)
        parent.stdin.close()
        deadline = time.monotonic() + 300
        while not is_busy(out / "steps" / "pretrain-simclr-grouped-s0"):
            assert parent.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
    child.wait(60)
    assert not is_busy(out / "steps" / "pretrain-simclr-grouped-s0")

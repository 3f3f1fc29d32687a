"""Further processes that work on a study beside the one that was started."""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from brainssl.foundation.errors import BrainsslError
from brainssl.foundation.progress import Lines
from brainssl.studies.plan import Plan
from brainssl.studies.run import Study


@contextmanager
def workers(plan: Plan, out: Path, jobs: int) -> Iterator[None]:
    """Let `jobs` processes, this one included, share the processor and the steps of a study.

    They end with the block: after their last step if it succeeds, else at once. They end, too, if
    this process is killed.

    Args:
        plan: of the study.
        out: its folder.
        jobs: how many processes; each gets its share of the threads that this one had.
    """
    had = torch.get_num_threads()
    threads = max(1, had // jobs)
    torch.set_num_threads(threads)
    children: list[subprocess.Popen[bytes]] = []
    try:
        for _ in range(jobs - 1):
            children.append(_start(plan, out, threads))  # noqa: PERF401 - to end those begun
        yield
        for child in children:
            child.wait()
    finally:
        torch.set_num_threads(had)
        for child in children:
            child.kill()
            child.communicate()


def _start(plan: Plan, out: Path, threads: int) -> "subprocess.Popen[bytes]":
    child = subprocess.Popen(
        [sys.executable, "-m", "brainssl.studies.jobs"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # the answer of the command is this process's alone
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        start_new_session=True,  # Ctrl-C is for this process, which then ends the others
    )
    assert child.stdin
    pickle.dump((plan, out), child.stdin)
    child.stdin.flush()
    return child


def _work() -> None:
    """Be a worker: the study comes through a pipe that is closed when the parent ends."""
    plan, out = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the parent, no file

    def end_with_parent() -> None:
        os.read(sys.stdin.fileno(), 1)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        Study(plan, out, Lines()).work()
    except BrainsslError as error:
        sys.exit(f"brainssl: a worker gave up: {error}")


if __name__ == "__main__":
    _work()

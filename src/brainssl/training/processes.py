"""Several processes on this machine that work on one thing together."""

import os
import tempfile
import threading
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing import connection, get_context, parent_process
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import distributed
from torch.multiprocessing.spawn import ProcessException, start_processes

from brainssl.foundation.errors import BrainsslError

_POLL_SECONDS = 0.2
_GRACE_SECONDS = 10.0  # for the others to end, after one has failed

Tell = Callable[..., None]


class Calls(Protocol):
    """The end of a queue that is read here and written by the ranks."""

    def empty(self) -> bool:
        """Tell whether there is nothing to read."""

    def get(self) -> Any:
        """Take the oldest thing."""

    def put(self, thing: Any) -> None:
        """Add a thing."""


def run_on_ranks(
    ranks: int,
    device: torch.device,
    work: Callable[..., None],
    arguments: tuple[Any, ...],
    told: Mapping[str, Callable[..., object]],
) -> None:
    """Call `work(*arguments, tell)` in each of several new processes that form a process group.

    They are spawned, not forked: CUDA and threads do not survive a fork. Tensors among the
    arguments are not copied for each process: all of them use the same shared memory.

    Args:
        ranks: how many processes.
        device: whose kind says how they talk: NCCL for CUDA, a GPU each; gloo for the CPU.
        work: a function that can be imported by name.
        arguments: that can be pickled.
        told: functions of this process by name: `tell(name, *values)` in a rank calls them here.

    Raises:
        BrainsslError: that a rank has raised; whatever else one raises is a ProcessException.
    """
    calls = get_context("spawn").SimpleQueue()
    backend = "nccl" if device.type == "cuda" else "gloo"
    with tempfile.TemporaryDirectory(prefix="brainssl-") as folder:
        context = start_processes(  # type: ignore[no-untyped-call]
            _rank,
            args=(ranks, backend, Path(folder) / "ranks", calls, work, arguments),
            nprocs=ranks,
            join=False,
            start_method="spawn",
        )
        try:
            while not context.join(_POLL_SECONDS, grace_period=_GRACE_SECONDS):
                _listen(calls, told)
        except ProcessException:
            _listen(calls, told)
            raise
        finally:
            # After an error here, Ctrl-C above all. All that ranks write is written atomically.
            for process in context.processes:
                process.kill()
                process.join()
        _listen(calls, told)


def _listen(calls: Calls, told: Mapping[str, Callable[..., object]]) -> None:
    while not calls.empty():
        name, values = calls.get()
        if name == "error":
            raise values[0] from None
        told[name](*values)


def _tell(calls: Calls, name: str, *values: Any) -> None:
    calls.put((name, values))


def _rank(
    rank: int,
    ranks: int,
    backend: str,
    meeting: Path,
    calls: Calls,
    work: Callable[..., None],
    arguments: tuple[Any, ...],
) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["LOCAL_RANK"] = str(rank)  # Lightning sees by it that it need not start processes
    if backend == "nccl":
        torch.cuda.set_device(rank)
    # They meet at a file, so that no port has to be free.
    distributed.init_process_group(
        backend, init_method=f"file://{meeting}", rank=rank, world_size=ranks
    )
    try:
        work(*arguments, partial(_tell, calls))
    except BrainsslError as error:
        _tell(calls, "error", error)
        raise
    distributed.destroy_process_group()


def _end_with_parent() -> None:
    """Leave nobody at work in a folder that a new run may take up after the old one was killed."""
    parent = parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)

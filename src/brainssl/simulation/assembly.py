"""How a population becomes a folder: patient by patient, over processes, complete or absent."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from brainssl.simulation.anatomy import load_template

Answer = TypeVar("Answer")


def check(patients: int, size: int, seed: int, workers: int | None) -> None:
    """Raise ValueError where a number is out of its range."""
    if patients < 1:
        raise ValueError(f"patients is {patients}; give at least 1")
    if not 64 <= size <= 1024:
        raise ValueError(f"size is {size}; give 64 to 1024 pixels")
    if seed < 0:
        raise ValueError(f"seed is {seed}; give 0 or more")
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; give at least 1")


@contextmanager
def built_aside(out: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `out` at the end; after an error nothing is left of it.

    Raises:
        ValueError: `out` exists and is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"{out} exists and is not empty; remove it or name another folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        built = aside / out.name
        built.mkdir()
        yield built
        if out.exists():
            out.rmdir()
        built.rename(out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def each(
    work: Callable[..., Answer],
    jobs: Sequence[tuple[object, ...]],
    workers: int | None,
    done: Callable[[Answer], None],
) -> None:
    """Does the work of every job and hands on its answer, in the order in which they end.

    Args:
        work: A function that a process can import.
        jobs: Its arguments, one tuple a job; at least one.
        workers: Processes; None for one a core. With 1 no process is started.
        done: Takes an answer, in this process.
    """
    workers = min(workers or _cores(), len(jobs))
    load_template()  # before forking, so that workers share it
    if workers == 1:
        for job in jobs:
            done(work(*job))
        return
    with ProcessPoolExecutor(workers, initializer=_start_worker) as pool:
        running = [pool.submit(work, *job) for job in jobs]
        try:
            for one in as_completed(running):
                done(one.result())
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _cores() -> int:
    """Cores that this process may use, which in a container is not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _start_worker() -> None:
    """One thread a worker, as processes share the cores. How the parent ends is its own."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threadpool_limits(1)

"""One function over many files, on all cores, with the results in order.

To decode and describe an image takes many short calls that hold Python's lock. Threads gain little
then, and processes pay from some hundred images on.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Any, TypeVar

from brainssl.foundation.errors import BrainsslError

MANY = 200
"""Items from which processes are started: fewer are done before the processes are there."""

MANY_LARGE = 4
"""The same of large items, each of which takes a second or more."""

_MOST = 16  # workers; a disk seldom feeds more
_TOGETHER = 8  # items that travel as one: few messages, little memory
_AHEAD = 3  # such parcels under way for each worker

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Return how many cores this process may use, which in a container is not all of them."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int | None = None,
    large: bool = False,
) -> Iterator[Result]:
    """Yield the result for each item, in order; few results are held at a time.

    Args:
        function: can be pickled, as its results and what it raises, and gives the same wherever
            it is called.
        items: what it is called with; can be pickled.
        workers: how many work at once; by default one a core, at most 16. With 1 everything
            happens in this thread.
        large: whether an item takes a second and much memory, as a volume does: each then travels
            alone, and no more of them are under way than are worked at, but for one.

    Raises:
        BrainsslError: a worker process was killed; whatever `function` raises comes out as it is,
            that of the first item to fail.
    """
    workers = workers or min(cores(), _MOST)
    if workers == 1 or len(items) < 2:
        yield from map(function, items)
        return
    together, most = (1, workers + 1) if large else (_TOGETHER, _AHEAD * workers)
    many = len(items) >= (MANY_LARGE if large else MANY)
    with _pool(function, workers, processes=many) as submit:
        parcels = (items[at : at + together] for at in range(0, len(items), together))
        waiting: deque[Future[list[Result]]] = deque()
        try:
            for parcel in parcels:
                waiting.append(submit(parcel))
                if len(waiting) >= most:
                    yield from waiting.popleft().result()
            while waiting:
                yield from waiting.popleft().result()
        except BrokenProcessPool:
            raise WorkerKilledError(
                "a process that reads images was killed: give it more memory, or find the file "
                "that its decoder cannot bear by reading part of the folder; a script of your own "
                'must call brainssl under if __name__ == "__main__":'
            ) from None


class WorkerKilledError(BrainsslError):
    """A worker process was killed: nothing is wrong with what was asked."""


@contextmanager
def _pool(
    function: Callable[[Item], Result], workers: int, *, processes: bool
) -> Iterator[Callable[[Sequence[Item]], "Future[list[Result]]"]]:
    """Give a way to hand parcels to processes or, if they are few, threads; end them after."""
    # A daemonic process, such as a DataLoader's worker, may have no children.
    if not processes or multiprocessing.current_process().daemon:
        with ThreadPoolExecutor(workers) as threads:
            yield lambda parcel: threads.submit(_each, function, parcel)
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context(start_method()),
        initializer=_start,
        initargs=(function,),
    )
    try:
        yield lambda parcel: pool.submit(_each_here, parcel)
    except BaseException:
        # Nobody wants what they are at, and one that Ctrl-C met as it began may hold a lock.
        for process in list(pool._processes.values()):  # noqa: SLF001
            process.kill()
        # One that was killed as it answered left half a message, whose rest would be waited for as
        # long as anybody could still write it: this process, which never does.
        pool._result_queue._writer.close()  # type: ignore[attr-defined]  # noqa: SLF001
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def start_method() -> str:
    """Return how workers are started.

    A fork takes milliseconds and, unlike spawning, does not run the caller's script again. It is
    safe on Linux: the workers use NumPy, SciPy and Pillow alone, no CUDA and no OpenMP.
    """
    return "fork" if sys.platform == "linux" else "spawn"


def _each(function: Callable[[Item], Result], parcel: Sequence[Item]) -> list[Result]:
    return [function(item) for item in parcel]


_function: Callable[[Any], Any]
"""What this worker process calls; sent once, as it starts."""


def _each_here(parcel: Sequence[Any]) -> list[Any]:
    return _each(_function, parcel)


def _start(function: Callable[[Any], Any]) -> None:
    """Make ready a worker process: the core it gets is its own, its end that of its parent."""
    global _function
    _function = function
    # Ctrl-C reaches the whole group of processes: the parent answers it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # what the parent does is no work of a fork
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    threadpool_limits(1)


def _end_with_parent() -> None:
    """A parent that is killed cannot tell its workers, which would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)

"""One process at a time: locks on files, which end with whoever held them."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from brainssl.foundation.errors import BrainsslError


class BusyError(BrainsslError):
    """Another process is at work on it: wait, or do something else."""


@contextmanager
def locked(file: Path, *, waiting: Callable[[], object] | None = None) -> Iterator[None]:
    """Hold a lock that ends with the process, however it ends.

    Args:
        file: that stands for the lock, made where there is none; its name ends in `.lock`. No
            folder, because network file systems know locks of files alone.
        waiting: called if another process holds it, before waiting for that process; without it,
            or if it raises, nobody waits.

    Raises:
        BusyError: another process holds it, and `waiting` is not given.
    """
    handle = _lock(file, waiting)
    try:
        yield
    finally:
        os.close(handle)


def _lock(file: Path, waiting: Callable[[], object] | None) -> int:
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:  # the folder was renamed this very moment
            continue
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            try:
                if waiting is None:
                    raise BusyError(
                        f"another process is at work in {file.parent}: wait for it"
                    ) from None
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            except BaseException:
                os.close(handle)
                raise
        except OSError as error:
            os.close(handle)
            raise BrainsslError(
                f"{file} cannot be locked ({error.strerror}): choose a folder on a disk that "
                "knows file locks"
            ) from None
        if _is_at(handle, file):
            return handle
        os.close(handle)


def _is_at(handle: int, file: Path) -> bool:
    """Tell whether an open file still has its name: a lock on a deleted one stands for nothing."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def is_held(file: Path) -> bool:
    """Tell whether a living process holds the lock that a file stands for."""
    try:
        handle = os.open(file, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False

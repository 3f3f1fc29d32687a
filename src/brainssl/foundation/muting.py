"""C libraries that write to standard error are kept quiet: what is amiss is told in our words."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_STDERR = 2
_lock = threading.Lock()  # two that mute at once would leave it muted


@contextmanager
def muted() -> Iterator[None]:
    """Let nothing reach standard error; what other threads write there meanwhile is lost, too."""
    with _lock:
        try:
            nowhere = os.open(os.devnull, os.O_WRONLY)
        except OSError:  # no more files may be open: then it is told twice
            yield
            return
        try:
            kept = os.dup(_STDERR)
        except OSError:  # it is closed
            os.close(nowhere)
            yield
            return
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        try:
            yield
        finally:
            os.dup2(kept, _STDERR)
            os.close(kept)


def _renew() -> None:
    """Let a fork begin with a lock that nobody holds: whoever held it is not there."""
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_renew)

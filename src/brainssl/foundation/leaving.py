"""The end of a process that has said its last: Python would take everything apart before it."""

import atexit
import os
import sys
import threading
import time
from contextlib import suppress

PATIENCE = 3.0
"""Seconds for what is at work to come to its end."""


def leave(code: int) -> None:
    """End the process, for a command that has nothing left to do.

    What is to be done at exit is done. But PyTorch is not taken apart, which takes half as long as
    its import, and a thread that still computes what nobody waits for is not waited for.

    Args:
        code: with which it ends.
    """
    until = time.monotonic() + PATIENCE
    for thread in threading.enumerate():
        if not thread.daemon and thread is not threading.current_thread():
            thread.join(max(0.0, until - time.monotonic()))
    atexit._run_exitfuncs()  # noqa: SLF001 - Python's own end has no public name
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more
            stream.flush()
    os._exit(code)

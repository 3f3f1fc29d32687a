"""The end of a process that has said its last: Python would wait for whatever still computes."""

import os
import sys
import threading
import time

PATIENCE = 3.0
"""Seconds for what is at work to come to its end."""


def leave(code: int = 0, patience: float = PATIENCE) -> None:
    """End the process within some seconds, for a command that has nothing left to do.

    Where no thread is at work it returns, and the process ends as any. Threads that still compute
    an answer nobody waits for any more are not waited for either, however long they would take.

    Args:
        code: with which it ends.
        patience: seconds for threads to end by themselves.
    """
    until = time.monotonic() + patience
    for thread in threading.enumerate():
        if thread.daemon or thread is threading.current_thread():
            continue
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

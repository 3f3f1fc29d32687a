"""A process ends when its last is said: whatever computes, and with what is to be done at exit."""

import subprocess
import sys

CODE = """
import atexit, sys, threading, time
from brainssl.foundation import leaving
leaving.PATIENCE = 0.1
atexit.register(lambda: print("at exit"))
threading.Thread(target=time.sleep, args=(600,)).start()
print("said")
leaving.leave(3)
"""


def test_nobody_is_waited_for_and_nothing_is_lost() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "said\nat exit\n", "")

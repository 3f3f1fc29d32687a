"""Freed memory is used again: large blocks cost page faults once, not at every step."""

import subprocess
import sys

import pytest

from brainssl.hardware.memory import keep_freed_memory

# Blocks of 64 MB are written, freed and taken again; how many pages are asked for meanwhile?
_SCRIPT = """
import resource, sys
import torch
from brainssl.hardware.memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):  # until the process has what it needs
    torch.ones(16 * 2**20)
before = faults()
for _ in range(10):
    torch.ones(16 * 2**20)
print(faults() - before)
"""


def faults(how: str) -> int:
    """Count page faults in a new process: what is told to an allocator stays."""
    told = subprocess.run(
        [sys.executable, "-c", _SCRIPT, how], capture_output=True, text=True, check=True
    )
    return int(told.stdout)


@pytest.mark.skipif(not keep_freed_memory(), reason="this system's allocator is not glibc's")
def test_freed_memory_is_used_again() -> None:
    assert faults("keep") < faults("plain") / 5

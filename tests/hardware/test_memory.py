"""Freed memory is used again: large blocks cost page faults once, not at every step."""

import subprocess
import sys

import pytest

from brainssl.hardware.memory import keep_freed_memory

# Blocks of 64 MB are written, freed and taken again; how many pages are asked for meanwhile?
_SCRIPT = """
import resource
import torch
from brainssl.hardware.memory import keep_freed_memory
def faults():
    for _ in range(20):  # until the process has what it needs
        torch.ones(16 * 2**20)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
plain = faults()
assert keep_freed_memory()
print(plain, faults())
"""


@pytest.mark.skipif(not keep_freed_memory(), reason="this system's allocator is not glibc's")
def test_freed_memory_is_used_again() -> None:
    """In a process of its own: what is told to an allocator stays."""
    told = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    )
    plain, kept = map(int, told.stdout.split())
    assert kept < plain / 5

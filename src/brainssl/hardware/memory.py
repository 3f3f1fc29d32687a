"""Memory that is used again, instead of being given back and asked for at every step."""

import ctypes
import ctypes.util
import sys
from functools import cache

# Numbers of glibc's <malloc.h>.
_TRIM_THRESHOLD, _MMAP_MAX = -1, -4
_NEVER = 2**31 - 1


@cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, for as long as it lives; True if it does now.

    By default glibc gives large blocks back to the system at once. Activations are such blocks: a
    training then asks for the same memory at each step, and the system clears it page by page
    (docs/why/speed.md). A process may hold more at its peak. Only Linux with glibc is told: other
    systems' allocators keep memory by themselves.
    """
    name = ctypes.util.find_library("c") if sys.platform == "linux" else None
    mallopt = getattr(ctypes.CDLL(name), "mallopt", None) if name else None
    if mallopt is None or "musl" in (name or ""):
        return False
    return bool(mallopt(_MMAP_MAX, 0) and mallopt(_TRIM_THRESHOLD, _NEVER))

"""How a process gets memory from the system.

Activations of tens of megabytes are mapped and unmapped after every layer otherwise, and clearing their pages takes a
fifth of the time of inference and a third of that of training on a CPU (docs/experiments.md).
"""

import ctypes
import sys

KEEP_FREED_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
}
"""Environment of a process yet to be started, which has malloc reuse memory rather than give it back to the system.

For those that work in a thread other than the first, which ``keep_freed_memory`` comes too late for.
"""


def keep_freed_memory() -> None:
    """Has malloc do so in this process from now on."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's and a few others'
    if mallopt is not None:
        trim_threshold, mmap_max, arena_max = -1, -4, -8  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(arena_max, 1)

"""Has glibc's malloc keep freed memory for reuse instead of returning it to the system.

By default, activations of tens of megabytes are mapped and unmapped after every layer. Clearing their pages takes a
fifth of the time of inference on a CPU, and a third of that of training (docs/experiments.md).
"""

import ctypes
import sys

KEEP_FREED_MEMORY_ENV = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**62),
}
"""Environment for a new process. ``keep_freed_memory`` has no effect on threads that already have their own arena."""

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
"""Parameters of mallopt, from malloc.h."""


def keep_freed_memory() -> None:
    """Applies the same settings to this process; does nothing where libc has no mallopt."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc and a few others
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
        mallopt(_M_ARENA_MAX, 1)

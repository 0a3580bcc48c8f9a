"""How this process gets memory from the system."""

import ctypes
import sys


def keep_freed_memory() -> None:
    """Has malloc reuse this process's memory rather than give it back to the system after every layer.

    Activations of tens of megabytes are mapped and unmapped each time otherwise, and clearing their pages took a
    fifth of the time (docs/experiments.md).
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's and a few others'
    if mallopt is not None:
        trim_threshold, mmap_max, arena_max = -1, -4, -8  # malloc.h
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(arena_max, 1)

"""Where a cluster on one machine spends its processor time, by kind of process."""

import os
import threading
import time
from collections import defaultdict
from contextlib import suppress

import psutil

INTERVAL_S = 5.0
"""Reading the counters of a hundred processes takes CPU time itself."""
_KINDS = {"Decode": "decoders", "Classify": "classifiers", "Tally": "tally"}


class CpuWatch:
    """Adds up the CPU seconds of this process's descendants by kind, and of the whole machine."""

    def __init__(self) -> None:
        self.samples: list[tuple[float, dict[str, float]]] = []
        """Time, and CPU seconds since the start by kind; ``machine`` includes processes that are not ours."""
        self._seconds: dict[tuple[int, float], tuple[str, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "CpuWatch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def cores(self, begin: float, end: float) -> dict[str, float]:
        """Mean number of busy cores between two times, at the resolution of the samples."""
        if len(self.samples) < 2:
            return {}
        first = min(self.samples[:-1], key=lambda sample: abs(sample[0] - begin))
        last = min((s for s in self.samples if s[0] > first[0]), key=lambda sample: abs(sample[0] - end))
        return {
            kind: round((seconds - first[1].get(kind, 0.0)) / (last[0] - first[0]), 2)
            for kind, seconds in last[1].items()
        }

    def _watch(self) -> None:
        while True:
            self._look()
            if self._stop.wait(INTERVAL_S):
                return

    def _look(self) -> None:
        for process in psutil.Process(os.getpid()).children(recursive=True):
            with suppress(psutil.Error):
                times = process.cpu_times()
                key = (process.pid, process.create_time())
                self._seconds[key] = (_kind(process.cmdline()), times.user + times.system)
        by_kind: dict[str, float] = defaultdict(float)
        for kind, seconds in self._seconds.values():  # of those that have ended, too
            by_kind[kind] += seconds
        all_of_it = psutil.cpu_times()
        by_kind["machine"] = all_of_it.user + all_of_it.nice + all_of_it.system
        self.samples.append((time.time(), dict(by_kind)))


def _kind(command: list[str]) -> str:
    words = " ".join(command)
    if words.startswith("ray::"):
        return next((kind for title, kind in _KINDS.items() if title in words), "other workers")
    if "simulated_job.py" in words:
        return "driver"
    if "raylet/raylet" in words:
        return "raylets"
    return "gcs" if "gcs_server" in words else "agents and others"

"""The pace of requests to a judge: so many a minute, none while it asks for a pause, and an end when nothing comes."""

import threading
import time
from collections.abc import Callable
from typing import Protocol

MAX_FAILURES_IN_A_ROW = 20
"""Frames in a row without a judgement after which the judge counts as unusable."""


class Pace(Protocol):
    """What graders ask before and after each request; all graders of a run share one."""

    def reserve(self) -> float:
        """Takes the next free place for a request; returns the seconds to wait for it."""
        ...

    def pause(self, seconds: float) -> None:
        """Lets no request that is not yet reserved begin before ``seconds`` from now."""
        ...

    def record(self, judged: bool) -> int:
        """Counts a frame that is done; returns how many in a row have no judgement."""
        ...


class SharedPace:
    """A Pace for the threads of one process.

    ``requests_per_minute`` are spread evenly: a burst would only be answered with 429.
    """

    def __init__(self, requests_per_minute: float, clock: Callable[[], float] = time.monotonic):
        self._interval_s = 60.0 / requests_per_minute
        self._clock = clock
        self._lock = threading.Lock()
        self._next_s = clock()
        self._failures = 0

    def reserve(self) -> float:
        with self._lock:
            now = self._clock()
            place = max(now, self._next_s)
            self._next_s = place + self._interval_s
            return place - now

    def pause(self, seconds: float) -> None:
        with self._lock:
            self._next_s = max(self._next_s, self._clock() + seconds)

    def record(self, judged: bool) -> int:
        with self._lock:
            self._failures = 0 if judged else self._failures + 1
            return self._failures

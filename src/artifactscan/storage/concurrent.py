"""Runs requests to a storage concurrently."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_log = logging.getLogger(__name__)
_AT_ONCE = 16
"""Requests at a time: an object storage takes tens of milliseconds to answer each."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_order(do: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """``do(item)`` of each item, in order, computed by _AT_ONCE threads.

    Ctrl-C waits for the requests under way, after a warning with their number.
    """
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(do, item))
                # Results are also taken as soon as they are there, so that an error stops the work early.
                while waiting and (len(waiting) > _AT_ONCE or waiting[0].done()):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except KeyboardInterrupt:
            if left := sum(not under_way.done() for under_way in waiting):
                _log.warning("interrupted: %d requests to the storage are under way and end first", left)
            raise

"""Runs requests to a storage concurrently, and reads ahead of what consumes."""

import logging
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

_log = logging.getLogger(__name__)
_AT_ONCE = 16
"""Requests at a time: an object storage takes tens of milliseconds to answer each."""
_PUT_TRY_S = 0.2
"""Seconds between looks at whether the consumer is still there."""
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


class ReadAhead(Generic[Item]):
    """Context manager in whose block a thread takes ``items``, at most ``most`` ahead of the caller.

    An error of ``items`` is raised in ``batches``. Where the block is left early, the thread ends after the item that
    it is taking; end what that waits for after this block.
    """

    def __init__(self, items: Iterator[Item], most: int):
        self._items = items
        self._waiting: queue.Queue[Item | _End] = queue.Queue(most)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take, daemon=True, name="read-ahead")

    def __enter__(self) -> "ReadAhead[Item]":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def batches(self, size: int) -> Iterator[list[Item]]:
        """All items in order: those that are there, at least one and at most ``size`` at a time."""
        while True:
            batch = [self._waiting.get()]
            while len(batch) < size and not self._waiting.empty():
                batch.append(self._waiting.get())
            if items := [one for one in batch if not isinstance(one, _End)]:
                yield items
            if isinstance(last := batch[-1], _End):
                if last.error is not None:
                    raise last.error
                return

    def _take(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                if not self._put(item):
                    return
        except BaseException as raised:  # raised again where the items are consumed
            error = raised
        self._put(_End(error))

    def _put(self, item: "Item | _End") -> bool:
        """False where the block was left meanwhile."""
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._waiting.put(item, timeout=_PUT_TRY_S)
                return True
        return False


@dataclass(frozen=True)
class _End:
    """Follows the last item."""

    error: BaseException | None

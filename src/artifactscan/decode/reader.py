"""Reads listed videos one after the other: fetched ahead, decoded, and checked for changes meanwhile."""

import logging
import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from artifactscan.decode.segment import Segment, segment_without_frames
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeResult, VideoFacts
from artifactscan.outcomes import Outcome
from artifactscan.storage.fetch import Fetched, FetchError, fetch

_log = logging.getLogger(__name__)
AHEAD = 8
"""Objects fetched at a time: a storage needs tens of milliseconds to answer, as long as a small clip to decode."""
AHEAD_BYTES = 256 << 20
"""Most bytes that wait on the disk to be decoded, unless it is one object."""


class Decoder(Protocol):
    """Decodes one local file at a time, as SandboxedDecoder does."""

    def decode(self, path: str, slice: Slice = ...) -> Iterator[Segment]: ...


@dataclass
class ReaderCounts:
    """What a reader has done since its counts were last taken."""

    fetched_bytes: int = 0
    fetch_retries: int = 0
    fetches: int = 0
    """Objects and slices fetched; the next two are 0 where there are none."""
    fetch_began_ns: int = 0
    """When the first of these fetches began, as `time.time_ns`."""
    fetch_ended_ns: int = 0
    """When the last of them ended."""

    def add(self, other: "ReaderCounts") -> None:
        """Adds what was done later, or at the same time."""
        if not other.fetches:
            return
        self.fetch_began_ns = min(self.fetch_began_ns or other.fetch_began_ns, other.fetch_began_ns)
        self.fetch_ended_ns = max(self.fetch_ended_ns, other.fetch_ended_ns)
        self.fetched_bytes += other.fetched_bytes
        self.fetch_retries += other.fetch_retries
        self.fetches += other.fetches


class VideoReader:
    """Reads one video after the other, and fetches the next ones while one is decoded."""

    def __init__(self, decoder: Decoder, *, max_object_bytes: int):
        self._decoder = decoder
        self._max_object_bytes = max_object_bytes
        self._fetcher = ThreadPoolExecutor(AHEAD)
        self._kept, self._kept_of = ExitStack(), None
        """The copy of the last slice's object, for the next slice of the same object."""
        self._counts = ReaderCounts()
        self._ahead = deque[Future]()

    def read(self, rows: Sequence[dict[str, Any]]) -> Generator[tuple[dict[str, Any], Segment], None, None]:
        """Yields each row with the segments of its video; exactly the last segment of a video carries a result.

        ``rows`` have uri, etag and size_bytes as they were listed, and ``slice`` of ``slices`` where only a slice is
        wanted; a slice may give no segment at all. Faults of the object or the video end in a result; OSError is a
        fault of this machine, such as a full disk or credentials that are no longer accepted.
        """
        self._ahead = ahead = deque[Future]()
        try:
            for number, row in enumerate(rows):
                if self._kept_of != (row["uri"], row["etag"]):
                    self._kept.close()  # before another is fetched, so that there is room for one
                while number + len(ahead) < len(rows) and self._may_fetch(rows[number : number + len(ahead) + 1]):
                    ahead.append(self._fetcher.submit(self._fetch, rows[number + len(ahead)]))
                fetched, began_ns, ended_ns = ahead.popleft().result()
                self._kept.close()
                self._count(fetched, began_ns, ended_ns)
                wanted = Slice.of_row(row)
                if isinstance(fetched, FetchError):
                    result = DecodeResult(outcome=fetched.outcome, reason=fetched.reason, facts=VideoFacts())
                    yield row, segment_without_frames(result, wanted)
                    continue
                if wanted.of > 1:
                    self._kept.enter_context(fetched)
                    self._kept_of = (row["uri"], row["etag"])
                with nullcontext() if wanted.of > 1 else fetched:
                    for segment in self._decode(fetched, wanted):
                        yield row, segment
        finally:
            for unused in ahead:  # the caller stopped early: no copy is left on the disk
                unused.add_done_callback(_close)

    def close(self) -> None:
        """Starts no further fetch, and warns of those under way, which end first."""
        self._kept.close()
        self._fetcher.shutdown(wait=False, cancel_futures=True)
        if under_way := sum(not one.done() for one in self._ahead):
            _log.warning("%d objects are being fetched, which ends first", under_way)

    def take_counts(self) -> ReaderCounts:
        """The counts since the last call."""
        counts, self._counts = self._counts, ReaderCounts()
        return counts

    def _may_fetch(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Whether the last of ``rows`` is to be fetched while the first is decoded."""
        return len(rows) <= 2 or (len(rows) <= AHEAD and sum(row["size_bytes"] or 0 for row in rows[1:]) <= AHEAD_BYTES)

    def _fetch(self, row: dict[str, Any]) -> tuple[Fetched | FetchError, int, int]:
        """The object, and when fetching it began and ended, as `time.time_ns`."""
        began_ns, fetched = time.time_ns(), self._fetch_or_error(row)
        return fetched, began_ns, time.time_ns()

    def _fetch_or_error(self, row: dict[str, Any]) -> Fetched | FetchError:
        try:
            limit, shared = self._max_object_bytes, Slice.of_row(row).of > 1
            return fetch(row["uri"], row["etag"], row["size_bytes"], max_bytes=limit, shared=shared)
        except FetchError as error:
            return error

    def _count(self, fetched: Fetched | FetchError, began_ns: int, ended_ns: int) -> None:
        fetched_bytes = fetched.fetched_bytes if isinstance(fetched, Fetched) else 0
        self._counts.add(
            ReaderCounts(
                fetched_bytes=fetched_bytes,
                fetch_retries=fetched.retries,
                fetches=1,
                fetch_began_ns=began_ns,
                fetch_ended_ns=ended_ns,
            )
        )

    def _decode(self, fetched: Fetched, slice: Slice) -> Iterator[Segment]:
        for segment in self._decoder.decode(fetched.path, slice):
            if segment.result is not None:
                segment.result.facts.fetch_s = fetched.fetch_s
                if not fetched.still_same():
                    reason = "the file was written to while it was decoded"
                    result = DecodeResult(outcome=Outcome.CHANGED, reason=reason, facts=segment.result.facts)
                    segment = segment_without_frames(result, slice)
            yield segment


def _close(future: Future) -> None:
    if not future.cancelled() and future.exception() is None and isinstance(fetched := future.result()[0], Fetched):
        fetched.__exit__()

"""From listed objects to their segments: fetched, decoded, and checked to be still what was decoded."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from artifactscan.decode.sandbox.supervisor import Segment, without_frames
from artifactscan.decode.video import Slice, Verdict, VideoFacts
from artifactscan.outcomes import Outcome
from artifactscan.storage.fetch import Fetched, FetchError, fetch

AHEAD = 8
"""Objects fetched at a time: a storage answers in tens of milliseconds, in which a small clip could be decoded …"""
AHEAD_BYTES = 256 << 20
"""… but no more than this waits on the disk, unless it is one object."""


class Decoder(Protocol):
    """What decodes one local file at a time, as DecoderProcess does."""

    def decode(self, path: str, slice: Slice = ...) -> Iterator[Segment]: ...


@dataclass
class ReaderCounts:
    """What a reader has done since the counts were taken."""

    fetched_bytes: int = 0
    fetch_retries: int = 0


class VideoReader:
    """Reads one video after the other; the next ones are fetched while one is decoded."""

    def __init__(self, decoder: Decoder, *, max_object_bytes: int):
        self._decoder = decoder
        self._max_object_bytes = max_object_bytes
        self._fetcher = ThreadPoolExecutor(AHEAD)
        self._kept, self._kept_of = ExitStack(), None
        """The copy of the last slice, which the next one may be of; and which object it is."""
        self._counts = ReaderCounts()

    def read(self, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Segment]]:
        """Yields each row with the segments of its video; exactly the last one of a video carries a verdict.

        ``rows`` have uri, etag and size_bytes as they were listed, and ``slice`` of ``slices`` where only a part is
        wanted, which may turn out to be nothing at all. What is wrong with an object or a video ends in a verdict;
        OSError is this machine's fault, such as a full disk or credentials that are no longer accepted.
        """
        ahead: deque[Future] = deque()
        try:
            for number, row in enumerate(rows):
                if self._kept_of != (row["uri"], row["etag"]):
                    self._kept.close()  # before another is fetched, so that there is room for one
                while number + len(ahead) < len(rows) and self._may_fetch(rows[number : number + len(ahead) + 1]):
                    ahead.append(self._fetcher.submit(self._fetch, rows[number + len(ahead)]))
                fetched = ahead.popleft().result()
                self._kept.close()
                self._count(fetched)
                wanted = Slice(row.get("slice") or 0, row.get("slices") or 1)
                if isinstance(fetched, FetchError):
                    verdict = Verdict(outcome=fetched.outcome, reason=fetched.reason, facts=VideoFacts())
                    yield row, without_frames(verdict, wanted)
                    continue
                if wanted.of > 1:
                    self._kept.enter_context(fetched)
                    self._kept_of = (row["uri"], row["etag"])
                with nullcontext() if wanted.of > 1 else fetched:
                    for segment in self._decode(fetched, wanted):
                        yield row, segment
        finally:
            for unused in ahead:  # given up halfway: no copy is left lying
                unused.add_done_callback(_close)

    def take_counts(self) -> ReaderCounts:
        """What was done since this was last asked."""
        counts, self._counts = self._counts, ReaderCounts()
        return counts

    def _may_fetch(self, rows: Sequence[dict[str, Any]]) -> bool:
        """Whether the last of ``rows`` is to be fetched while the first is decoded."""
        return len(rows) <= 2 or (len(rows) <= AHEAD and sum(row["size_bytes"] or 0 for row in rows[1:]) <= AHEAD_BYTES)

    def _fetch(self, row: dict[str, Any]) -> Fetched | FetchError:
        try:
            limit, sliced = self._max_object_bytes, (row.get("slices") or 1) > 1
            return fetch(row["uri"], row["etag"], row["size_bytes"], max_bytes=limit, shared=sliced)
        except FetchError as error:
            return error

    def _count(self, fetched: Fetched | FetchError) -> None:
        self._counts.fetch_retries += fetched.retries
        self._counts.fetched_bytes += fetched.fetched_bytes if isinstance(fetched, Fetched) else 0

    def _decode(self, fetched: Fetched, slice: Slice) -> Iterator[Segment]:
        for segment in self._decoder.decode(fetched.path, slice):
            if segment.verdict is None:
                yield segment
                continue
            segment.verdict.facts.fetch_s = fetched.fetch_s
            if fetched.still_same():
                yield segment
            else:
                reason = "the file was written to while it was decoded"
                verdict = Verdict(outcome=Outcome.CHANGED, reason=reason, facts=segment.verdict.facts)
                yield without_frames(verdict, slice)


def _close(future: Future) -> None:
    if not future.cancelled() and future.exception() is None and isinstance(future.result(), Fetched):
        future.result().__exit__()

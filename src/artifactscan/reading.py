"""From listed objects to their segments: fetched, decoded, and checked to be still what was decoded."""

import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

from artifactscan.fetch import Fetched, FetchError, fetch
from artifactscan.isolation import Segment
from artifactscan.outcomes import Outcome
from artifactscan.video import Verdict, VideoFacts


class Decoder(Protocol):
    """What decodes one local file at a time, as artifactscan.isolation.DecoderProcess does."""

    def decode(self, path: str) -> Iterator[Segment]: ...


class VideoReader:
    """Reads one video after the other; the next one is fetched while one is decoded."""

    def __init__(self, decoder: Decoder, *, max_object_bytes: int):
        self._decoder = decoder
        self._max_object_bytes = max_object_bytes
        self._fetcher = ThreadPoolExecutor(1)

    def read(self, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Segment]]:
        """Yields each row with the segments of its video; exactly the last one of a video carries a verdict.

        ``rows`` have uri, etag and size_bytes as they were listed. What is wrong with an object or a video ends in a
        verdict; OSError is this machine's fault, such as a full disk.
        """
        ahead: Future | None = None
        for row, following in zip(rows, [*rows[1:], None], strict=True):
            fetched = (ahead or self._fetcher.submit(self._fetch, row)).result()
            ahead = self._fetcher.submit(self._fetch, following) if following else None
            if isinstance(fetched, FetchError):
                verdict = Verdict(outcome=fetched.outcome, reason=fetched.reason, facts=VideoFacts())
                yield row, _without_frames(verdict)
                continue
            with fetched:
                for segment in self._decode(fetched):
                    yield row, segment

    def _fetch(self, row: dict[str, Any]) -> Fetched | FetchError:
        try:
            return fetch(row["uri"], row["etag"], row["size_bytes"], max_bytes=self._max_object_bytes)
        except FetchError as error:
            return error

    def _decode(self, fetched: Fetched) -> Iterator[Segment]:
        for segment in self._decoder.decode(fetched.path):
            if segment.verdict is None:
                yield segment
                continue
            segment.verdict.facts.fetch_s = fetched.fetch_s
            if fetched.still_same():
                yield segment
            else:
                reason = "the file was written to while it was decoded"
                verdict = Verdict(outcome=Outcome.CHANGED, reason=reason, facts=segment.verdict.facts)
                yield _without_frames(verdict)


def _without_frames(verdict: Verdict) -> Segment:
    """The one segment of a video that leaves no frames; an attempt of its own."""
    return Segment(
        attempt=uuid.uuid4().hex, index=0, frame_index=[], pts_s=[], height=0, width=0, pixels=b"", verdict=verdict
    )

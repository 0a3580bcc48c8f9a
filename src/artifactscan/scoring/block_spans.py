"""The spans of the blocks that the scoring stages work on, for traces."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from artifactscan.decode.reader import ReaderCounts
from artifactscan.decode.segment import Segment
from artifactscan.telemetry.finished_span import FinishedSpan, outcome_attributes


@dataclass
class DecodedBlock:
    """What has become of a block of work since it began."""

    started_ns: int = field(default_factory=time.time_ns)
    segments: int = 0
    frames: int = 0
    decode_s: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Of its videos and slices."""
    read: ReaderCounts = field(default_factory=ReaderCounts)

    def add(self, segment: Segment, counts: ReaderCounts) -> None:
        """Adds a segment, and what was read for it."""
        self.segments += 1
        self.frames += len(segment.frame_index)
        self.read.add(counts)
        if segment.result is not None:
            self.outcomes[str(segment.result.outcome)] += 1
            self.decode_s += segment.result.facts.decode_s or 0.0

    def spans(self) -> Iterator[FinishedSpan]:
        """Of fetching, which goes on while the block is decoded, and of decoding; called at the block's end."""
        read, videos = self.read, self.outcomes.total()
        if read.fetches:
            facts = {"videos": read.fetches, "bytes": read.fetched_bytes, "retries": read.fetch_retries}
            yield FinishedSpan("fetch", read.fetch_began_ns, read.fetch_ended_ns, facts)
        facts = {"videos": videos, "segments": self.segments, "frames": self.frames}
        more = {"decode_s": round(self.decode_s, 3), **outcome_attributes(self.outcomes)}
        yield FinishedSpan("decode", self.started_ns, time.time_ns(), {**facts, **more})


def classify_span(
    started_ns: int, *, segments: int, frames: int, outcomes: Mapping[str, str], device: str, precision: str
) -> FinishedSpan:
    """The span of a block of segments that has just been classified; ``outcomes``: of the videos done, by id."""
    facts = {"videos": len(outcomes), "segments": segments, "frames": frames, "device": device, "precision": precision}
    return FinishedSpan(
        "classify", started_ns, time.time_ns(), {**facts, **outcome_attributes(Counter(outcomes.values()))}
    )

"""Segments: what decoding hands on, with the frames around each where the checkpoint looks at neighbours."""

import builtins
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from artifactscan.decode.slices import WHOLE, Slice
from artifactscan.decode.video import DecodeResult


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A run of at most ``segment_frames`` sampled frames of one video."""

    attempt: str
    """Unique to one attempt at one video; the second decoder's try is an attempt of its own."""
    index: int
    """0, 1, … within the attempt."""
    frame_index: list[int]
    """Position of each frame in the video, increasing."""
    pts_s: list[float]
    """Presentation time of each frame, seconds."""
    height: int
    """Of each frame, pixels."""
    width: int
    """Of each frame, pixels."""
    pixels: bytes
    """uint8 RGB, (frames, height, width, 3) in C order, of the context before, the segment's frames, and the context
    after; empty where there are no frames."""
    result: DecodeResult | None
    """Only on the last segment of the attempt that counts; the attempt of a failure has no frames."""
    slice: Slice = WHOLE
    """The slice that the attempt decodes."""
    context_before: int = 0
    """Sampled frames in ``pixels`` before the segment's own."""
    context_after: int = 0
    """Sampled frames in ``pixels`` after them."""

    def frames(self) -> np.ndarray:
        """uint8 (context before + frames + context after, height, width, 3): a view of ``pixels``."""
        count = self.context_before + len(self.frame_index) + self.context_after
        return np.frombuffer(self.pixels, np.uint8).reshape(count, self.height, self.width, 3)

    @property
    def own(self) -> builtins.slice:
        """The segment's own frames among ``frames``."""
        return builtins.slice(self.context_before, self.context_before + len(self.frame_index))


def segment_without_frames(result: DecodeResult, slice: Slice = WHOLE) -> Segment:
    """The only segment of a video or slice that gives no frames; an attempt of its own."""
    return Segment(
        attempt=uuid.uuid4().hex,
        index=0,
        frame_index=[],
        pts_s=[],
        height=0,
        width=0,
        pixels=b"",
        result=result,
        slice=slice,
    )


def add_context(segments: Iterator[Segment], frames: int) -> Iterator[Segment]:
    """``segments`` with the ``frames`` sampled frames before and after each, as far as the attempt has them.

    Each segment may bring context of its own, from other slices, and waits for the one after it; ``frames`` is at most
    a full segment.
    """
    if not frames:
        yield from segments
        return
    waiting: Segment | None = None
    earlier = b""
    for segment in segments:
        follows = waiting is not None and segment.attempt == waiting.attempt
        if waiting is not None:
            yield _surround(waiting, earlier, segment.pixels if follows else b"", frames)
        earlier = (earlier + waiting.pixels)[-frames * _frame_bytes(waiting) :] if waiting and follows else b""
        waiting = segment
    if waiting is not None:
        yield _surround(waiting, earlier, b"", frames)


def _surround(segment: Segment, earlier: bytes, later: bytes, frames: int) -> Segment:
    """``segment`` with up to ``frames`` frames of the pixels before and after its own frames."""
    size = _frame_bytes(segment)
    if not size:
        return segment
    start = segment.context_before * size
    end = start + len(segment.frame_index) * size
    if start == end:  # a segment without frames of its own needs no context
        return replace(segment, pixels=b"", context_before=0, context_after=0)
    before = (earlier + segment.pixels[:start])[-frames * size :]
    after = (segment.pixels[end:] + later)[: frames * size]
    return replace(
        segment,
        pixels=b"".join([before, segment.pixels[start:end], after]),
        context_before=len(before) // size,
        context_after=len(after) // size,
    )


def _frame_bytes(segment: Segment) -> int:
    return segment.height * segment.width * 3

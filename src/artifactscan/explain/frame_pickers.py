"""Chooses frames of one video while it is decoded, with their pixels as scoring sees them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeError, DecodeSettings, VideoFacts
from artifactscan.outcomes import HAS_FRAMES, Outcome


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One decoded frame."""

    index: int
    """Position in the video."""
    pts_s: float
    """Presentation time, seconds."""
    pixels: np.ndarray
    """uint8 RGB, (height, width, 3)."""


class UnknownFrameError(Exception):
    """The video has no such frame; the message says which, and which frames it has."""


class Picker(Protocol):
    """Is given all segments of one attempt at a video, in order, and keeps some of their frames."""

    def add(self, segment: Segment) -> None: ...

    def chosen(self, facts: VideoFacts) -> list[Frame]:
        """The kept frames by index, each once."""
        ...


class NamedFrames:
    """Keeps the frames with given indices, and those on screen at given times; must be given every frame."""

    def __init__(self, indices: Sequence[int], times_s: Sequence[float] = ()):
        self._indices, self._times_s = frozenset(indices), times_s
        self._by_index: dict[int, Frame] = {}
        self._before: dict[float, Frame] = {}
        """Time → the last frame that begins at or before it."""
        self._after: dict[float, int] = {}
        """Time → the index of the first frame that begins after it."""

    def add(self, segment: Segment) -> None:
        for frame in _own_frames(segment):
            if frame.index in self._indices:
                self._by_index[frame.index] = frame
            for time_s in self._times_s:
                if frame.pts_s <= time_s:
                    self._before[time_s] = frame
                else:
                    self._after.setdefault(time_s, frame.index)

    def chosen(self, facts: VideoFacts) -> list[Frame]:
        """The frames by index, each once; UnknownFrameError for one that the video does not have or did not decode."""
        count, duration_s = facts.frames_in_video or 0, facts.duration_s or 0.0
        for index in sorted(self._indices - self._by_index.keys()):
            if index >= count:
                raise UnknownFrameError(f"has no frame {index}: it has the frames 0 to {count - 1}")
            raise UnknownFrameError(
                f"has no frame {index} to show: it is damaged or on screen for no time; name another"
            )
        chosen = dict(self._by_index)
        for time_s in self._times_s:
            if time_s >= duration_s:
                raise UnknownFrameError(f"has no frame at {time_s:g} s: it ends at {duration_s:g} s")
            frame = self._before.get(time_s)
            # Unless the next decoded frame has the next index, a damaged one between them may be on screen.
            if frame is None or (frame.pts_s < time_s and self._after.get(time_s, count) != frame.index + 1):
                raise UnknownFrameError(f"has no frame to show at {time_s:g} s: it is damaged there; name another time")
            chosen[frame.index] = frame
        return [chosen[index] for index in sorted(chosen)]


class HighestFrames:
    """Keeps the frames with the highest values; of equal ones the earliest."""

    def __init__(self, count: int, value: Callable[[np.ndarray], np.ndarray]):
        """``value``: uint8 (n, height, width, 3) to float (n,), of a segment's frames with the context around them."""
        self._count, self._value = count, value
        self._best: list[tuple[float, Frame]] = []

    def add(self, segment: Segment) -> None:
        if not segment.frame_index:
            return
        values = self._value(segment.frames())[segment.own]
        ranked = [*self._best, *zip(values.tolist(), _own_frames(segment), strict=True)]
        self._best = sorted(ranked, key=lambda one: -one[0])[: self._count]

    def chosen(self, facts: VideoFacts) -> list[Frame]:
        return sorted((frame for _, frame in self._best), key=lambda frame: frame.index)


def pick_frames(
    path: str, settings: DecodeSettings, new_picker: Callable[[], Picker]
) -> tuple[list[Frame], VideoFacts]:
    """Decodes the video in the local file ``path``; returns the frames that a picker chose, and the video's facts.

    ``new_picker`` is called for each attempt at the video. DecodeError where no frame can be decoded;
    UnknownFrameError as ``NamedFrames.chosen``.
    """
    picker, attempt = new_picker(), ""
    with SandboxedDecoder(settings) as decoder:
        for segment in decoder.decode(path):
            if segment.attempt != attempt:
                picker, attempt = new_picker(), segment.attempt
            picker.add(segment)
            if (verdict := segment.result) is not None:
                if verdict.outcome not in HAS_FRAMES:
                    raise DecodeError(verdict.outcome, verdict.reason or "", verdict.facts)
                return picker.chosen(verdict.facts), verdict.facts
    raise DecodeError(Outcome.CRASHED, "the decoder came to no verdict")


def _own_frames(segment: Segment) -> list[Frame]:
    """The frames of a segment without its context."""
    if not segment.frame_index:
        return []
    rows = zip(segment.frame_index, segment.pts_s, segment.frames()[segment.own], strict=True)
    # A view would keep the whole segment in memory.
    return [Frame(index=index, pts_s=pts_s, pixels=rgb.copy()) for index, pts_s, rgb in rows]

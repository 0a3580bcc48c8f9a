"""Which frames of a video are explained, and their pixels as scoring sees them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from artifactscan.decode.sandbox.supervisor import DecoderProcess
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


class UnknownFrame(Exception):
    """The video has no such frame; the message says which, and what it has."""


class _Picker(Protocol):
    """Looks at all frames of a video, a run of them at a time, and keeps some."""

    def look(self, frames: Sequence[Frame]) -> None: ...


PickerType = TypeVar("PickerType", bound=_Picker)


class Named:
    """Keeps the frames with given indices and those on screen at given times; takes frames of every index."""

    def __init__(self, indices: Sequence[int], times_s: Sequence[float] = ()):
        self._indices, self._times_s = frozenset(indices), times_s
        self._by_index: dict[int, Frame] = {}
        self._before: dict[float, Frame] = {}
        """Time → the last frame that begins before or at it."""
        self._after: dict[float, int] = {}
        """Time → the index of the first frame that begins after it."""

    def look(self, frames: Sequence[Frame]) -> None:
        for frame in frames:
            if frame.index in self._indices:
                self._by_index[frame.index] = frame
            for time_s in self._times_s:
                if frame.pts_s <= time_s:
                    self._before[time_s] = frame
                else:
                    self._after.setdefault(time_s, frame.index)

    def chosen(self, facts: VideoFacts) -> list[Frame]:
        """The frames by index, each once; UnknownFrame for one that is not there."""
        count, duration_s = facts.frames_in_video or 0, facts.duration_s or 0.0
        for index in sorted(self._indices - self._by_index.keys()):
            if index >= count:
                raise UnknownFrame(f"has no frame {index}: it has the frames 0 to {count - 1}")
            raise UnknownFrame(f"has no frame {index} to show: it is damaged or on screen for no time; name another")
        chosen = dict(self._by_index)
        for time_s in self._times_s:
            if time_s >= duration_s:
                raise UnknownFrame(f"has no frame at {time_s:g} s: it ends at {duration_s:g} s")
            frame = self._before.get(time_s)
            # Between this frame and the next one that came out others may be missing, and one of them be on screen.
            if frame is None or (frame.pts_s < time_s and self._after.get(time_s, count) != frame.index + 1):
                raise UnknownFrame(f"has no frame to show at {time_s:g} s: it is damaged there; name another time")
            chosen[frame.index] = frame
        return [chosen[index] for index in sorted(chosen)]


class Highest:
    """Keeps the frames with the highest marks; of equal ones the earliest."""

    def __init__(self, count: int, mark: Callable[[np.ndarray], np.ndarray]):
        """``mark``: uint8 (frames, height, width, 3) to float (frames,)."""
        self._count, self._mark = count, mark
        self._best: list[tuple[float, Frame]] = []

    def look(self, frames: Sequence[Frame]) -> None:
        if not frames:
            return
        marks = self._mark(np.stack([frame.pixels for frame in frames]))
        ranked = [*self._best, *zip(marks.tolist(), frames, strict=True)]
        self._best = sorted(ranked, key=lambda one: -one[0])[: self._count]

    def chosen(self, _facts: VideoFacts) -> list[Frame]:
        """The frames by index."""
        return sorted((frame for _, frame in self._best), key=lambda frame: frame.index)


def watch(path: str, settings: DecodeSettings, new_picker: Callable[[], PickerType]) -> tuple[PickerType, VideoFacts]:
    """Shows the frames of the video in the local file ``path`` to a picker of its own, and tells of the video.

    ``new_picker`` is called anew for each attempt at the video. DecodeError where no frame can be had.
    """
    shape = (-1, settings.input.height, settings.input.width, 3)
    picker, attempt = new_picker(), ""
    with DecoderProcess(settings) as decoder:
        for segment in decoder.decode(path):
            if segment.attempt != attempt:
                picker, attempt = new_picker(), segment.attempt
            pixels = np.frombuffer(segment.pixels, np.uint8).reshape(shape)
            rows = zip(segment.frame_index, segment.pts_s, pixels, strict=True)
            # Copies, as one kept frame would keep its whole segment.
            picker.look([Frame(index=index, pts_s=pts_s, pixels=rgb.copy()) for index, pts_s, rgb in rows])
            if (verdict := segment.verdict) is not None:
                if verdict.outcome not in HAS_FRAMES:
                    raise DecodeError(verdict.outcome, verdict.reason or "", verdict.facts)
                return picker, verdict.facts
    raise DecodeError(Outcome.CRASHED, "the decoder came to no verdict")

"""Labelled frames with the sampled frames around them, picked from a clip while every frame of it is decoded."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

import numpy as np

from artifactscan.decode.sampling import pad_window
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeResult

_SAME_TIME_S = 1e-6
"""Sampling times are compared with presentation times up to this: both are rounded to 64-bit floats."""


@dataclass(eq=False)
class _Window:
    """A labelled frame with the sampled frames around it that have been seen."""

    frame_index: int
    before: list[int]
    after: list[int] = field(default_factory=list)

    def indices(self, neighbours: int) -> list[int]:
        """2 · neighbours + 1 frame indices; at the ends of the clip the first or last one is repeated."""
        return pad_window(self.before, self.frame_index, self.after, neighbours)


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipWindows:
    """The labelled frames of one clip."""

    windows: dict[int, list[int]]
    """Labelled frame that was decoded → its window: 2 · neighbours + 1 frame indices, ends of the clip repeated."""
    pixels: dict[int, np.ndarray]
    """Frame of a window → uint8 (height, width, 3)."""
    result: DecodeResult


class _WindowPicker:
    """Is given the frames of one attempt at a clip, in order."""

    def __init__(self, wanted: frozenset[int], sample_fps: float, neighbours: int):
        self.wanted, self.sample_fps, self.neighbours = wanted, sample_fps, neighbours
        self.recent: deque[int] = deque(maxlen=neighbours)
        """The latest sampled frames."""
        self.windows: list[_Window] = []
        self.pixels: dict[int, np.ndarray] = {}
        self.on_screen: tuple[int, float, np.ndarray] | None = None
        """The frame that is shown until the next one comes."""

    def add(self, frame_index: int, pts_s: float, rgb: np.ndarray) -> None:
        self._end_frame(pts_s)
        if frame_index in self.wanted:
            self.windows.append(_Window(frame_index, list(self.recent)))
            self.pixels[frame_index] = rgb.copy()
        self.on_screen = (frame_index, pts_s, rgb)

    def finish(self, duration_s: float) -> dict[int, list[int]]:
        """The windows, once all frames were added."""
        self._end_frame(duration_s)
        return {one.frame_index: one.indices(self.neighbours) for one in self.windows}

    def _end_frame(self, until_s: float) -> None:
        """Takes the frame on screen as a sampled one if a sampling time lies between its own time and ``until_s``."""
        if self.on_screen is None or not self.neighbours:
            return
        frame_index, pts_s, rgb = self.on_screen
        if ceil((pts_s - _SAME_TIME_S) * self.sample_fps) / self.sample_fps >= until_s - _SAME_TIME_S:
            return
        for one in self.windows:
            if one.frame_index < frame_index and len(one.after) < self.neighbours:
                one.after.append(frame_index)
        self.recent.append(frame_index)
        self.pixels.setdefault(frame_index, rgb.copy())
        needed = set(self.recent).union(*([one.frame_index, *one.before, *one.after] for one in self.windows))
        for unused in self.pixels.keys() - needed:
            del self.pixels[unused]


def select_windows(
    segments: Iterable[Segment], wanted: Iterable[int], *, sample_fps: float, neighbours: int
) -> ClipWindows:
    """Picks the frames ``wanted`` of a clip of which every frame is decoded, and ``neighbours`` sampled frames around.

    The windows are those in which the scoring job at ``sample_fps`` sees the frames it samples; a labelled frame
    between two of those has them for neighbours.
    """
    frames = frozenset(wanted)
    picker, attempt, result = _WindowPicker(frames, sample_fps, neighbours), "", None
    for segment in segments:
        if segment.attempt != attempt:  # the next decoder starts from the first frame
            picker, attempt = _WindowPicker(frames, sample_fps, neighbours), segment.attempt
        for index, pts_s, rgb in zip(segment.frame_index, segment.pts_s, segment.frames(), strict=True):
            picker.add(index, pts_s, rgb)
        result = segment.result or result
    assert result is not None, "the segments of a clip have no result"
    found = picker.finish(result.facts.duration_s or float("inf"))
    used = {index for indices in found.values() for index in indices}
    pixels = {index: rgb for index, rgb in picker.pixels.items() if index in used}
    return ClipWindows(windows=found, pixels=pixels, result=result)

"""A scored video as every export of events takes it, and which of its frames an event covers."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from artifactscan.scoring.events import frame_ends

_TOLERANCE_S = 1e-6
"""Frames and events have the same times; this allows for rounding in their sums."""
_TOLERANCE_FRAMES = 0.1
"""Containers round presentation times to a millisecond, a sixteenth of a frame at 60 frames per second."""


@dataclass(frozen=True)
class ScoredEvent:
    """An event, in seconds and in frames of the video, which count from 0 in presentation order."""

    label: str
    start_s: float
    end_s: float
    peak: float
    """The highest score."""
    peak_frame: int
    first_frame: int
    last_frame: int
    """The last one that is shown before ``end_s``, sampled or not."""


@dataclass(frozen=True)
class ScoredVideo:
    """A video with the scores of its sampled frames and the events found in them."""

    video_id: str
    uri: str
    file: str
    """Its path below the corpus, by which labels name it."""
    frame_index: np.ndarray
    """int32 (frames,), ascending."""
    pts_s: np.ndarray
    """float64 (frames,)."""
    scores: np.ndarray
    """float32 (frames, labels), in label order."""
    events: tuple[ScoredEvent, ...]
    """By start, then label."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """width, height, fps, duration_s, frames_in_video and size_bytes, as the ledger has them; each may be None."""

    @property
    def fps(self) -> float | None:
        return self.facts.get("fps")

    @cached_property
    def frames(self) -> list[tuple[int, float, list[float]]]:
        """Frame index, presentation time in seconds and scores of each sampled frame, as Python numbers."""
        return list(zip(self.frame_index.tolist(), self.pts_s.tolist(), self.scores.tolist(), strict=True))


def locate_events(
    rows: Iterable[Mapping[str, Any]],
    *,
    frame_index: np.ndarray,
    pts_s: np.ndarray,
    sample_fps: float,
    facts: Mapping[str, Any],
) -> tuple[ScoredEvent, ...]:
    """The events of one video, from its EVENTS rows, with the frames that each covers.

    ``frame_index`` and ``pts_s``: of its sampled frames, in order; ``facts``: as a ScoredVideo has them.
    """
    rows = list(rows)
    if not rows:
        return ()
    duration = facts.get("duration_s")
    ends = np.minimum(frame_ends(pts_s, np.diff(frame_index), sample_fps), np.inf if duration is None else duration)
    found = []
    for row in rows:
        last = len(pts_s) - 1
        first_at = min(int(np.searchsorted(pts_s, row["start_s"] - _TOLERANCE_S)), last)
        last_at = min(max(int(np.searchsorted(ends, row["end_s"] - _TOLERANCE_S)), first_at), last)
        end = int(frame_index[last_at]) + _frames_until(row["end_s"] - float(pts_s[last_at]), facts.get("fps"))
        if last_at < last:
            end = min(end, int(frame_index[last_at + 1]) - 1)
        if facts.get("frames_in_video"):
            end = max(min(end, facts["frames_in_video"] - 1), int(frame_index[last_at]))
        found.append(
            ScoredEvent(
                label=row["label"],
                start_s=row["start_s"],
                end_s=row["end_s"],
                peak=row["peak"],
                peak_frame=row["peak_frame"],
                first_frame=int(frame_index[first_at]),
                last_frame=end,
            )
        )
    return tuple(sorted(found, key=lambda event: (event.start_s, event.label, event.end_s)))


def _frames_until(seconds: float, fps: float | None) -> int:
    """How many further frames a video shows in the ``seconds`` after one was shown; 0 where its rate is not known."""
    return max(0, math.ceil(seconds * fps - _TOLERANCE_FRAMES) - 1) if fps else 0

"""Finds time-coded events in frame probabilities: where a label stays over its threshold."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS
from artifactscan.schemas import EVENTS


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """When neighbouring frames form one event (hysteresis thresholding)."""

    release_ratio: float = 0.8
    """An event starts at the label's threshold and goes on while the probability is at least this share of it."""
    max_gap_frames: int = 1
    """Consecutive sampled frames below that level that do not end an event."""
    min_frames: int = 1
    """Sampled frames from the first to the last of an event, at least. At two frames per second most labelled defects
    last one or two."""

    def __post_init__(self) -> None:
        if not 0 < self.release_ratio <= 1:
            raise UsageError(f"release_ratio is {self.release_ratio}; give a share above 0 and at most 1")
        if self.max_gap_frames < 0:
            raise UsageError(f"max_gap_frames is {self.max_gap_frames}; give 0 or more")
        if self.min_frames < 1:
            raise UsageError(f"min_frames is {self.min_frames}; give 1 or more")

    def at_rate(self, factor: int) -> "EventSettings":
        """The same durations where ``factor`` times as many frames are sampled."""
        gap = factor * (self.max_gap_frames + 1) - 1
        return replace(self, max_gap_frames=gap, min_frames=factor * (self.min_frames - 1) + 1)


def find_events(
    frames: pa.Table,
    thresholds: Mapping[str, float],
    *,
    sample_fps: float,
    durations_s: Mapping[str, float | None] | None = None,
    settings: EventSettings | None = None,
) -> pa.Table:
    """The events of complete videos, as an EVENTS table.

    ``frames`` has the FRAMES schema, sorted by uri and frame_index. ``start_s`` is the time of the event's first frame.
    ``end_s`` is one sampling period after its last frame, or later where that frame is shown for longer, but not after
    the end of the video (``durations_s`` by video_id).
    """
    settings, durations_s = settings or EventSettings(), durations_s or {}
    rows: list[dict[str, object]] = []
    if frames.num_rows:
        videos = frames["video_id"].combine_chunks().dictionary_encode()
        codes = videos.indices.to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        uris, pts, index = frames["uri"], frames["pts_s"].to_numpy(), frames["frame_index"].to_numpy()
        scores = {label: frames[f"p_{label}"].to_numpy() for label in LABELS}
        for start, stop in zip(starts, np.r_[starts[1:], len(codes)], strict=True):
            video = frames["video_id"][int(start)].as_py()
            duration = durations_s.get(video)
            times, step = pts[start:stop], np.diff(index[start:stop])
            position = _positions(times, step, sample_fps)
            ends = np.minimum(frame_ends(times, step, sample_fps), np.inf if duration is None else duration)
            for label in LABELS:
                p = scores[label][start:stop]
                for first, last in _runs(p, position, thresholds[label], settings):
                    peak = start + first + int(np.argmax(p[first : last + 1]))
                    rows.append(
                        {
                            "video_id": video,
                            "uri": uris[int(start)].as_py(),
                            "label": label,
                            "start_s": float(times[first]),
                            "end_s": float(ends[last]),
                            "peak": float(scores[label][peak]),
                            "peak_frame": int(index[peak]),
                        }
                    )
    return pa.Table.from_pylist(rows, schema=EVENTS)


def _positions(times: np.ndarray, step: np.ndarray, sample_fps: float) -> np.ndarray:
    """Position of each frame among the sampled frames, counting those lost to damage.

    Between consecutive frames of the video (``step`` 1) none was lost, however long the first was shown.
    """
    periods = np.maximum(1, np.round(np.diff(times) * sample_fps))
    return np.r_[0, np.cumsum(np.where(step == 1, 1, periods))]


def frame_ends(times: np.ndarray, step: np.ndarray, sample_fps: float) -> np.ndarray:
    """Seconds until which each frame counts as shown: one sampling period, or up to the next frame of the video.

    ``times``: of one video's sampled frames, seconds, (frames,); ``step``: differences of their indices, (frames - 1,).
    """
    ends = times + 1.0 / sample_fps
    ends[:-1] = np.where(step == 1, np.maximum(ends[:-1], times[1:]), ends[:-1])
    return ends


def _runs(p: np.ndarray, position: np.ndarray, threshold: float, settings: EventSettings) -> list[tuple[int, int]]:
    """First and last index of every event in one label's probabilities of one video."""
    held = np.flatnonzero(p >= threshold * settings.release_ratio)
    if not held.size:
        return []
    breaks = np.flatnonzero(np.diff(position[held]) > settings.max_gap_frames + 1)
    firsts = held[np.r_[0, breaks + 1]]
    lasts = held[np.r_[breaks, held.size - 1]]
    long = position[lasts] - position[firsts] + 1 >= settings.min_frames
    spans = zip(firsts[long], lasts[long], strict=True)
    return [(int(a), int(b)) for a, b in spans if p[a : b + 1].max() >= threshold]

"""Frame probabilities to time-coded events: where a label stays over its threshold."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from artifactscan.labels import LABELS
from artifactscan.tables import EVENTS


@dataclass(frozen=True, kw_only=True)
class EventSettings:
    """When neighbouring frames make one event (hysteresis thresholding)."""

    release_ratio: float = 0.8
    """An event that began at the label's threshold goes on down to this share of it."""
    max_gap_frames: int = 1
    """Sampled frames below that which do not end an event; a label that flickers off for one frame is one event."""


def find_events(
    frames: pa.Table,
    thresholds: Mapping[str, float],
    *,
    sample_fps: float,
    settings: EventSettings | None = None,
) -> pa.Table:
    """The events of whole videos.

    ``frames`` has the FRAMES schema, sorted by uri and frame_index, every video complete. ``start_s`` is the time of
    an event's first frame, ``end_s`` that of its last plus one sampling period. Returns the EVENTS schema.
    """
    settings = settings or EventSettings()
    rows: list[dict[str, object]] = []
    if frames.num_rows:
        videos = frames["video_id"].combine_chunks().dictionary_encode()
        codes = videos.indices.to_numpy(zero_copy_only=False)
        starts = np.flatnonzero(np.r_[True, codes[1:] != codes[:-1]])
        uris, pts, index = frames["uri"], frames["pts_s"].to_numpy(), frames["frame_index"].to_numpy()
        scores = {label: frames[f"p_{label}"].to_numpy() for label in LABELS}
        for start, stop in zip(starts, np.r_[starts[1:], len(codes)], strict=True):
            for label in LABELS:
                p = scores[label][start:stop]
                for first, last in _runs(p, thresholds[label], settings):
                    peak = start + first + int(np.argmax(p[first : last + 1]))
                    rows.append(
                        {
                            "video_id": frames["video_id"][int(start)].as_py(),
                            "uri": uris[int(start)].as_py(),
                            "label": label,
                            "start_s": float(pts[start + first]),
                            "end_s": float(pts[start + last]) + 1.0 / sample_fps,
                            "peak": float(scores[label][peak]),
                            "peak_frame": int(index[peak]),
                        }
                    )
    return pa.Table.from_pylist(rows, schema=EVENTS)


def _runs(p: np.ndarray, threshold: float, settings: EventSettings) -> list[tuple[int, int]]:
    """First and last position of every event in one label's probabilities of one video."""
    held = np.flatnonzero(p >= threshold * settings.release_ratio)
    if not held.size:
        return []
    breaks = np.flatnonzero(np.diff(held) > settings.max_gap_frames + 1)
    firsts = held[np.r_[0, breaks + 1]]
    lasts = held[np.r_[breaks, held.size - 1]]
    return [(int(a), int(b)) for a, b in zip(firsts, lasts, strict=True) if p[a : b + 1].max() >= threshold]

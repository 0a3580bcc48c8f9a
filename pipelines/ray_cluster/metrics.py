"""What Prometheus hears of a run: the metrics that actors and the driver keep through ray.util.metrics.

Ray puts `ray_` before each name and `_total` behind a counter's, and serves them on every node. They tell how it goes;
what became of each video is in the ledger, exactly once, while a block that Ray tries again is counted here again, and
a video in slices by its first.

What to know of Ray 2.60: a series begins with the first value, not with zero, so a rate misses what came first. Of a
histogram Ray keeps the counts by bucket and makes its `_sum` of their middles: quantiles are right to a bucket, sums
are estimates. A counter outlives the process that counted, a gauge does not.
"""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ray.util.metrics import Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 150, 300)
"""Up to the time limit of a video."""
_BATCH_FRAMES = (1, 4, 16, 32, 64, 128, 256, 512)
_HOLD_S = 2.0
"""Ray drops a gauge that was not set for two of its reports, 20 s, though its process lives: so it is set again."""


@dataclass(frozen=True)
class Metric:
    """One metric as it is declared to Ray."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    tags: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """The name under which Prometheus finds it."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")

    def add(self, value: float = 1, **tags: str) -> None:
        """Counts, sets or observes, as its kind has it. A gauge holds until it is set anew or its process ends."""
        kept = _kept(self)
        if isinstance(kept, Counter):
            if value > 0:
                kept.inc(value, tags=tags)
        elif isinstance(kept, Gauge):
            kept.set(value, tags=tags)
            _held[self, *sorted(tags.items())] = value
            _hold()
        else:
            kept.observe(value, tags=tags)


VIDEOS = Metric("artifactscan_videos", "counter", "Videos done, by outcome.", ("outcome",))
FRAMES = Metric("artifactscan_frames", "counter", "Sampled frames by outcome: decoded, lost, scored.", ("outcome",))
FETCHED_BYTES = Metric("artifactscan_fetched_bytes", "counter", "Bytes of videos brought to a node or read there.")
RETRIES = Metric(
    "artifactscan_retries", "counter", "Tries after the first: of a request to the storage, of a graph.", ("what",)
)
BATCHES = Metric("artifactscan_batches", "counter", "Forward passes, by device and precision.", ("device", "precision"))
FETCH_SECONDS = Metric(
    "artifactscan_fetch_seconds", "histogram", "Seconds to bring one video to its node.", boundaries=_SECONDS
)
DECODE_SECONDS = Metric("artifactscan_decode_seconds", "histogram", "Seconds to decode one video.", boundaries=_SECONDS)
CLASSIFY_SECONDS = Metric(
    "artifactscan_classify_seconds", "histogram", "Seconds to classify one block of frames.", boundaries=_SECONDS
)
BATCH_FRAMES = Metric(
    "artifactscan_batch_frames", "histogram", "Frames in one block to classify.", boundaries=_BATCH_FRAMES
)
VIDEOS_WAITING = Metric("artifactscan_videos_waiting", "gauge", "Videos of the run that are not done.")
FRAMES_WAITING = Metric("artifactscan_frames_waiting", "gauge", "Frames that are decoded and not classified.")
ACTORS = Metric("artifactscan_actors", "gauge", "Actors at work, by stage: decode, classify.", ("stage",))

METRICS: tuple[Metric, ...] = (
    VIDEOS,
    FRAMES,
    FETCHED_BYTES,
    RETRIES,
    BATCHES,
    FETCH_SECONDS,
    DECODE_SECONDS,
    CLASSIFY_SECONDS,
    BATCH_FRAMES,
    VIDEOS_WAITING,
    FRAMES_WAITING,
    ACTORS,
)


@cache
def _kept(metric: Metric) -> Counter | Gauge | Histogram:
    """The process's own instance: Ray has one of each name in a process."""
    if metric.kind == "counter":
        return Counter(metric.name, description=metric.description, tag_keys=metric.tags)
    if metric.kind == "gauge":
        return Gauge(metric.name, description=metric.description, tag_keys=metric.tags)
    return Histogram(
        metric.name, description=metric.description, boundaries=list(metric.boundaries), tag_keys=metric.tags
    )


_held: dict[tuple, float] = {}
"""What each gauge was set to last: the gauge and its tags, and the value."""


@cache
def _hold() -> threading.Thread:
    """The process's thread that keeps its gauges standing."""
    thread = threading.Thread(target=_set_again, daemon=True, name="gauges")
    thread.start()
    return thread


def _set_again() -> None:
    pause = threading.Event()
    while not pause.wait(_HOLD_S):
        for (metric, *tags), value in list(_held.items()):
            kept = _kept(metric)
            assert isinstance(kept, Gauge)
            kept.set(value, tags=dict(tags))

"""The Prometheus metrics of a run, which actors and the driver record through ray.util.metrics.

Ray serves them on every node, with the prefix `ray_`, and the suffix `_total` for counters. They show progress; the
outcome of each video, exactly once, is in the ledger. A block that Ray repeats is counted again here, and a video in
slices is counted with its first slice.

Each has the label `run` beside its own: the run that the process works for (`work_for`). An actor works for one run, so
that a night adds as many series as it has runs.

Behaviour of Ray 2.60: a series starts with its first value, not with zero, so rates miss that value. Ray computes the
`_sum` of a histogram from the middles of the buckets: quantiles are exact to a bucket, sums are estimates. A counter
outlives the process that counted, a gauge does not.
"""

import threading
from dataclasses import dataclass
from functools import cache
from typing import Literal

from ray.util.metrics import Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 150, 300)
"""Bucket boundaries up to the time limit of a video."""
_BATCH_FRAMES = (1, 4, 16, 32, 64, 128, 256, 512)
RUN = "run"
"""The label that all metrics have."""
_REFRESH_S = 2.0
"""Interval at which gauges are set again: Ray drops one that was not set for two of its reports, 20 s."""


@dataclass(frozen=True)
class Metric:
    """The declaration of one metric."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    description: str
    tags: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """Its name in Prometheus."""
        return f"ray_{self.name}" + ("_total" if self.kind == "counter" else "")

    @property
    def labels(self) -> tuple[str, ...]:
        """Its tags, and RUN."""
        return (*self.tags, RUN)

    def record(self, value: float = 1, **tags: str) -> None:
        """Adds to a counter, sets a gauge until it is set again or its process ends, or adds to a histogram."""
        instrument, tags = _instrument(self), {**tags, RUN: _run}
        if isinstance(instrument, Counter):
            if value > 0:
                instrument.inc(value, tags=tags)
        elif isinstance(instrument, Gauge):
            instrument.set(value, tags=tags)
            _gauge_values[self, *sorted(tags.items())] = value
            _start_refreshing()
        else:
            instrument.observe(value, tags=tags)


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


_run = ""


def work_for(run: str) -> None:
    """Names the run of all that this process records from now on; empty where there is none."""
    global _run
    _run = run


@cache
def _instrument(metric: Metric) -> Counter | Gauge | Histogram:
    """Ray's object for this metric: one per name and process."""
    if metric.kind == "counter":
        return Counter(metric.name, description=metric.description, tag_keys=metric.labels)
    if metric.kind == "gauge":
        return Gauge(metric.name, description=metric.description, tag_keys=metric.labels)
    return Histogram(
        metric.name, description=metric.description, boundaries=list(metric.boundaries), tag_keys=metric.labels
    )


_gauge_values: dict[tuple, float] = {}
"""(gauge, its tags) → the value it was set to last."""


@cache
def _start_refreshing() -> threading.Thread:
    """Starts the thread of this process that refreshes its gauges, once."""
    thread = threading.Thread(target=_refresh_gauges, daemon=True, name="gauges")
    thread.start()
    return thread


def _refresh_gauges() -> None:
    pause = threading.Event()
    while not pause.wait(_REFRESH_S):
        for (metric, *tags), value in list(_gauge_values.items()):
            instrument = _instrument(metric)
            assert isinstance(instrument, Gauge)
            instrument.set(value, tags=dict(tags))

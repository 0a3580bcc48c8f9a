"""The tally of a graph's progress, an actor beside the driver to which all actors report, and its line."""

import logging
from typing import cast

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from artifactscan.pipelines.ray_cluster import metrics
from artifactscan.pipelines.ray_cluster.node_affinity import on_driver_node
from artifactscan.scoring import progress
from artifactscan.scoring.progress import STARTING, Progress, Snapshot
from artifactscan.telemetry.finished_span import FinishedSpan

READ_TIMEOUT_S = 5.0
MOST_SPANS = 10_000
"""Spans that wait for the driver at most, some megabytes; it takes them every second."""


class Tally(progress.Tally):
    """Keeps the gauges of what is waiting as well, and the actors' spans until the driver takes them."""

    def __init__(self, total: int = 0, run: str = "") -> None:
        super().__init__(total)
        self.spans: list[FinishedSpan] = []
        self.lost_spans = 0
        metrics.work_for(run)
        metrics.VIDEOS_WAITING.record(total)  # shows also for a run that never starts

    def add(self, frames: int, outcomes: dict[str, str], notes: list[str]) -> None:
        super().add(frames, outcomes, notes)
        metrics.VIDEOS_WAITING.record(max(0, self.total - self.snapshot.videos))
        self._record_waiting_frames()

    def add_decoded(self, frames: int) -> None:
        super().add_decoded(frames)
        self._record_waiting_frames()

    def add_span(self, span: FinishedSpan) -> None:
        """Keeps a span, unless MOST_SPANS wait already."""
        if len(self.spans) < MOST_SPANS:
            self.spans.append(span)
        else:
            self.lost_spans += 1

    def take_spans(self) -> tuple[list[FinishedSpan], int]:
        """The spans since the last call, and how many more there were no room for."""
        taken, lost = self.spans, self.lost_spans
        self.spans, self.lost_spans = [], 0
        return taken, lost

    def _record_waiting_frames(self) -> None:
        metrics.FRAMES_WAITING.record(max(0, self.snapshot.decoded - self.snapshot.frames))


_TallyActor = ray.remote(num_cpus=0)(Tally)


def start_tally(total: int, run: str) -> ActorProxy[Tally]:
    """A tally of ``total`` videos on the driver's node; ``run``: the label of its gauges."""
    return _TallyActor.options(scheduling_strategy=on_driver_node()).remote(total, run)


def read_tally(tally: ActorProxy[Tally]) -> Snapshot:
    """The tally's current counts; RayError where the cluster is gone."""
    return cast(Snapshot, ray.get(tally.read.remote(), timeout=READ_TIMEOUT_S))


def show_progress(tally: ActorProxy[Tally], *, total: int, quiet: bool, log: logging.Logger | None = None) -> Progress:
    """The progress line of a tally, a context manager."""

    def read() -> Snapshot | None:
        try:
            return read_tally(tally)
        except RayError:  # the cluster is going down, which the graph itself reports
            return None

    return Progress(read, total=total, quiet=quiet, log=log, why_waiting=_why_not_started)


def _why_not_started() -> str:
    """Why no actor has started after a while, as far as the free resources show it."""
    try:
        free, there = ray.available_resources(), ray.cluster_resources()
    except RayError:
        return STARTING
    kinds = [kind for kind in ("CPU", "GPU") if there.get(kind)]
    shares = " and ".join(f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s" for kind in kinds)
    return f"no process has begun yet, {shares} are free"

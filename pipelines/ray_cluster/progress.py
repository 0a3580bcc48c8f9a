"""Progress of a graph: actors report to a tally, an actor beside the driver, and the driver prints it."""

import logging
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TextIO, cast

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from artifactscan.pipelines.ray_cluster import metrics
from artifactscan.pipelines.ray_cluster.node_affinity import on_driver_node

TERMINAL_INTERVAL_S = 0.5
READ_TIMEOUT_S = 5.0
LOG_INTERVAL_S = 30.0
"""Without a terminal: a line for the first frames and then one per interval, for the job's log."""
_ID_DIGITS = 15
"""Digits of a video id to count by: they fit into 64 bits, and are distinct among a million videos."""


@dataclass
class Snapshot:
    """Counts since the graph started."""

    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    notes: set[str] = field(default_factory=set)
    """What the classifiers chose or changed: a sentence each."""
    decoded: int = 0
    """Frames passed on to classifiers."""
    segments: int = 0
    """Segments passed on by decoders, with or without frames."""
    nodes: dict[str, str] = field(default_factory=dict)
    """Actor id → id of the node on which it started last."""

    @property
    def videos(self) -> int:
        return sum(self.outcomes.values())


class Tally:
    """Counts what the actors have done: each video once, even if Ray repeats it, but its frames each time."""

    def __init__(self, total: int = 0) -> None:
        self.snapshot = Snapshot()
        self.total = total
        self.counted: set[int] = set()
        """Ids, as numbers, of the videos that have an outcome: a million take 100 MB."""
        metrics.VIDEOS_WAITING.record(total)  # shows also for a run that never starts

    def add(self, frames: int, outcomes: dict[str, str], notes: list[str]) -> None:
        """Adds classified frames; ``outcomes``: video_id → outcome of the videos that are done now."""
        self.snapshot.frames += frames
        for video_id, outcome in outcomes.items():
            if (number := int(video_id[:_ID_DIGITS], 16)) not in self.counted:
                self.counted.add(number)
                self.snapshot.outcomes[outcome] += 1
        self.snapshot.notes.update(notes)
        metrics.VIDEOS_WAITING.record(max(0, self.total - self.snapshot.videos))
        metrics.FRAMES_WAITING.record(max(0, self.snapshot.decoded - self.snapshot.frames))

    def add_decoded(self, frames: int) -> None:
        self.snapshot.decoded += frames
        self.snapshot.segments += 1
        metrics.FRAMES_WAITING.record(max(0, self.snapshot.decoded - self.snapshot.frames))

    def actor_started(self, actor: str, node: str) -> None:
        self.snapshot.nodes[actor] = node

    def read(self) -> Snapshot:
        return self.snapshot


_TallyActor = ray.remote(num_cpus=0)(Tally)


def start_tally(total: int) -> ActorProxy[Tally]:
    """A tally of ``total`` videos on the driver's node."""
    return _TallyActor.options(scheduling_strategy=on_driver_node()).remote(total)


def read_tally(tally: ActorProxy[Tally]) -> Snapshot:
    """The tally's current counts; RayError where the cluster is gone."""
    return cast(Snapshot, ray.get(tally.read.remote(), timeout=READ_TIMEOUT_S))


def format_progress(snapshot: Snapshot, *, total: int, elapsed_s: float, state: str = "starting") -> str:
    """One line: videos and frames done, rates, outcomes (or ``state`` where there are none yet), time left."""
    rate = snapshot.videos / elapsed_s if elapsed_s else 0.0
    left = f"ETA {_format_seconds((total - snapshot.videos) / rate)}" if rate else "ETA -"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in snapshot.outcomes.most_common())
    return (
        f"{snapshot.videos:,}/{total:,} videos  {snapshot.frames:,} frames  {rate:.1f} videos/s  "
        f"{snapshot.frames / elapsed_s if elapsed_s else 0.0:.1f} frames/s  {outcomes or state}  {left}"
    )


def _why_not_started() -> str:
    """Why no actor has started after a while, as far as the free resources show it."""
    try:
        free, there = ray.available_resources(), ray.cluster_resources()
    except RayError:
        return "starting"
    kinds = [kind for kind in ("CPU", "GPU") if there.get(kind)]
    shares = " and ".join(f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s" for kind in kinds)
    return f"no process has begun yet, {shares} are free"


def _format_seconds(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Prints the tally while a graph runs: one line that is rewritten on a terminal, a line per interval elsewhere."""

    def __init__(
        self,
        tally: ActorProxy[Tally],
        *,
        total: int,
        quiet: bool,
        stream: TextIO | None = None,
        log: logging.Logger | None = None,
    ):
        self.tally = tally
        self.total = total
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.live = self.stream.isatty() and log is None
        self.log = log
        self.state, self.next_check_s = "starting", LOG_INTERVAL_S
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Progress":
        self.started = time.monotonic()
        if not self.quiet:
            self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        if not self.quiet:
            self.thread.join()

    def _watch(self) -> None:
        printed_at, started, last = time.monotonic(), False, None
        while not self.stop.wait(TERMINAL_INTERVAL_S):
            snapshot = self._read()
            if snapshot is None:
                continue
            first = not started and snapshot.frames > 0
            if self.live or first or time.monotonic() - printed_at >= LOG_INTERVAL_S:
                self._print(snapshot, end="" if self.live else "\n")
                printed_at, started, last = time.monotonic(), started or first, snapshot
        # A log gets no last line that repeats the one before it.
        if (snapshot := self._read()) is not None and (self.live or snapshot != last):
            self._print(snapshot, end="\n")

    def _read(self) -> Snapshot | None:
        try:
            return read_tally(self.tally)
        except RayError:  # the cluster is going down, which the graph itself reports
            return None

    def _print(self, snapshot: Snapshot, *, end: str) -> None:
        elapsed_s = time.monotonic() - self.started
        if snapshot.nodes or snapshot.outcomes:
            self.state = "starting"
        elif elapsed_s >= self.next_check_s:
            self.state, self.next_check_s = _why_not_started(), elapsed_s + LOG_INTERVAL_S
        text = format_progress(snapshot, total=self.total, elapsed_s=elapsed_s, state=self.state)
        if self.log is not None:
            facts = {"videos": snapshot.videos, "frames": snapshot.frames, "outcomes": dict(snapshot.outcomes)}
            self.log.info(text, extra={**facts, "total": self.total, "elapsed_s": round(elapsed_s, 3)})
            return
        print(f"\r\x1b[2K{text}" if self.live else text, end=end, file=self.stream, flush=True)

"""Telling a person how far a run is: actors report to a tally, the driver prints it."""

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
from artifactscan.pipelines.ray_cluster.connection import beside_driver

TERMINAL_INTERVAL_S = 0.5
READ_TIMEOUT_S = 5.0
LOG_INTERVAL_S = 30.0
"""Without a terminal a line for the first frames and one now and then are enough: they end up in a job's log."""
_ID_DIGITS = 15
"""Of a video's id: as a number they fit a machine word, and among a million videos no two share them."""


@dataclass
class Snapshot:
    """Counts since the graph started."""

    frames: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    notes: set[str] = field(default_factory=set)
    """What classifiers did otherwise than asked, in words."""
    decoded: int = 0
    """Frames handed on to be classified."""
    segments: int = 0
    """How often decoders handed on anything, be it a verdict without frames."""
    nodes: dict[str, str] = field(default_factory=dict)
    """Actor → the node it is at work on, or was before it was lost."""

    @property
    def videos(self) -> int:
        return sum(self.outcomes.values())


class Tally:
    """Counts what the actors have done: a video once, however often it is done again, its frames each time."""

    def __init__(self, total: int = 0) -> None:
        self.snapshot = Snapshot()
        self.total = total
        self.counted: set[int] = set()
        """Videos that have their outcome: as numbers a million take 100 MB."""
        metrics.VIDEOS_WAITING.add(total)  # a run that never begins to move shows too

    def add(self, frames: int, outcomes: dict[str, str], notes: list[str]) -> None:
        """``outcomes``: of the videos that are done now, by their ids."""
        self.snapshot.frames += frames
        for video_id, outcome in outcomes.items():
            if (number := int(video_id[:_ID_DIGITS], 16)) not in self.counted:
                self.counted.add(number)
                self.snapshot.outcomes[outcome] += 1
        self.snapshot.notes.update(notes)
        metrics.VIDEOS_WAITING.add(max(0, self.total - self.snapshot.videos))
        metrics.FRAMES_WAITING.add(max(0, self.snapshot.decoded - self.snapshot.frames))

    def decoded(self, frames: int) -> None:
        self.snapshot.decoded += frames
        self.snapshot.segments += 1
        metrics.FRAMES_WAITING.add(max(0, self.snapshot.decoded - self.snapshot.frames))

    def arrived(self, actor: str, node: str) -> None:
        self.snapshot.nodes[actor] = node

    def read(self) -> Snapshot:
        return self.snapshot


_TallyActor = ray.remote(num_cpus=0)(Tally)


def start_tally(total: int) -> ActorProxy[Tally]:
    """A tally of ``total`` videos beside the driver, with which it goes."""
    return _TallyActor.options(scheduling_strategy=beside_driver()).remote(total)


def read(tally: ActorProxy[Tally]) -> Snapshot:
    """What the tally holds now; RayError where the cluster is gone."""
    return cast(Snapshot, ray.get(tally.read.remote(), timeout=READ_TIMEOUT_S))


def line(snapshot: Snapshot, *, total: int, elapsed_s: float, otherwise: str = "starting") -> str:
    """One line: videos and frames done, rates, outcomes or, where there are none yet, ``otherwise``, time left."""
    rate = snapshot.videos / elapsed_s if elapsed_s else 0.0
    left = f"ETA {_clock((total - snapshot.videos) / rate)}" if rate else "ETA -"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in snapshot.outcomes.most_common())
    return (
        f"{snapshot.videos:,}/{total:,} videos  {snapshot.frames:,} frames  {rate:.1f} videos/s  "
        f"{snapshot.frames / elapsed_s if elapsed_s else 0.0:.1f} frames/s  {outcomes or otherwise}  {left}"
    )


def _nobody_yet() -> str:
    """What may be the reason that no actor has begun after a while."""
    try:
        free, there = ray.available_resources(), ray.cluster_resources()
    except RayError:
        return "starting"
    kinds = [kind for kind in ("CPU", "GPU") if there.get(kind)]
    shares = " and ".join(f"{free.get(kind, 0):g} of {there[kind]:g} {kind}s" for kind in kinds)
    return f"no process has begun yet, {shares} are free"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Prints the tally while a graph runs: a line that is rewritten on a terminal, a line now and then elsewhere."""

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
        self.otherwise, self.ask_after_s = "starting", LOG_INTERVAL_S
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
        printed, begun, told = time.monotonic(), False, None
        while not self.stop.wait(TERMINAL_INTERVAL_S):
            snapshot = self._read()
            if snapshot is None:
                continue
            first = not begun and snapshot.frames > 0
            if self.live or first or time.monotonic() - printed >= LOG_INTERVAL_S:
                self._print(snapshot, end="" if self.live else "\n")
                printed, begun, told = time.monotonic(), begun or first, snapshot
        # In a log the last word may have been said a moment ago.
        if (snapshot := self._read()) is not None and (self.live or snapshot != told):
            self._print(snapshot, end="\n")

    def _read(self) -> Snapshot | None:
        try:
            return read(self.tally)
        except RayError:  # the cluster is going down; whoever waits for the graph says why
            return None

    def _print(self, snapshot: Snapshot, *, end: str) -> None:
        elapsed_s = time.monotonic() - self.started
        if snapshot.nodes or snapshot.outcomes:
            self.otherwise = "starting"
        elif elapsed_s >= self.ask_after_s:
            self.otherwise, self.ask_after_s = _nobody_yet(), elapsed_s + LOG_INTERVAL_S
        text = line(snapshot, total=self.total, elapsed_s=elapsed_s, otherwise=self.otherwise)
        if self.log is not None:
            facts = {"videos": snapshot.videos, "frames": snapshot.frames, "outcomes": dict(snapshot.outcomes)}
            self.log.info(text, extra={**facts, "total": self.total, "elapsed_s": round(elapsed_s, 3)})
            return
        print(f"\r\x1b[2K{text}" if self.live else text, end=end, file=self.stream, flush=True)

"""Progress of a run: a tally counts what the stages have done, and a line shows it on stderr."""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TextIO

TERMINAL_INTERVAL_S = 0.5
LOG_INTERVAL_S = 30.0
"""Without a terminal: a line for the first frames and then one per interval, for the job's log."""
STARTING = "starting processes"
_STATES = {"decode": "loading the checkpoint", "classify": "scoring the first videos"}
"""What is going on once the first worker of a stage has started."""
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
    state: str = STARTING
    """What is going on while no video is done yet."""

    @property
    def videos(self) -> int:
        return sum(self.outcomes.values())


class Tally:
    """Counts what has been done: each video once, even if it is done again, but its frames each time."""

    def __init__(self, total: int = 0) -> None:
        self.snapshot = Snapshot()
        self.total = total
        self.counted: set[int] = set()
        """Ids, as numbers, of the videos that have an outcome: a million take 100 MB."""

    def add(self, frames: int, outcomes: dict[str, str], notes: list[str]) -> None:
        """Adds classified frames; ``outcomes``: video_id → outcome of the videos that are done now."""
        self.snapshot.frames += frames
        for video_id, outcome in outcomes.items():
            if (number := int(video_id[:_ID_DIGITS], 16)) not in self.counted:
                self.counted.add(number)
                self.snapshot.outcomes[outcome] += 1
        self.snapshot.notes.update(notes)

    def add_decoded(self, frames: int) -> None:
        """Adds a segment with decoded frames."""
        self.snapshot.decoded += frames
        self.snapshot.segments += 1

    def worker_started(self, stage: str, worker: str = "here", node: str = "here") -> None:
        """Notes that a worker of a stage, "decode" or "classify", has started, and on which node."""
        self.snapshot.nodes[worker] = node
        if stage == "classify" or self.snapshot.state == STARTING:
            self.snapshot.state = _STATES[stage]

    def read(self) -> Snapshot:
        """A copy of the counts."""
        now = self.snapshot
        return replace(now, outcomes=Counter(now.outcomes), notes=set(now.notes), nodes=dict(now.nodes))


def format_progress(snapshot: Snapshot, *, total: int, elapsed_s: float, state: str = STARTING) -> str:
    """One line: videos and frames done, rates, outcomes (or ``state`` where there are none yet), time left."""
    rate = snapshot.videos / elapsed_s if elapsed_s else 0.0
    left = f"ETA {_format_seconds((total - snapshot.videos) / rate)}" if rate else "ETA -"
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in snapshot.outcomes.most_common())
    return (
        f"{snapshot.videos:,}/{total:,} videos  {snapshot.frames:,} frames  {rate:.1f} videos/s  "
        f"{snapshot.frames / elapsed_s if elapsed_s else 0.0:.1f} frames/s  {outcomes or state}  {left}"
    )


def _format_seconds(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class Progress:
    """Prints the tally while a graph runs: one line that is rewritten on a terminal, a line per interval elsewhere.

    ``read``: the tally's counts, None where they cannot be read; ``why_waiting``: asked every LOG_INTERVAL_S while no
    worker has started.
    """

    def __init__(
        self,
        read: Callable[[], Snapshot | None],
        *,
        total: int,
        quiet: bool,
        stream: TextIO | None = None,
        log: logging.Logger | None = None,
        why_waiting: Callable[[], str] = lambda: STARTING,
    ):
        self.read = read
        self.total = total
        self.stream = stream or sys.stderr
        self.quiet = quiet
        self.live = self.stream.isatty() and log is None
        self.log = log
        self.why_waiting, self.waiting, self.next_check_s = why_waiting, STARTING, LOG_INTERVAL_S
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
        if self.live:  # the first reading may take seconds
            self._print(Snapshot(), end="")
        while not self.stop.wait(TERMINAL_INTERVAL_S):
            snapshot = self.read()
            if snapshot is None:
                continue
            first = not started and snapshot.frames > 0
            if self.live or first or time.monotonic() - printed_at >= LOG_INTERVAL_S:
                self._print(snapshot, end="" if self.live else "\n")
                printed_at, started, last = time.monotonic(), started or first, snapshot
        # A log gets no last line that repeats the one before it.
        if (snapshot := self.read()) is not None and (self.live or snapshot != last):
            self._print(snapshot, end="\n")

    def _print(self, snapshot: Snapshot, *, end: str) -> None:
        elapsed_s = time.monotonic() - self.started
        if not (snapshot.nodes or snapshot.outcomes) and elapsed_s >= self.next_check_s:
            self.waiting, self.next_check_s = self.why_waiting(), elapsed_s + LOG_INTERVAL_S
        state = snapshot.state if snapshot.nodes else self.waiting
        text = format_progress(snapshot, total=self.total, elapsed_s=elapsed_s, state=state)
        if self.log is not None:
            facts = {"videos": snapshot.videos, "frames": snapshot.frames, "outcomes": dict(snapshot.outcomes)}
            self.log.info(text, extra={**facts, "total": self.total, "elapsed_s": round(elapsed_s, 3)})
            return
        print(f"\r\x1b[2K{text}" if self.live else text, end=end, file=self.stream, flush=True)

"""What trainings tell while they run, line by line, for a person to read."""

import sys
import threading
import time
from types import TracebackType
from typing import Any, TextIO, cast

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from artifactscan.pipelines.ray_cluster.placement import on_driver_node

POLL_S = 0.5
READ_TIMEOUT_S = 5.0
WITHIN_EPOCH_S = 30.0
"""Long epochs say now and then how far they are."""


class TrainingLog:
    """Collects lines from workers, until the driver takes them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.said = time.monotonic()

    def epoch(self, row: dict[str, Any], epochs: int) -> None:
        """An epoch is over; ``row`` has the columns of HISTORY."""
        self.lines.append(epoch_line(row, epochs))
        self.said = time.monotonic()

    def within(self, epoch: int, epochs: int, frames: int, total: int) -> None:
        """So many frames of an epoch are done."""
        if time.monotonic() - self.said > WITHIN_EPOCH_S:
            self.lines.append(f"epoch {epoch}/{epochs}  {frames:,}/{total:,} frames")
            self.said = time.monotonic()

    def say(self, line: str) -> None:
        self.lines.append(line)

    def take(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


_TrainingLogActor = ray.remote(num_cpus=0)(TrainingLog)


def start_log() -> ActorProxy[TrainingLog]:
    """A log beside the driver, which no other node takes with it."""
    return _TrainingLogActor.options(scheduling_strategy=on_driver_node()).remote()


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """One line: losses, the score that decides when to stop, and speed."""
    tuned = ""
    if row["tune_loss"] == row["tune_loss"]:
        tuned = f"  tune loss {row['tune_loss']:.3f}, average precision {row['tune_average_precision']:.3f}"
    best = "  best so far" if row["best"] else ""
    return (
        f"epoch {row['epoch']}/{epochs}  fit loss {row['fit_loss']:.3f}{tuned}  "
        f"{row['frames_per_s']:.1f} frames/s{best}"
    )


class LogPrinter:
    """Prints what a log is told, each line after ``prefix``, while it is entered."""

    def __init__(self, log: ActorProxy[TrainingLog], *, prefix: str, quiet: bool, stream: TextIO | None = None):
        self.log, self.prefix, self.quiet = log, prefix, quiet
        self.stream = stream or sys.stderr
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True, name="training log")

    def __enter__(self) -> "LogPrinter":
        self.thread.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.stop.wait(POLL_S):
            self._print()
        self._print()

    def _print(self) -> None:
        try:
            lines = cast(list[str], ray.get(self.log.take.remote(), timeout=READ_TIMEOUT_S))
        except RayError:  # the cluster is going down; whoever waits for the training says why
            return
        for line in () if self.quiet else lines:
            print(f"{self.prefix}  {line}", file=self.stream, flush=True)

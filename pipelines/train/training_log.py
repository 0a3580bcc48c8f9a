"""Progress lines of running trainings, printed by the driver."""

import sys
import threading
import time
from types import TracebackType
from typing import Any, TextIO, cast

import ray
from ray.actor import ActorProxy
from ray.exceptions import RayError

from artifactscan.pipelines.ray_cluster.node_affinity import on_driver_node

POLL_S = 0.5
READ_TIMEOUT_S = 5.0
WITHIN_EPOCH_S = 30.0
"""Seconds without a line after which a long epoch reports its progress."""


class TrainingLog:
    """Collects lines from workers until the driver takes them."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.last_line_at = time.monotonic()

    def add_epoch(self, row: dict[str, Any], epochs: int) -> None:
        """Adds the line of a finished epoch; ``row`` has the columns of HISTORY but ``run``."""
        self.lines.append(epoch_line(row, epochs))
        self.last_line_at = time.monotonic()

    def add_progress(self, epoch: int, epochs: int, frames: int, total: int) -> None:
        """Adds the progress within an epoch, unless there was a line in the last WITHIN_EPOCH_S seconds."""
        if time.monotonic() - self.last_line_at > WITHIN_EPOCH_S:
            self.lines.append(f"epoch {epoch}/{epochs}  {frames:,}/{total:,} frames")
            self.last_line_at = time.monotonic()

    def add_line(self, line: str) -> None:
        self.lines.append(line)

    def take_lines(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


_TrainingLogActor = ray.remote(num_cpus=0)(TrainingLog)


def start_log() -> ActorProxy[TrainingLog]:
    """A log actor on the driver's node, so that the loss of another node does not end it."""
    return _TrainingLogActor.options(scheduling_strategy=on_driver_node()).remote()


def epoch_line(row: dict[str, Any], epochs: int) -> str:
    """One line: losses, tuning score and speed."""
    tuned = ""
    if row["tune_loss"] == row["tune_loss"]:
        tuned = f"  tune loss {row['tune_loss']:.3f}, average precision {row['tune_average_precision']:.3f}"
    best = "  best so far" if row["best"] else ""
    return (
        f"epoch {row['epoch']}/{epochs}  fit loss {row['fit_loss']:.3f}{tuned}  "
        f"{row['frames_per_s']:.1f} frames/s{best}"
    )


class LogPrinter:
    """A context manager that prints a log's lines, each after ``prefix``, from a thread."""

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
            lines = cast(list[str], ray.get(self.log.take_lines.remote(), timeout=READ_TIMEOUT_S))
        except RayError:  # the cluster is going down; the training itself raises the reason
            return
        for line in () if self.quiet else lines:
            print(f"{self.prefix}  {line}", file=self.stream, flush=True)

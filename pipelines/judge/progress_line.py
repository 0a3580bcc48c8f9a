"""The progress of a judgement: one line that is rewritten on a terminal, a line per interval elsewhere."""

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TextIO

import pyarrow as pa

from artifactscan.scoring.progress import LOG_INTERVAL_S, TERMINAL_INTERVAL_S


class ProgressLine:
    """Counts ANSWERS as they come and prints the counts."""

    def __init__(self, total: int, *, quiet: bool, stream: TextIO | None = None):
        self._total, self._quiet, self._stream = total, quiet, stream or sys.stderr
        self._live = self._stream.isatty()
        self._outcomes: Counter[str] = Counter()
        self._started = self._printed_at = time.monotonic()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._quiet:
            self._print(end="\n")

    def count(self, batches: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Passes ``batches`` of ANSWERS on and counts them."""
        interval_s = TERMINAL_INTERVAL_S if self._live else LOG_INTERVAL_S
        for batch in batches:
            self._outcomes.update(batch["outcome"].to_pylist())
            if not self._quiet and time.monotonic() - self._printed_at >= interval_s:
                self._printed_at = time.monotonic()
                self._print(end="" if self._live else "\n")
            yield batch

    def _print(self, *, end: str) -> None:
        done, minutes = self._outcomes.total(), (time.monotonic() - self._started) / 60
        outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in self._outcomes.most_common())
        text = (
            f"{done:,}/{self._total:,} questions  {done / minutes if minutes else 0:.1f} a minute  {outcomes}".rstrip()
        )
        print(f"\r\x1b[2K{text}" if self._live else text, end=end, file=self._stream, flush=True)

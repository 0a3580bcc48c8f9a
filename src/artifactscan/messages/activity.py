"""Says on stderr what a job is doing while nothing else is printed."""

import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from artifactscan.messages.logs import ROOT_LOGGER, logs_json

SILENT_S = 1.0
"""Seconds after which an activity is named."""
REPEAT_S = 30.0
"""Without a terminal: seconds between lines about the same activity."""


@contextmanager
def activity(what: str, quiet: bool = False) -> Iterator[None]:
    """Names what the block does once it has taken SILENT_S, with its seconds: "starting Ray, 4 s".

    One line that is rewritten and removed at the end on a terminal, a line every REPEAT_S elsewhere. The block prints
    nothing itself. ``quiet``: says nothing.
    """
    if quiet:
        yield
        return
    done = threading.Event()
    with _own_stderr() as stream:
        thread = threading.Thread(target=_tell, args=(what, done, stream), daemon=True, name="activity")
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


@contextmanager
def _own_stderr() -> Iterator[TextIO]:
    """stderr as it is now: the block may send file descriptor 2 elsewhere, as the start of Ray does."""
    try:
        kept = os.dup(sys.stderr.fileno())
    except OSError:  # a stream without a file
        yield sys.stderr
        return
    with os.fdopen(kept, "w") as stream:
        yield stream


def _tell(what: str, done: threading.Event, stream: TextIO) -> None:
    started, told_at = time.monotonic(), None
    live = stream.isatty() and not logs_json()
    while not done.wait(SILENT_S):
        now = time.monotonic()
        text = f"{what}, {now - started:.0f} s"
        if live:
            print(f"\r\x1b[2K{text}", end="", file=stream, flush=True)
        elif told_at is not None and now - told_at < REPEAT_S:
            continue
        elif logs_json():
            logging.getLogger(ROOT_LOGGER).info(text)
        else:
            print(text, file=stream, flush=True)
        told_at = now
    if live and told_at is not None:
        print("\r\x1b[2K", end="", file=stream, flush=True)

"""Finds and ends the processes that a run has started: those with its mark in their environment.

The mark is a random token that only descendants of the run inherit. It is found also where a process has changed its
title and its parent is gone.
"""

import os
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil

MARK_VARIABLE = "ARTIFACTSCAN_RUN"
POLL_S = 0.05
END_TIMEOUT_S = 10.0
"""Seconds for processes to vanish after SIGKILL; only one that is stuck in the kernel takes longer."""


def marked_processes(token: str) -> list[psutil.Process]:
    """This user's living processes with ``token`` in their environment, and the children of these."""
    found = {process.pid: process for process in _with_mark(token)}
    for process in list(found.values()):
        with suppress(psutil.Error):
            found |= {child.pid: child for child in process.children(recursive=True)}
    return [process for process in found.values() if process.pid != os.getpid() and _lives(process)]


def end_marked_processes(token: str, *, grace_s: float) -> list[int]:
    """Waits ``grace_s`` for the marked processes to end, then kills the rest; returns the ids of those it killed."""
    killed: list[int] = []
    end_s, give_up_s = time.monotonic() + grace_s, time.monotonic() + grace_s + END_TIMEOUT_S
    while left := marked_processes(token):
        if time.monotonic() < end_s:
            _wait(left, end_s)
            continue
        if time.monotonic() > give_up_s:
            break
        for process in left:
            with suppress(psutil.Error):  # psutil makes sure that the id is not another process's by now
                process.kill()
                killed.append(process.pid)
        _wait(left, time.monotonic() + 1.0)  # and look again: one may have started another meanwhile
    return killed


def _with_mark(token: str) -> Iterator[psutil.Process]:
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK_VARIABLE) == token:
                yield process
        except (psutil.Error, OSError):  # of another user, or ended
            continue


def _wait(processes: list[psutil.Process], until_s: float) -> None:
    """Waits until all have ended, without taking their exit codes from whoever started them."""
    while any(map(_lives, processes)) and time.monotonic() < until_s:
        time.sleep(POLL_S)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False

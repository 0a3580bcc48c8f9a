"""Ctrl-C, SIGTERM and SIGHUP: the first stops the job in order, further ones do not disturb that, and it ends in time.

A program that is only this job ends without Python's teardown: threads of Ray that are still there crash in it.

Imports little: it is loaded first, as Ctrl-C may come while the rest is being imported.
"""

import atexit
import os
import signal
import sys
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

INTERRUPTED = "interrupted; the same command goes on with what is not done yet"
EXIT_INTERRUPTED = 3
STOP_LIMIT_S = 60.0
"""Seconds that a job may take to stop, after a signal or after its work; then the process ends at once."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_owns_process = False
_exit_code: "int | None" = None
"""What the job ends with, once its work is done."""
_before_hard_exit: "list[Callable[[], None]]" = []


def take_over_process() -> None:
    """To be called first by a program that is only this job: until it begins its work, a signal ends it at once.

    The program may then be ended without Python's own clean-up, which a caller in a larger program would not want.
    """
    global _owns_process
    _owns_process = True
    if atexit._ncallbacks() == 0:  # else a tool has begun something that it ends after this job
        atexit.register(_exit_without_teardown)  # the first to be registered is the last to be called
    for number in _heeded():
        signal.signal(number, _exit_at_once)


def before_hard_exit(do: "Callable[[], None]") -> None:
    """Has ``do`` called if the process must be ended without Python's own clean-up."""
    if do not in _before_hard_exit:
        _before_hard_exit.append(do)


class StopSignals:
    """Context manager of a job's work, in which STOP_SIGNALS raise KeyboardInterrupt, once.

    ``code``: what the process exits with where it does not end in time. Afterwards the handlers are those from before,
    unless the program is only this job: then it is about to end, and signals are ignored.
    """

    def __init__(self) -> None:
        self.code = EXIT_INTERRUPTED

    def __enter__(self) -> "StopSignals":
        self._before = {}
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, _interrupt) for number in _heeded()}
        return self

    def __exit__(self, kind: "type[BaseException] | None", *_: object) -> None:
        global _exit_code
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_IGN if _owns_process else handler or signal.SIG_DFL)
        if _owns_process:
            _exit_code = self.code if kind is None else None  # SystemExit has a code of its own
            _end_in_time(self.code)


def interrupted() -> KeyboardInterrupt:
    """The exception to raise for an interruption; from now on further signals are ignored."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if _owns_process:
        _end_in_time(EXIT_INTERRUPTED)
    return KeyboardInterrupt()


def _heeded() -> "list[signal.Signals]":
    """Without those that the shell had this process ignore, as `nohup` and a script's `&` do; a scheduler's SIGTERM is
    always heeded."""
    return [one for one in STOP_SIGNALS if one is signal.SIGTERM or signal.getsignal(one) is not signal.SIG_IGN]


def _interrupt(_number: int, _frame: "FrameType | None") -> None:
    raise interrupted()


def _exit_at_once(_number: int, _frame: "FrameType | None") -> None:
    os.write(2, f"error: {INTERRUPTED}\n".encode())
    os._exit(EXIT_INTERRUPTED)


def _exit_without_teardown() -> None:
    """Ends the process once all else has been cleaned up: threads joined, exit functions called, streams flushed."""
    if _exit_code is None or hasattr(sys, "last_type"):  # an exception after the job's work was not caught
        return
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except (OSError, ValueError):
        return  # Python reports it, with an exit code of its own
    os._exit(_exit_code)


def _end_in_time(code: int) -> None:
    threading.Thread(target=_exit_after_limit, args=(code,), daemon=True, name="stop limit").start()


def _exit_after_limit(code: int) -> None:
    time.sleep(STOP_LIMIT_S)
    try:
        for do in _before_hard_exit:
            do()
        os.write(2, f"error: the job took more than {STOP_LIMIT_S:.0f} s to stop, and was ended\n".encode())
    finally:  # without a flush of stdout, which could block
        os._exit(code)

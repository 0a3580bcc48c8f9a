"""The Ray that a job starts on its machine: its processes are marked, and end with the job however that ends."""

import atexit
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray
from ray._common.utils import get_default_ray_temp_dir

from artifactscan.cli.interruption import STOP_SIGNALS, before_hard_exit
from artifactscan.leftovers.marked_processes import MARK_VARIABLE
from artifactscan.leftovers.ray_sessions import RaySession, end_abandoned_sessions

GRACE_S = 2.0
"""Seconds for workers to end by themselves once Ray has shut down; some wait for a lock for ever as they end."""

_started: list[RaySession] = []
"""The sessions that this process has begun and not yet ended: one at most."""


@contextmanager
def marked_start() -> Iterator[None]:
    """Marks the processes that ray.init starts in the block, and has them ended when this process exits.

    First ends what killed runs of this user have left on this machine. If the block fails, what it started is ended.
    """
    end_own_ray()
    end_abandoned_sessions()
    ray_folder = get_default_ray_temp_dir()
    session = RaySession(secrets.token_hex(16), ray_folder=ray_folder)
    _started.append(session)
    atexit.register(end_own_ray)  # before Ray's own handler, which was registered at its import
    before_hard_exit(_kill_own_ray)
    os.environ[MARK_VARIABLE] = session.token
    try:
        yield
        session.set_folder(str(Path(ray_folder, ray.get_runtime_context().get_session_name())))
    except BaseException:
        end_own_ray()
        raise
    finally:
        del os.environ[MARK_VARIABLE]


def end_own_ray() -> None:
    """Shuts down the Ray that this process has started, if any, and ends those of its processes that do not end.

    Signals to stop are ignored meanwhile: it takes seconds, and an interrupted end would leave processes behind.
    """
    atexit.unregister(end_own_ray)
    while _started:
        session = _started[-1]  # it stays there meanwhile, as a shutdown that hangs ends in _kill_own_ray
        with _stop_signals_ignored():
            try:
                ray.shutdown()
            finally:
                session.end_processes(grace_s=GRACE_S)
                session.close()
                _started.remove(session)


def _kill_own_ray() -> None:
    for session in _started:
        session.end_processes(grace_s=0.0)


@contextmanager
def _stop_signals_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

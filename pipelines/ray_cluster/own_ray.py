"""The Ray that a job starts on its machine: its processes are marked, and end with the job however that ends."""

import atexit
import logging
import os
import secrets
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray._common.utils import get_default_ray_temp_dir
from ray._private import services

from artifactscan.cli.interruption import STOP_SIGNALS, before_hard_exit
from artifactscan.errors import UsageError
from artifactscan.leftovers.marked_processes import MARK_VARIABLE
from artifactscan.leftovers.private_folder import private_folder
from artifactscan.leftovers.ray_sessions import RaySession, end_abandoned_sessions

GRACE_S = 2.0
"""Seconds for workers to end by themselves once Ray has shut down; some wait for a lock for ever as they end."""

_SHORT = "/tmp"
_LONGEST_SOCKET = "sockets/plasma_store"
"""Below the folder of a session."""
_SOCKET_PATH_BYTES = 103 if sys.platform == "darwin" else 107
"""The kernel's limit for the path of a socket."""

_log = logging.getLogger("artifactscan.ray")
_started: list[RaySession] = []
"""The sessions that this process has begun and not yet ended: one at most."""


@contextmanager
def marked_start() -> Iterator[str]:
    """Marks the processes that ray.init starts in the block, and has them ended when this process exits.

    Yields the folder that Ray is to keep its session in. First ends what killed runs of this user have left on this
    machine. If the block fails, what it started is ended. UsageError where no folder has a path short enough.
    """
    end_own_ray()
    end_abandoned_sessions()
    ray_folder = _sessions_folder()
    session = RaySession(secrets.token_hex(16), ray_folder=ray_folder)
    _started.append(session)
    atexit.register(end_own_ray)  # before Ray's own handler, which was registered at its import
    before_hard_exit(_kill_own_ray)
    os.environ[MARK_VARIABLE] = session.token
    try:
        with _process_groups_apart():
            yield ray_folder
        session.set_folder(str(Path(ray_folder, ray.get_runtime_context().get_session_name())))
    except BaseException:
        end_own_ray()
        raise
    finally:
        del os.environ[MARK_VARIABLE]


@contextmanager
def _process_groups_apart() -> Iterator[None]:
    """What ray.init starts in the block gets no signal that is sent to the process group of this job.

    With a raylet that SIGTERM has ended too, Ray's C++ core ends this process while it stops, with exit code 1.
    """
    popen: Any = services.ConsolePopen
    services.ConsolePopen = partial(popen, process_group=0)  # type: ignore[assignment,misc]
    try:
        yield
    finally:
        services.ConsolePopen = popen  # type: ignore[misc]


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


def _sessions_folder() -> str:
    """Ray's usual folder, or one of this user below /tmp where the paths of sockets would be too long."""
    usual = get_default_ray_temp_dir()
    if _fits(usual):
        return usual
    name = "RAY_TMPDIR" if "RAY_TMPDIR" in os.environ else "TMPDIR"
    private = private_folder("ray", below=_SHORT)
    short = private and private / "ray"  # Ray opens its folder to everyone, and the one above it stays closed
    if short is None or not _fits(str(short)):
        raise UsageError(
            f"{name} {os.environ.get(name, '')} is too long for the sockets that Ray makes below it, and nothing can "
            f"be written to {_SHORT}; set RAY_TMPDIR to a shorter folder"
        )
    _log.warning("%s is too long for Ray's sockets: the Ray of this job keeps its files in %s", name, short)
    return str(short)


def _fits(ray_folder: str) -> bool:
    session = f"session_{datetime.now():%Y-%m-%d_%H-%M-%S_%f}_{os.getpid()}"
    return len(os.fsencode(os.path.join(ray_folder, session, _LONGEST_SOCKET))) <= _SOCKET_PATH_BYTES  # noqa: PTH118


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

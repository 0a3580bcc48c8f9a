"""Connecting to Ray, quietly, and reading what the cluster has."""

import logging
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

from artifactscan.errors import UsageError

ROOT = Path(__file__).resolve().parent.parent
"""The repository's root: below it the workers find `pipelines` and `src/artifactscan`."""

_QUIET = {
    "RAY_TQDM": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_LOCAL = {"RAY_worker_niceness": "0"}
"""On one machine Ray's own processes would otherwise preempt inference, whose threads wait for one another."""

MIN_CPUS = 2
"""One for the actors, whatever they book, and one for Ray Data's own tasks. A single core is declared as two."""
CONNECT_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Resources:
    """What the cluster has in all."""

    cpus: int
    gpus: int
    nodes: int = 1
    """Nodes with CPUs."""


def connect() -> Resources:
    """Starts Ray on this machine, or joins the cluster in RAY_ADDRESS; Ray's own chatter stays in its log files.

    UsageError where no cluster answers at RAY_ADDRESS, or one too small to work on.
    """
    local = "RAY_ADDRESS" not in os.environ
    for name, value in (_QUIET | (_LOCAL if local else {})).items():
        os.environ.setdefault(name, value)
    import_path = os.pathsep.join([str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.data\.")
    if not ray.is_initialized():
        _init(local, import_path)
        if local and ray.cluster_resources().get("CPU", 0) < MIN_CPUS:
            ray.shutdown()
            _init(local, import_path, num_cpus=MIN_CPUS)
    logging.getLogger("ray").setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        if not isinstance(handler, logging.FileHandler):  # what fails is said once, in our words
            handler.setLevel(logging.CRITICAL)
    total = ray.cluster_resources()
    cpus, gpus = int(total.get("CPU", 0)), int(total.get("GPU", 0))
    if cpus < MIN_CPUS:
        raise UsageError(f"the Ray cluster has {cpus} CPUs, and {MIN_CPUS} are needed; wait for its nodes, or add one")
    nodes = sum(bool(node["Alive"] and node["Resources"].get("CPU")) for node in ray.nodes())
    return Resources(cpus=cpus, gpus=gpus, nodes=nodes)


def _init(local: bool, import_path: str, num_cpus: int | None = None) -> None:
    try:
        if not local:
            _check_reachable(os.environ["RAY_ADDRESS"])
        with _silent_stderr(), _own_handling_of_sigterm():
            ray.init(
                address="local" if local else None,
                num_cpus=num_cpus,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if local else None,
                runtime_env={"env_vars": {"PYTHONPATH": import_path}},
            )
    except (OSError, RuntimeError, ValueError) as error:
        if local:
            raise
        reason = " ".join(str(error).split())
        raise UsageError(
            f"RAY_ADDRESS {os.environ['RAY_ADDRESS']}: the Ray cluster cannot be joined ({reason}); "
            "start it, or unset RAY_ADDRESS to work on this machine alone"
        ) from None


def _check_reachable(address: str) -> None:
    """OSError where nobody listens at host:port; Ray itself tries for minutes, and then ends the process."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()


@contextmanager
def _own_handling_of_sigterm() -> Iterator[None]:
    """Ray takes SIGTERM for itself, and ends the process without a word of ours."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Keeps what Ray's C++ core says about its own log level off the terminal; its errors are exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)

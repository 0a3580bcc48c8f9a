"""Connecting to Ray, quietly, and reading what the cluster has."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import ray

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


@dataclass(frozen=True)
class Resources:
    """What the cluster has in all."""

    cpus: int
    gpus: int


def connect() -> Resources:
    """Starts Ray on this machine, or joins the cluster in RAY_ADDRESS; Ray's own chatter stays in its log files."""
    local = "RAY_ADDRESS" not in os.environ
    for name, value in (_QUIET | (_LOCAL if local else {})).items():
        os.environ.setdefault(name, value)
    import_path = os.pathsep.join([str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    if not ray.is_initialized():
        with _silent_stderr():
            ray.init(
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if local else None,
                runtime_env={"env_vars": {"PYTHONPATH": import_path}},
            )
    logging.getLogger("ray").setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        if not isinstance(handler, logging.FileHandler):  # what fails is said once, in our words
            handler.setLevel(logging.CRITICAL)
    total = ray.cluster_resources()
    return Resources(cpus=max(1, int(total.get("CPU", 1))), gpus=int(total.get("GPU", 0)))


def disconnect() -> None:
    """Leaves Ray; stops it where this process started it."""
    ray.shutdown()
    sys.stdout.flush()


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

"""Starts or joins Ray, with its messages in its log files and its errors as sentences."""

import logging
import os
import re
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import ray
from ray._private import utils as ray_utils
from ray._private import worker as ray_worker
from ray._private.gcs_utils import create_gcs_channel
from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined] - created at import
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.exceptions import AuthenticationError

from artifactscan import errors
from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.fewer_processes import fewer_processes
from artifactscan.pipelines.ray_cluster.head_watch import watch_head
from artifactscan.pipelines.ray_cluster.own_ray import end_own_ray, marked_start
from artifactscan.pipelines.ray_cluster.resources import MIN_CPUS, Resources, read_resources

IMPORT_ROOT = Path(errors.__file__).resolve().parent.parent
"""The folder that holds the package artifactscan: site-packages, or src/ of a checkout."""

_QUIET = {
    "RAY_TQDM": "0",
    "RAY_DEDUP_LOGS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
}
_LOCAL = {"RAY_worker_niceness": "0"}
"""On one machine Ray's own processes would otherwise preempt inference, whose threads wait for each other."""

CONNECT_TIMEOUT_S = 10.0
_OWN_ERROR = re.compile(r"^artifactscan\.errors\.\w+: ", re.MULTILINE)
_RETRY = re.compile(r"^(?:\x1b\[[0-9;]*m)*Task .+ failed\. There are \w+ (?:oom )?retries remaining")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_VERSIONS = re.compile(r"(Ray|Python): (\S+)")
"""Ray's error names the cluster's versions first and then ours."""


def connect() -> Resources:
    """Starts Ray on this machine, or joins the cluster in RAY_ADDRESS, which may have no nodes yet.

    Ray's own messages stay in its log files. UsageError where the cluster cannot be joined.
    """
    local = "RAY_ADDRESS" not in os.environ
    for name, value in (_QUIET | (_LOCAL if local else {})).items():
        os.environ.setdefault(name, value)
    if not sys.stderr.isatty():
        os.environ.setdefault("RAY_COLOR_PREFIX", "0")
    import_path = os.pathsep.join(_import_path())
    warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.data\.")
    _send_ray_messages_to_stderr()
    if not ray.is_initialized():
        _init(local, import_path)
        if not local:
            watch_head()
        if local and ray.cluster_resources().get("CPU", 0) < MIN_CPUS:
            end_own_ray()
            _init(local, import_path, num_cpus=MIN_CPUS)
    import_module("ray.data")  # adds the log handlers that are silenced below
    logging.getLogger("ray").setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        of_ray = type(handler).__module__.startswith("ray.")
        if of_ray and not isinstance(handler, logging.FileHandler):  # the job prints its errors itself
            handler.setLevel(logging.CRITICAL)
    return read_resources()


def _import_path() -> list[str]:
    """PYTHONPATH of workers: where this process finds artifactscan, on this node and in each node's working directory.

    `ray job submit` unpacks the working directory below each node's own --temp-dir and starts workers in it.
    """
    in_working_dir = [str(IMPORT_ROOT.relative_to(cwd))] if IMPORT_ROOT.is_relative_to(cwd := Path.cwd()) else []
    return [*in_working_dir, str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]


def _init(local: bool, import_path: str, num_cpus: int | None = None) -> None:
    try:
        if not local:
            _check_reachable(os.environ["RAY_ADDRESS"])
        with (
            marked_start() if local else nullcontext() as folder,
            fewer_processes() if local else nullcontext(),
            _silent_stderr(),
            _keep_sigterm_handler(),
        ):
            ray.init(
                address="local" if local else None,
                num_cpus=num_cpus,
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False if local else None,
                _temp_dir=folder,
                runtime_env={"env_vars": {"PYTHONPATH": import_path}},
            )
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        if local:
            raise
        raise UsageError(f"RAY_ADDRESS {os.environ['RAY_ADDRESS']}: {_explain_join_error(error)}") from None
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        raise UsageError(
            "Ray did not start on this machine in time, which is too busy for it; give the same command again later"
        ) from None


def _send_ray_messages_to_stderr() -> None:
    """Sends Ray's messages about nodes and workers to stderr: stdout is for tables and verdicts.

    Without colour codes where stderr is a file, without the tracebacks of errors that the job reports itself, and
    without the raylet's lines on retries of a task: they say "infinite retries remaining" where a job is about to end.
    """
    if not hasattr(ray_worker.print_to_stdstream, "__wrapped__"):
        print_message = ray_worker.print_to_stdstream

        @wraps(print_message)
        def print_to_stderr(data: dict[str, Any], *arguments: Any, **named: Any) -> None:
            lines = [line for line in data["lines"] if not _OWN_ERROR.search(line) and not _RETRY.search(line)]
            if not sys.stderr.isatty():
                lines = [_COLOUR.sub("", line) for line in lines]
            print_message({**data, "lines": lines, "is_err": True}, *arguments, **named)

        ray_worker.print_to_stdstream = print_to_stderr


def _explain_join_error(error: Exception) -> str:
    if len(found := _VERSIONS.findall(str(error))) == 4:
        theirs, ours = (" and ".join(" ".join(pair) for pair in side) for side in (found[:2], found[2:]))
        return (
            f"the cluster runs {theirs}, this process {ours}; install requirements.lock under the same Python on both, "
            "or use `ray job submit`, which runs on the cluster"
        )
    reason = " ".join(str(error).split())
    if isinstance(error, AuthenticationError):
        reason = "no token that it accepts was found"
    return (
        f"the Ray cluster cannot be joined ({reason}); start it, give its token in ~/.ray/auth_token or "
        "RAY_AUTH_TOKEN, with RAY_AUTH_MODE=token, or unset RAY_ADDRESS to work on this machine alone"
    )


def _check_reachable(address: str) -> None:
    """Fails in seconds where Ray would retry for minutes and then end the process.

    OSError where no Ray answers at host:port, AuthenticationError where it refuses our token, UsageError for an address
    with a scheme: with ray:// Ray would wait for a client server without end.
    """
    if "://" in address:
        raise UsageError(
            f"RAY_ADDRESS {address} is not where a job can join a cluster; give the host:port that `ray start --head` "
            "names, or use `ray job submit --address`"
        )
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
        with closing(create_gcs_channel(address)) as channel:
            try:
                NodeInfoGcsServiceStub(channel).CheckAlive(CheckAliveRequest(), timeout=CONNECT_TIMEOUT_S)
            except grpc.RpcError as error:
                _translate_grpc_error(error)


def _translate_grpc_error(error: grpc.RpcError) -> None:
    """Raises what Ray's answer means; an answer of another kind is left for ray.init to report."""
    assert isinstance(error, grpc.Call)
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        raise AuthenticationError(error.details() or "") from None
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        raise ConnectionError("what listens there is no Ray head, or one with TLS, for which RAY_USE_TLS=1") from None


@contextmanager
def _keep_sigterm_handler() -> Iterator[None]:
    """Keeps ray.init from setting handlers of SIGTERM, which end the process without a message, and at any line: also
    on the way out of ray.init, where no `except` of ours is reached. Ours then replaces that of Ray's C++ core."""
    handler, set_handler = signal.getsignal(signal.SIGTERM), ray_utils.set_sigterm_handler
    ray_utils.set_sigterm_handler = lambda _handler: None
    try:
        yield
    finally:
        ray_utils.set_sigterm_handler = set_handler
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Hides what Ray's C++ core prints while it starts; its errors are exceptions."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)

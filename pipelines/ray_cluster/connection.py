"""Connecting to Ray, quietly, and reading what the cluster has."""

import logging
import os
import re
import signal
import socket
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc
import ray
import yaml
from ray._private import worker as ray_worker
from ray._private.gcs_utils import create_gcs_channel
from ray.core.generated.gcs_service_pb2 import CheckAliveRequest  # type: ignore[attr-defined] - made as it is loaded
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.exceptions import AuthenticationError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import artifactscan
from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.head_watch import watch_head

IMPORT_ROOT = Path(artifactscan.__file__).resolve().parent.parent
"""The folder that holds the package artifactscan: site-packages, or src/ of a checkout."""
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
_VERSIONS = re.compile(r"(Ray|Python): (\S+)")
"""How Ray tells the cluster's versions, and then ours, where they differ."""


STAGE_LABEL = "artifactscan-stage"
"""Label of a node: `decode` or `classify` where it is kept for one of them; nodes without it do
what no node is kept for."""
BOOTSTRAP_CONFIG = Path("~/ray_bootstrap_config.yaml")
"""Where `ray up` leaves on the head what its autoscaler may start."""


@dataclass(frozen=True)
class Node:
    """One node that can work, or one that an autoscaler could add."""

    cpus: int
    gpus: int = 0
    stage: str | None = None
    """decode or classify where it is kept for that."""


@dataclass(frozen=True)
class Resources:
    """What the cluster has in all."""

    nodes: tuple[Node, ...]
    """The nodes with CPUs or GPUs."""
    room: tuple[Node, ...] = ()
    """Nodes that its autoscaler may still add; none where there is no autoscaler, or what it may is not known."""
    alive: int = 1
    """All nodes, a head without work too."""
    joined: bool = False
    """Whether it is a cluster that was there before, to which nodes may come and from which they may go."""

    @property
    def cpus(self) -> int:
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> int:
        return sum(node.gpus for node in self.nodes)

    @property
    def grown(self) -> tuple[Node, ...]:
        """The nodes there are and those that may come."""
        return self.nodes + self.room


def connect() -> Resources:
    """Starts Ray on this machine, or joins the cluster in RAY_ADDRESS; Ray's own chatter stays in its log files.

    UsageError where no cluster answers at RAY_ADDRESS, or one of other versions. What it holds may be nothing yet.
    """
    local = "RAY_ADDRESS" not in os.environ
    for name, value in (_QUIET | (_LOCAL if local else {})).items():
        os.environ.setdefault(name, value)
    import_path = os.pathsep.join([str(IMPORT_ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])])
    warnings.filterwarnings("ignore", category=UserWarning, module=r"ray\.data\.")
    _rays_words_to_stderr()
    if not ray.is_initialized():
        _init(local, import_path)
        if not local:
            watch_head()
        if local and ray.cluster_resources().get("CPU", 0) < MIN_CPUS:
            ray.shutdown()
            _init(local, import_path, num_cpus=MIN_CPUS)
    import_module("ray.data")  # sets up the handlers that are silenced below
    logging.getLogger("ray").setLevel(logging.ERROR)
    for handler in logging.getLogger("ray.data").handlers:
        of_ray = type(handler).__module__.startswith("ray.")
        if of_ray and not isinstance(handler, logging.FileHandler):  # what fails is said once, in our words
            handler.setLevel(logging.CRITICAL)
    return read_resources()


def read_resources() -> Resources:
    """What the cluster that this process has joined holds now."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    nodes = (_node(node["Resources"], node.get("Labels", {})) for node in alive)
    working = tuple(node for node in nodes if node.cpus or node.gpus)
    joined = "RAY_ADDRESS" in os.environ
    return Resources(working, room=_room(working) if joined else (), alive=len(alive), joined=joined)


def _node(resources: Mapping[str, float], labels: Mapping[str, str]) -> Node:
    return Node(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), labels.get(STAGE_LABEL))


def _room(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes that the autoscaler of `ray up` may still add, as the head's own configuration says."""
    try:
        config = yaml.safe_load(BOOTSTRAP_CONFIG.expanduser().read_text())
        types, head = config["available_node_types"], config["head_node_type"]
        left, room = int(config.get("max_workers", 0)), []
        for name, type_ in types.items():
            count = min(int(type_.get("max_workers", 0)), left) if name != head else 0
            left -= count
            room += [_node(type_.get("resources", {}), type_.get("labels", {}))] * count
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return ()  # not the head of such a cluster: it is as it is
    for node in nodes:
        if node in room:
            room.remove(node)
    return tuple(node for node in room if node.cpus or node.gpus)


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
    except (OSError, RuntimeError, ValueError, AuthenticationError) as error:
        if local:
            raise
        raise UsageError(f"RAY_ADDRESS {os.environ['RAY_ADDRESS']}: {_why_not_joined(error)}") from None
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        raise UsageError(
            "Ray did not start on this machine in time, which is too busy for it; give the same command again later"
        ) from None


def _rays_words_to_stderr() -> None:
    """Has what Ray says of nodes and workers go beside the progress: stdout is for tables and verdicts."""
    if not hasattr(ray_worker.print_to_stdstream, "__wrapped__"):
        told = ray_worker.print_to_stdstream

        @wraps(told)
        def tell(data: dict[str, Any], *arguments: Any, **named: Any) -> None:
            told({**data, "is_err": True}, *arguments, **named)

        ray_worker.print_to_stdstream = tell


def _why_not_joined(error: Exception) -> str:
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
    """OSError where no Ray answers at host:port, AuthenticationError where it does not take our token; Ray itself tries
    for minutes, and then ends the process.

    UsageError for what is neither that nor a word: Ray waits for a client's server without end."""
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
                _raise_as_known(error)


def _raise_as_known(error: grpc.RpcError) -> None:
    """What Ray's answer means, if anything: what a version does not know is left to what comes after."""
    assert isinstance(error, grpc.Call)
    if error.code() is grpc.StatusCode.UNAUTHENTICATED:
        raise AuthenticationError(error.details() or "") from None
    if error.code() is grpc.StatusCode.UNAVAILABLE:
        raise ConnectionError("what listens there is no Ray head, or one with TLS, for which RAY_USE_TLS=1") from None


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


def check_places(resources: Resources, *places: str, shared_filesystem: bool) -> None:
    """UsageError for a local path on a cluster of several nodes, each of which has a disk of its own.

    With ``shared_filesystem`` the path is taken for the same on all nodes, and each is asked whether it sees it so.
    """
    if resources.alive < 2 and not resources.room:
        return
    for place in places:
        if storage.is_s3(storage.normalise(place)):
            continue
        if not shared_filesystem:
            raise UsageError(
                f"{place} is a local path, and the Ray cluster has {resources.alive} nodes, which would each use their "
                "own disk; give s3://bucket/prefix, or --shared-filesystem where all of them mount it"
            )
        _check_seen_by_all(storage.normalise(place))


def _check_seen_by_all(place: str) -> None:
    """UsageError where a node does not see what this process sees at ``place``, or at the nearest folder above it."""
    folder = Path(place)
    while not folder.is_dir():
        folder = folder.parent
    with ExitStack() as stack:
        probe = str(folder)
        if os.access(folder, os.W_OK):  # a file of now cannot be on another disk by chance
            probe = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".artifactscan-")).name
        nodes = [node for node in ray.nodes() if node["Alive"]]
        answers = [_exists_on(node["NodeID"], probe) for node in nodes]
        for node, answer in zip(nodes, answers, strict=True):
            if not ray.get(answer):
                raise UsageError(
                    f"{place} is not on node {node['NodeManagerAddress']} what it is here; mount it there, or give "
                    "s3://bucket/prefix"
                )


def beside_driver() -> NodeAffinitySchedulingStrategy:
    """Has an actor run on the node of this process, so that it is lost only with it."""
    return _on(ray.get_runtime_context().get_node_id())


def _on(node: str) -> NodeAffinitySchedulingStrategy:
    return NodeAffinitySchedulingStrategy(node, soft=False)


def _exists_on(node: str, path: str) -> ray.ObjectRef:
    return ray.remote(num_cpus=0)(os.path.exists).options(scheduling_strategy=_on(node)).remote(path)

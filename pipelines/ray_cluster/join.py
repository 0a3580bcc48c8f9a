"""Ray, started or joined for a scoring run: its first nodes waited for, its pools sized."""

from collections.abc import Callable
from typing import Protocol

from rich.console import Console

from artifactscan.pipelines.ray_cluster import connection, node_wait
from artifactscan.pipelines.ray_cluster.connection import Resources
from artifactscan.pipelines.ray_cluster.pools import Pools


class ClusterSettings(Protocol):
    """What the settings of every job on a cluster have."""

    @property
    def shared_filesystem(self) -> bool: ...
    @property
    def node_wait_s(self) -> float: ...


def join(
    settings: ClusterSettings,
    *places: str,
    device: str,
    sized: Callable[[Resources], Pools],
    out: Console,
    gpus: int = 1,
) -> Resources:
    """The cluster, once it has its first nodes where an autoscaler may add them; UsageError where it cannot be used.

    ``places``: what every node must reach; ``sized``: what is asked of an autoscaler; ``gpus``: how many it takes to
    begin, where ``device`` means GPUs.
    """
    resources = connection.connect()
    connection.check_places(resources, *places, shared_filesystem=settings.shared_filesystem)
    wait_s = settings.node_wait_s or (node_wait.NODE_WAIT_S if resources.room else 0.0)
    use_gpu = uses_gpu(device, resources)
    if wait_s and node_wait.missing(resources, use_gpu=use_gpu, gpus=gpus):
        wanted = sized(resources) if resources.room else None
        resources = node_wait.wait_for_nodes(
            resources, use_gpu=use_gpu, gpus=gpus, wanted=wanted, wait_s=wait_s, out=out
        )
        connection.check_places(resources, *places, shared_filesystem=settings.shared_filesystem)
    return resources


def uses_gpu(device: str, resources: Resources) -> bool:
    """Whether ``device``, as in the settings, means GPUs on a cluster that has these nodes or may grow to them."""
    return device == "cuda" or (device == "auto" and any(node.gpus for node in resources.grown))

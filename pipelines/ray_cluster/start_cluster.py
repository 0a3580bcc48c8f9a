"""Starts Ray for a job, or joins a cluster, and waits for its first nodes."""

import os
from collections.abc import Callable

from rich.console import Console

from artifactscan.messages.activity import activity
from artifactscan.pipelines.ray_cluster import connection, node_wait
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.ray_cluster.resources import Resources, uses_gpu
from artifactscan.pipelines.ray_cluster.shared_paths import check_shared_paths
from artifactscan.settings.groups import NodeSettings


def start_cluster(
    settings: NodeSettings,
    *paths: str,
    device: str,
    sized: Callable[[Resources], PoolSizes],
    out: Console,
    gpus: int = 1,
    quiet: bool = False,
) -> Resources:
    """Starts or joins Ray and waits for the first nodes of an autoscaler; UsageError where the cluster cannot be used.

    ``paths``: paths and URIs that every node must reach; ``sized``: the pools to ask an autoscaler for; ``gpus``: how
    many are needed to begin, where ``device`` means GPUs; ``quiet``: no progress on stderr.
    """
    with activity("starting Ray" if "RAY_ADDRESS" not in os.environ else "joining the Ray cluster", quiet):
        resources = connection.connect()
    check_shared_paths(resources, *paths, shared_filesystem=settings.shared_filesystem)
    wait_s = settings.node_wait_s or (node_wait.NODE_WAIT_S if resources.addable else 0.0)
    use_gpu = uses_gpu(device, resources)
    if wait_s and node_wait.find_missing(resources, use_gpu=use_gpu, gpus=gpus):
        wanted = sized(resources) if resources.addable else None
        resources = node_wait.wait_for_nodes(
            resources, use_gpu=use_gpu, gpus=gpus, wanted=wanted, wait_s=wait_s, out=out
        )
        check_shared_paths(resources, *paths, shared_filesystem=settings.shared_filesystem)
    return resources

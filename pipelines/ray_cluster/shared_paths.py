"""Checks that the paths of a job mean the same on every node of its cluster."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import ray

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.node_affinity import on_node
from artifactscan.pipelines.ray_cluster.resources import Resources


def check_shared_paths(resources: Resources, *paths: str, shared_filesystem: bool) -> None:
    """UsageError for a local path on a cluster of several nodes, each of which has its own disk.

    With ``shared_filesystem`` a local path is allowed where every node sees the same files there.
    """
    if resources.alive < 2 and not resources.addable:
        return
    for path in paths:
        if storage.is_remote(storage.normalise(path)):
            continue
        if not shared_filesystem:
            raise UsageError(
                f"{path} is a local path, and the Ray cluster has {resources.alive} nodes, which would each use their "
                "own disk; give s3://bucket/prefix, or --shared-filesystem where all of them mount it"
            )
        _check_same_on_all_nodes(storage.normalise(path))


def _check_same_on_all_nodes(path: str) -> None:
    """UsageError where a node does not see the files that this process sees at ``path``, or at its nearest parent."""
    folder = Path(path)
    while not folder.is_dir():
        folder = folder.parent
    with ExitStack() as stack:
        probe = str(folder)
        if os.access(folder, os.W_OK):  # a new file cannot be on another disk by chance
            probe = stack.enter_context(tempfile.NamedTemporaryFile(dir=folder, prefix=".artifactscan-")).name
        nodes = [node for node in ray.nodes() if node["Alive"]]
        answers = [_exists_on(node["NodeID"], probe) for node in nodes]
        for node, answer in zip(nodes, answers, strict=True):
            if not ray.get(answer):
                raise UsageError(
                    f"{path} is not the same on node {node['NodeManagerAddress']}; mount it there, or give "
                    "s3://bucket/prefix"
                )


def _exists_on(node: str, path: str) -> ray.ObjectRef:
    return ray.remote(num_cpus=0)(os.path.exists).options(scheduling_strategy=on_node(node)).remote(path)

"""What a cluster has: its nodes with their CPUs, GPUs and labels, and those that its autoscaler may add."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray
import yaml

MIN_CPUS = 2
"""One for the actors and one for Ray Data's own tasks. A machine with one core is declared to Ray as having two."""
STAGE_LABEL = "artifactscan-stage"
"""Label of a node that does one stage only: `decode` or `classify`. Nodes without it do the stages that no node is
labelled for."""
BOOTSTRAP_CONFIG = Path("~/ray_bootstrap_config.yaml")
"""The file on the head in which `ray up` lists the nodes that its autoscaler may start."""


@dataclass(frozen=True)
class Node:
    """One node of the cluster, or one that an autoscaler could add."""

    cpus: int
    gpus: int = 0
    stage: str | None = None
    """decode or classify for a node that does only that."""


@dataclass(frozen=True)
class Resources:
    """What the cluster has."""

    nodes: tuple[Node, ...]
    """The nodes with CPUs or GPUs."""
    addable: tuple[Node, ...] = ()
    """Nodes that its autoscaler may still add; none without an autoscaler, or where its limits are not known."""
    alive: int = 1
    """The number of all nodes, including a head without CPUs."""
    joined: bool = False
    """Whether the job joined an existing cluster, whose nodes may come and go."""

    @property
    def cpus(self) -> int:
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> int:
        return sum(node.gpus for node in self.nodes)

    @property
    def possible_nodes(self) -> tuple[Node, ...]:
        """The nodes that are there and those that an autoscaler may add."""
        return self.nodes + self.addable


def read_resources() -> Resources:
    """The current nodes of the cluster that this process has joined."""
    alive = [node for node in ray.nodes() if node["Alive"]]
    nodes = (_node(node["Resources"], node.get("Labels", {})) for node in alive)
    working = tuple(node for node in nodes if node.cpus or node.gpus)
    joined = "RAY_ADDRESS" in os.environ
    return Resources(working, addable=_addable_nodes(working) if joined else (), alive=len(alive), joined=joined)


def _node(resources: Mapping[str, float], labels: Mapping[str, str]) -> Node:
    return Node(int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), labels.get(STAGE_LABEL))


def _addable_nodes(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
    """The nodes that the autoscaler of `ray up` may still add, from the configuration on the head."""
    try:
        config = yaml.safe_load(BOOTSTRAP_CONFIG.expanduser().read_text())
        types, head = config["available_node_types"], config["head_node_type"]
        left, addable = int(config.get("max_workers", 0)), []
        for name, type_ in types.items():
            count = min(int(type_.get("max_workers", 0)), left) if name != head else 0
            left -= count
            addable += [_node(type_.get("resources", {}), type_.get("labels", {}))] * count
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError):
        return ()  # this is not the head of a cluster from `ray up`
    for node in nodes:
        if node in addable:
            addable.remove(node)
    return tuple(node for node in addable if node.cpus or node.gpus)


def uses_gpu(device: str, resources: Resources) -> bool:
    """Whether the setting ``device`` means GPUs on this cluster, now or when an autoscaler has added nodes."""
    return device == "cuda" or (device == "auto" and any(node.gpus for node in resources.possible_nodes))

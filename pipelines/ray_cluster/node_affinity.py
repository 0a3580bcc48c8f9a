"""Places an actor or a task on a given node."""

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def on_driver_node() -> NodeAffinitySchedulingStrategy:
    """Places an actor on the node of this process, so that both are lost together."""
    return on_node(ray.get_runtime_context().get_node_id())


def on_node(node: str) -> NodeAffinitySchedulingStrategy:
    """Places an actor or a task on the node with this id, and nowhere else."""
    return NodeAffinitySchedulingStrategy(node, soft=False)

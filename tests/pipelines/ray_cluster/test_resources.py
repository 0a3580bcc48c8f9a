"""The nodes that an autoscaler may add."""

from pathlib import Path

import pytest

from artifactscan.pipelines.ray_cluster import resources
from artifactscan.pipelines.ray_cluster.resources import Node

CLUSTER = """
max_workers: 3
head_node_type: head
available_node_types:
  head: {resources: {CPU: 0}, max_workers: 0}
  decode: {resources: {CPU: 16}, labels: {artifactscan-stage: decode}, max_workers: 2}
  classify: {resources: {CPU: 8, GPU: 1}, labels: {artifactscan-stage: classify}, max_workers: 5}
"""


def test_nodes_that_the_autoscaler_of_ray_up_may_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "ray_bootstrap_config.yaml"
    monkeypatch.setattr(resources, "BOOTSTRAP_CONFIG", config)
    decode, classify = Node(16, 0, "decode"), Node(8, 1, "classify")
    assert resources._addable_nodes(()) == (), "there is no such file on other clusters"
    config.write_text(CLUSTER)
    assert resources._addable_nodes(()) == (decode, decode, classify), "max_workers bounds all of them together"
    assert resources._addable_nodes((decode, classify)) == (decode,)
    for damaged in ("", "a: [", "max_workers: many", "available_node_types: 3"):
        config.write_text(damaged)
        assert resources._addable_nodes(()) == ()

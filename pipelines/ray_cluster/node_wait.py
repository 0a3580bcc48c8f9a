"""Asks an autoscaler for nodes and waits for the first of each kind, for a limited time."""

import time

from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from rich.console import Console

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, nodes_for
from artifactscan.pipelines.ray_cluster.resources import Resources, read_resources

NODE_WAIT_S = 900.0
"""Seconds to wait for the first node of each kind, where an autoscaler is known to be able to add it."""
POLL_S = 2.0
REPORT_S = 30.0


def find_missing(resources: Resources, *, use_gpu: bool, gpus: int = 1) -> list[str]:
    """What the cluster still lacks to begin, as phrases: a CPU for each stage or, with ``use_gpu``, so many GPUs."""
    decoding, classifying = nodes_for("decode", resources.nodes), nodes_for("classify", resources.nodes)
    found = [] if any(node.cpus for node in decoding) else ["a CPU to decode on"]
    if use_gpu and (there := sum(node.gpus for node in classifying)) < gpus:
        found.append("a GPU" if gpus == 1 else f"{gpus - there} of {gpus} GPUs")
    elif not use_gpu and not any(node.cpus for node in classifying):
        found.append("a CPU to classify on")
    return found


def wait_for_nodes(
    resources: Resources, *, use_gpu: bool, wanted: PoolSizes | None, wait_s: float, out: Console, gpus: int = 1
) -> Resources:
    """The cluster once nothing is missing to begin; UsageError after ``wait_s``.

    Meanwhile the autoscaler is asked for nodes for all of ``wanted``, or for one of each kind; the request ends with
    this process.
    """
    requested, started, reported_s = _request_nodes(use_gpu=use_gpu, wanted=wanted), time.monotonic(), -REPORT_S
    try:
        while lacking := " and ".join(find_missing(resources, use_gpu=use_gpu, gpus=gpus)):
            waited_s = time.monotonic() - started
            if waited_s > wait_s:
                raise UsageError(
                    f"after {waited_s:.0f} s the Ray cluster still lacks {lacking}; see `ray status` for why it does "
                    "not grow, or wait longer with --node-wait-s"
                )
            if waited_s - reported_s >= REPORT_S:
                out.print(f"waiting for {lacking} ({waited_s:.0f} of at most {wait_s:.0f} s)")
                reported_s = waited_s
            time.sleep(POLL_S)
            resources = read_resources()
    finally:
        for group in requested:
            remove_placement_group(group)
    return resources


def _request_nodes(*, use_gpu: bool, wanted: PoolSizes | None) -> list[PlacementGroup]:
    """One placement group per future actor: an autoscaler adds nodes for groups that cannot be placed yet."""
    decoder, classifier = {"CPU": 1.0}, {"CPU": 1.0, **({"GPU": 1.0} if use_gpu else {})}
    if wanted is None:
        return [placement_group([decoder]), placement_group([classifier])]
    groups = [(decoder, wanted.decoder_label)] * wanted.decoders
    groups += [(classifier, wanted.classifier_label)] * wanted.classifiers
    return [placement_group([bundle], bundle_label_selector=[label or {}]) for bundle, label in groups]

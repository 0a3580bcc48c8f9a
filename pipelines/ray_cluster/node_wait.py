"""Waiting for the nodes of an autoscaler: asked for before there is work for them, and not for ever."""

import time

from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from rich.console import Console

from artifactscan.errors import UsageError
from artifactscan.pipelines.ray_cluster.connection import Resources, read_resources
from artifactscan.pipelines.ray_cluster.pools import Pools, kept_for

NODE_WAIT_S = 900.0
"""For the first node of each kind, where it is known that an autoscaler can add it."""
LOOK_S = 2.0
TELL_S = 30.0


def missing(resources: Resources, *, use_gpu: bool, gpus: int = 1) -> list[str]:
    """What there is not one of yet, in words, or not ``gpus``."""
    decoding, classifying = kept_for("decode", resources.nodes), kept_for("classify", resources.nodes)
    found = [] if any(node.cpus for node in decoding) else ["a CPU to decode on"]
    if use_gpu and (there := sum(node.gpus for node in classifying)) < gpus:
        found.append("a GPU" if gpus == 1 else f"{gpus - there} of {gpus} GPUs")
    elif not use_gpu and not any(node.cpus for node in classifying):
        found.append("a CPU to classify on")
    return found


def wait_for_nodes(
    resources: Resources, *, use_gpu: bool, wanted: Pools | None, wait_s: float, out: Console, gpus: int = 1
) -> Resources:
    """The cluster once it has a node of each kind and ``gpus``; ``wanted``: all that is asked of the autoscaler, or one
    of each.

    What is asked for is asked by this process, and forgotten with it. UsageError after ``wait_s``.
    """
    asked, started, told_s = _ask(use_gpu=use_gpu, wanted=wanted), time.monotonic(), -TELL_S
    try:
        while lacking := " and ".join(missing(resources, use_gpu=use_gpu, gpus=gpus)):
            waited_s = time.monotonic() - started
            if waited_s > wait_s:
                raise UsageError(
                    f"after {waited_s:.0f} s the Ray cluster still lacks {lacking}; see `ray status` for why it does "
                    "not grow, or wait longer with --node-wait-s"
                )
            if waited_s - told_s >= TELL_S:
                out.print(f"waiting for {lacking} ({waited_s:.0f} of at most {wait_s:.0f} s)")
                told_s = waited_s
            time.sleep(LOOK_S)
            resources = read_resources()
    finally:
        for group in asked:
            remove_placement_group(group)
    return resources


def _ask(*, use_gpu: bool, wanted: Pools | None) -> list[PlacementGroup]:
    """One group for each actor to come: a group that cannot be placed is a demand that an autoscaler meets."""
    decoder, classifier = {"CPU": 1.0}, {"CPU": 1.0, **({"GPU": 1.0} if use_gpu else {})}
    if wanted is None:
        return [placement_group([decoder]), placement_group([classifier])]
    groups = [(decoder, wanted.decoder_label)] * wanted.decoders
    groups += [(classifier, wanted.classifier_label)] * wanted.classifiers
    return [placement_group([bundle], bundle_label_selector=[label or {}]) for bundle, label in groups]

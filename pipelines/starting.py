"""Ray, started or joined for a scoring run: its first nodes waited for, its pools sized."""

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from artifactscan import storage
from artifactscan.corpus import is_manifest
from artifactscan.rates import Rates
from artifactscan.settings import ScoreSettings
from pipelines import cluster, waiting
from pipelines.cluster import Resources
from pipelines.pools import Pools, size_pools


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
    resources = cluster.connect()
    cluster.check_places(resources, *places, shared_filesystem=settings.shared_filesystem)
    wait_s = settings.node_wait_s or (waiting.NODE_WAIT_S if resources.room else 0.0)
    use_gpu = uses_gpu(device, resources)
    if wait_s and waiting.missing(resources, use_gpu=use_gpu, gpus=gpus):
        wanted = sized(resources) if resources.room else None
        resources = waiting.wait_for_nodes(resources, use_gpu=use_gpu, gpus=gpus, wanted=wanted, wait_s=wait_s, out=out)
        cluster.check_places(resources, *places, shared_filesystem=settings.shared_filesystem)
    return resources


def uses_gpu(device: str, resources: Resources) -> bool:
    """Whether ``device``, as in the settings, means GPUs on a cluster that has these nodes or may grow to them."""
    return device == "cuda" or (device == "auto" and any(node.gpus for node in resources.grown))


def start_ray(
    settings: ScoreSettings,
    rates: Callable[[str], Rates],
    out: Console,
    *,
    device: str,
    frames: int,
    work: pa.Table | None = None,
) -> Pools:
    """What the cluster is to be used as; UsageError where it cannot be used.

    ``rates``: what a frame takes on a device; ``frames``: how many are to be expected, by which an autoscaler is asked
    for nodes; ``work``: what is to be read, whose places every node must reach.
    """
    places = [settings.output] if is_manifest(settings.input) else [settings.input, settings.output]
    if work is not None:
        local = work["uri"].filter(pc.invert(pc.starts_with(work["uri"], "s3://")))
        places += local.slice(0, 1).to_pylist()
    one_disk = not settings.shared_filesystem and any(not storage.is_s3(storage.normalise(place)) for place in places)

    def sized(resources: Resources) -> Pools:
        use_gpu = uses_gpu(device, resources)
        pools = size_pools(
            resources,
            use_gpu=use_gpu,
            decode_actors=settings.decode_actors,
            classify_actors=settings.classify_actors,
            rates=rates("cuda" if use_gpu else "cpu"),
            frames=frames,
        )
        if one_disk:  # a node that joins would not see it
            pools = replace(pools, most_decoders=pools.decoders, most_classifiers=pools.classifiers)
        return pools

    resources = join(settings, *places, device=device, sized=sized, out=out)
    pools = sized(resources)
    if work is not None and (actors := pools.decoders + pools.classifiers) > 2 * resources.cpus:
        out.print(
            f"{actors} decoding and classifying processes share {resources.cpus} CPUs: they get in each other's way"
        )
    return pools

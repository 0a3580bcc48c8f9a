"""Ray, started or joined for a scoring run: its first nodes waited for, its pools sized."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from artifactscan import storage
from artifactscan.corpus import is_manifest
from artifactscan.rates import Rates
from artifactscan.settings import ScoreSettings
from pipelines import cluster, waiting
from pipelines.cluster import Resources
from pipelines.pools import Pools, check_able, size_pools


def check_cluster(settings: ScoreSettings) -> None:
    """UsageError where the cluster at RAY_ADDRESS cannot do what is asked, which nobody is to wait a plan for."""
    resources, _ = _join(settings)
    if not settings.node_wait_s:  # else what is missing may come
        check_able(resources, use_gpu=_use_gpu(settings.device, resources))


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
    resources, places = _join(settings, work)
    one_disk = not settings.shared_filesystem and any(not storage.is_s3(storage.normalise(place)) for place in places)

    def sized(resources: Resources) -> Pools:
        use_gpu = _use_gpu(device, resources)
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

    wait_s = settings.node_wait_s or (waiting.NODE_WAIT_S if resources.room else 0.0)
    use_gpu = _use_gpu(device, resources)
    if wait_s and waiting.missing(resources, use_gpu=use_gpu):
        wanted = sized(resources) if resources.room else None
        resources = waiting.wait_for_nodes(resources, use_gpu=use_gpu, wanted=wanted, wait_s=wait_s, out=out)
        cluster.check_places(resources, *places, shared_filesystem=settings.shared_filesystem)
    pools = sized(resources)
    if (actors := pools.decoders + pools.classifiers) > 2 * resources.cpus:
        out.print(
            f"{actors} decoding and classifying processes share {resources.cpus} CPUs: they get in each other's way"
        )
    return pools


def _join(settings: ScoreSettings, work: pa.Table | None = None) -> tuple[Resources, list[str]]:
    """The cluster and the places that all of its nodes must reach; UsageError where one does not."""
    resources = cluster.connect(may_be_empty=True)
    places = [settings.output] if is_manifest(settings.input) else [settings.input, settings.output]
    if work is not None:
        local = work["uri"].filter(pc.invert(pc.starts_with(work["uri"], "s3://")))
        places += local.slice(0, 1).to_pylist()
    cluster.check_places(resources, *places, shared_filesystem=settings.shared_filesystem)
    return resources, places


def _use_gpu(device: str, resources: Resources) -> bool:
    return device == "cuda" or (device == "auto" and any(node.gpus for node in resources.grown))

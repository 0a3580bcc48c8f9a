"""Ray for a scoring run: joined or started, its pools sized."""

from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console

from artifactscan import storage
from artifactscan.corpus.listing import is_manifest
from artifactscan.pipelines.ray_cluster.connection import Resources
from artifactscan.pipelines.ray_cluster.join import join, uses_gpu
from artifactscan.pipelines.ray_cluster.pools import Pools, size_pools
from artifactscan.scoring.rates import Rates
from artifactscan.scoring.settings import ScoreSettings


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

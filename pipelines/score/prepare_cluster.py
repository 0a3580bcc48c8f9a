"""Prepares Ray for a scoring run: starts or joins it, waits for its nodes, sizes the pools."""

from collections import Counter
from dataclasses import dataclass, replace

from artifactscan import storage
from artifactscan.corpus.listing import is_manifest
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
from artifactscan.pipelines.ray_cluster.resources import Node, Resources, read_resources, uses_gpu
from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster
from artifactscan.pipelines.score.request import ScoringJob


@dataclass(frozen=True)
class PreparedCluster:
    """The pools of a scoring run, and the nodes that they were sized for."""

    pools: PoolSizes
    nodes: tuple[Node, ...]

    def is_complete(self) -> bool:
        """Whether each of these nodes, or another like it, is still there."""
        return not Counter(self.nodes) - Counter(read_resources().nodes)


def prepare_cluster(
    job: ScoringJob, *, frames: int, local_uri: str | None, device: str | None = None
) -> PreparedCluster:
    """Starts or joins Ray and sizes the pools; UsageError where the cluster cannot be used.

    ``frames``: sampled frames to expect, by which an autoscaler is asked for nodes; ``local_uri``: a video that all
    nodes must reach; ``device``: in place of the settings'.
    """
    settings, device = job.settings, device or job.settings.device
    paths = [settings.output] if is_manifest(settings.input) else [settings.input, settings.output]
    paths += [local_uri] if local_uri else []
    one_disk = not settings.shared_filesystem and any(not storage.is_remote(storage.normalise(path)) for path in paths)

    def sized(resources: Resources) -> PoolSizes:
        use_gpu = uses_gpu(device, resources)
        pools = size_pools(
            resources,
            use_gpu=use_gpu,
            decode_actors=settings.decode_actors,
            classify_actors=settings.classify_actors,
            costs=job.frame_costs("cuda" if use_gpu else "cpu"),
            frames=frames,
        )
        if one_disk:  # nodes that join later would not see the local files
            pools = replace(pools, most_decoders=pools.decoders, most_classifiers=pools.classifiers)
        return pools

    resources = start_cluster(settings, *paths, device=device, sized=sized, out=job.out)
    pools = sized(resources)
    if (actors := pools.decoders + pools.classifiers) > 2 * resources.cpus:
        job.out.print(
            f"{actors} decoding and classifying processes share {resources.cpus} CPUs: they get in each other's way"
        )
    return PreparedCluster(pools, resources.nodes)

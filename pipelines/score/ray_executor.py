"""Executes the scoring graph on Ray: starts or joins it, waits for its nodes, sizes the pools."""

import logging
import sys
from collections import Counter
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.exceptions import RayError

from artifactscan import storage
from artifactscan.corpus.manifest import is_manifest
from artifactscan.errors import NodesLostError
from artifactscan.messages.activity import activity
from artifactscan.messages.logs import log_json
from artifactscan.pipelines.ray_cluster import metrics, progress
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes, size_pools
from artifactscan.pipelines.ray_cluster.ray_data import ray_errors_as_cut_off
from artifactscan.pipelines.ray_cluster.resources import Node, Resources, read_resources, uses_gpu
from artifactscan.pipelines.ray_cluster.start_cluster import start_cluster
from artifactscan.pipelines.ray_cluster.worker_spans import WorkerSpans
from artifactscan.pipelines.score.graph import run_graph
from artifactscan.pipelines.score.request import ScoringJob
from artifactscan.scoring.nvdec_probe import measure_nvdec
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.telemetry.tracing import span_recorder

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RayExecutor:
    """The pools of a scoring run, and the nodes that they were sized for; see Executor."""

    pools: PoolSizes
    nodes: tuple[Node, ...]
    notes: frozenset[str] = frozenset()
    """What was found out before the run, such as what NVDEC does to the scores."""

    def is_complete(self) -> bool:
        """Whether each of these nodes, or another like it, is still there."""
        return not Counter(self.nodes) - Counter(read_resources().nodes)

    @property
    def device(self) -> str:
        """What the classifiers are put on."""
        return self.pools.device

    def execute(self, job: ScoringJob, run: str, work: pa.Table, watch: Stopwatch) -> set[str]:
        """Runs the graph once over ``work`` and writes Ray Data's statistics; returns the notes of the classifiers, and
        on nodes that were lost meanwhile."""
        settings = job.settings
        total = pc.sum(pc.equal(work["slice"], 0)).as_py() or 0  # a video is counted with its first slice
        metrics.work_for(run)
        tally, lost_nodes = progress.start_tally(total, run), list[str]()
        log = log_json(run, sys.stderr) if settings.log_format == "json" else None
        recorder = span_recorder(run=run)

        def note_lost_node(sentence: str) -> None:
            _log.warning(sentence)
            lost_nodes.append(sentence)

        with (
            watch.stage("score"),
            WorkerSpans(tally, recorder),
            progress.show_progress(tally, total=total, quiet=settings.quiet, log=log),
        ):
            try:
                stats = run_graph(
                    work,
                    job.store.parts(run),
                    run=run,
                    pools=self.pools,
                    decoding=job.decoding(),
                    classifying=job.classifying(self.device),
                    checkpoint=job.checkpoint,
                    tally=tally,
                    traced=recorder is not None,
                    on_lost_node=note_lost_node,
                )
            except NodesLostError:
                metrics.RETRIES.record(what="graph")
                raise NodesLostError(lost_nodes) from None
        storage.write_bytes(job.store.stats(run), stats.encode())
        try:
            return progress.read_tally(tally).notes.union(self.notes, lost_nodes)
        except RayError:
            return {"the notes of the classifiers are not known: the tally is gone", *lost_nodes} | self.notes


def prepare_cluster(job: ScoringJob, *, frames: int, local_uri: str | None, device: str | None = None) -> RayExecutor:
    """Starts or joins Ray and sizes the pools; UsageError where the cluster cannot be used.

    ``frames``: sampled frames to expect, by which an autoscaler is asked for nodes; ``local_uri``: a video that all
    nodes must reach; ``device``: in place of the settings'.
    """
    settings, device = job.settings, device or job.device
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
            decode_on_gpu=job.decodes_on_gpu,
        )
        if one_disk:  # nodes that join later would not see the local files
            pools = replace(pools, most_decoders=pools.decoders, most_classifiers=pools.classifiers)
        return pools

    needs = "cuda" if job.decodes_on_gpu else device
    resources = start_cluster(settings, *paths, device=needs, sized=sized, out=job.out, quiet=settings.quiet)
    pools = sized(resources)
    if (actors := pools.decoders + pools.classifiers) > 2 * resources.cpus:
        job.out.print(
            f"{actors} decoding and classifying processes share {resources.cpus} CPUs: they get in each other's way"
        )
    return RayExecutor(pools, resources.nodes, _notes_on_nvdec(job, pools))


def _notes_on_nvdec(job: ScoringJob, pools: PoolSizes) -> frozenset[str]:
    """What NVDEC does to the scores, where it is asked for, on a node with a GPU; UsageError where it does not work."""
    if not job.decodes_on_gpu:
        return frozenset()
    measure = ray.remote(num_cpus=0, num_gpus=pools.decoder_gpus, max_retries=0)(measure_nvdec)
    classifying = job.classifying(pools.device)
    with activity("trying NVDEC on a clip", job.settings.quiet), ray_errors_as_cut_off():
        return frozenset({ray.get(measure.remote(job.checkpoint, job.decoding(), classifying))})

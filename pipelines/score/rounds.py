"""The graph over what is still open in a run, round by round until nothing is, and the Ray that it runs on."""

import os
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.corpus.listing import is_manifest
from artifactscan.errors import CutOffError, LedgerError, UsageError
from artifactscan.messages.logs import log_json
from artifactscan.pipelines.score.request import Job
from artifactscan.scoring.plan import FRAMES_PER_MEGABYTE, Plan
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.scoring.work import count_to_do, remaining_work

if TYPE_CHECKING:
    from artifactscan.pipelines.ray_cluster.pools import Pools

ROUNDS = 3
"""Times the graph is run over what is still open before the ledger is said not to close."""
MOST_LOST = 20
"""Times it is begun anew in one call because nodes were lost."""


def score_open_videos(job: Job, run: str, watch: Stopwatch, plan: Plan | None = None) -> set[str]:
    """Runs the graph over what has no complete attempt yet; returns what happened otherwise than asked, in words.

    Ray is not even started where nothing is open.
    """
    settings, notes, pools = job.settings, set(), None
    frames_per_byte = FRAMES_PER_MEGABYTE / 1e6 * settings.sample_fps / 2
    if plan is not None and plan.bytes_to_read:
        frames_per_byte = plan.expected_frames / plan.bytes_to_read
    rounds = lost = 0
    while rounds < ROUNDS:
        # What a round leaves open is not cut again: whatever was wrong with its slices, the whole has an outcome.
        slice_bytes = 0 if rounds else settings.slice_bytes
        work = remaining_work(job.store, run, slice_bytes=slice_bytes, max_object_bytes=settings.max_object_bytes)
        if plan is None and not rounds and not lost:
            left = len(pc.unique(work["video_id"]))
            job.out.print(f"{left:,} of the {count_to_do(job.store, run):,} videos that it had to do are left")
        if not work.num_rows:
            return notes
        try:
            # A run keeps to the device that it began on, even when the node that had it is gone.
            device = None if pools is None else "cuda" if pools.classifier_gpus else "cpu"
            frames = round((pc.sum(work["slice_bytes"]).as_py() or 0) * frames_per_byte)
            pools = start_ray_for(job, watch, frames, work=work, device=device)
        except UsageError as error:
            if pools is None:
                raise
            raise CutOffError(f"the run was cut off: {error}; the same command continues it") from None
        from artifactscan.pipelines.ray_cluster import metrics, node_watch

        try:
            notes |= _run_round(job, run, work, pools, watch)
            rounds += 1
        except node_watch.NodesLostError:
            lost += 1
            if lost > MOST_LOST:
                raise CutOffError(
                    f"the run was cut off: nodes were lost {lost} times; the same command continues it"
                ) from None
            metrics.RETRIES.add(what="graph")
            notes.add("a node was lost and nothing moved any more: the rest was begun anew")
            job.out.print("a node was lost and nothing moves any more: beginning the rest anew")
    if left := remaining_work(job.store, run).num_rows:
        raise LedgerError(
            f"{left} videos of run {run} still have no outcome after {ROUNDS} rounds; give the same command again"
        )
    return notes


def check_cluster(corpus: str, store: str, *, shared_filesystem: bool) -> None:
    """UsageError, before time goes into a plan, where RAY_ADDRESS leads to no cluster, or to one whose nodes would each
    use their own disk. What nodes there are is asked when there is work for them."""
    if "RAY_ADDRESS" in os.environ:
        from artifactscan.pipelines.ray_cluster import connection

        # A manifest is read here, and what is not there at all is told better by what reads it.
        places = [store] if shared_filesystem or is_manifest(corpus) else [corpus, store]
        resources = connection.connect()
        connection.check_places(resources, *places, shared_filesystem=shared_filesystem)


def start_ray_for(
    job: Job, watch: Stopwatch, frames: int, *, work: pa.Table | None = None, device: str | None = None
) -> "Pools":
    """Starts or joins Ray and says what the cluster is to be used as; UsageError where it cannot be.

    ``frames``: how many are to be expected, by which an autoscaler is asked for nodes; ``work``: what is to be read;
    ``device``: in place of the settings'.
    """
    from artifactscan.pipelines.score.start import start_ray

    with watch.stage("start"):
        return start_ray(
            job.settings, job.rates, job.out, device=device or job.settings.device, frames=frames, work=work
        )


def _run_round(job: Job, run: str, work: pa.Table, pools: "Pools", watch: Stopwatch) -> set[str]:
    """Runs the graph once over ``work`` and keeps Ray Data's statistics; returns the classifiers' notes."""
    from ray.exceptions import RayError

    from artifactscan.pipelines.ray_cluster import progress
    from artifactscan.pipelines.score import graph

    settings, checkpoint = job.settings, job.checkpoint
    total = pc.sum(pc.equal(work["slice"], 0)).as_py() or 0  # by its first slice a video is counted
    tally = progress.start_tally(total)
    log = log_json(run, sys.stderr) if settings.log_format == "json" else None
    with watch.stage("score"), progress.Progress(tally, total=total, quiet=settings.quiet, log=log):
        stats = graph.run_graph(
            work,
            job.store.parts(run),
            run=run,
            pools=pools,
            decoding=settings.decoding(checkpoint.card.input),
            classifying=settings.classifying(),
            checkpoint=checkpoint,
            tally=tally,
        )
    storage.write_bytes(job.store.stats(run), stats.encode())
    try:
        return progress.read(tally).notes
    except RayError:
        return {"what the classifiers did otherwise than asked is not known: the tally is gone"}

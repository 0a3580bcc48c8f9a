"""Runs the scoring graph over what is left of a run, in rounds, until every video has a complete attempt."""

import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan import storage
from artifactscan.errors import CutOffError, LedgerError, UsageError
from artifactscan.messages.logs import log_json
from artifactscan.pipelines.score.request import ScoringJob
from artifactscan.scoring.complete_attempts import CompleteAttempts, read_complete_attempts
from artifactscan.scoring.plan import first_local_uri
from artifactscan.scoring.remaining_work import count_to_do, remaining_work
from artifactscan.scoring.stopwatch import Stopwatch

if TYPE_CHECKING:
    from artifactscan.pipelines.score.prepare_cluster import PreparedCluster

ROUNDS = 3
"""Times that the graph runs to its end before open videos count as an error."""
MOST_LOST = 20
"""Times that the graph is started again because nodes were lost."""


def score_open_videos(
    job: ScoringJob,
    run: str,
    watch: Stopwatch,
    *,
    frames_per_byte: float,
    cluster: "PreparedCluster | None" = None,
    continued: bool = False,
) -> tuple[CompleteAttempts, set[str]]:
    """Runs the graph over the videos without a complete attempt, until all have one; returns the attempts and notes.

    ``cluster``: as prepared before; None to prepare it once there is work, without which Ray is not started. It is
    prepared again only after nodes were lost. ``frames_per_byte``: sampled frames to expect; ``continued``: print how
    much of the run is left. Notes are sentences on what differed from the settings.
    LedgerError where videos are still open after ROUNDS; CutOffError where the cluster gives out.
    """
    notes: set[str] = set()
    rounds = lost = 0
    while True:
        attempts = read_complete_attempts(job.store, run)
        # Later rounds do not cut: whatever was wrong with a slice, the whole video has an outcome.
        work = remaining_work(
            job.store,
            run,
            attempts,
            slice_bytes=0 if rounds else job.settings.slice_bytes,
            max_object_bytes=job.settings.max_object_bytes,
        )
        if continued and not (rounds or lost):
            left, to_do = len(pc.unique(work["video_id"])), count_to_do(job.store, run)
            job.out.print(f"{left:,} of the {to_do:,} videos that it had to do are left")
        if not work.num_rows:
            return attempts, notes
        if rounds == ROUNDS:
            raise LedgerError(
                f"{work.num_rows} videos of run {run} still have no outcome after {ROUNDS} rounds; "
                "give the same command again"
            )
        del attempts  # they can be large, and the next round reads them again
        cluster = _ready_cluster(job, cluster, work, frames_per_byte, watch)
        from artifactscan.pipelines.ray_cluster import metrics, node_watch

        try:
            notes |= _run_round(job, run, work, cluster, watch)
            rounds += 1
        except node_watch.NodesLostError:
            lost += 1
            if lost > MOST_LOST:
                raise CutOffError(
                    f"the run was cut off: nodes were lost {lost} times; the same command continues it"
                ) from None
            metrics.RETRIES.record(what="graph")
            notes.add("a node was lost and the graph was stuck: the rest was started again")
            job.out.print("a node was lost and the graph is stuck: starting the rest again")


def _ready_cluster(
    job: ScoringJob, cluster: "PreparedCluster | None", work: pa.Table, frames_per_byte: float, watch: Stopwatch
) -> "PreparedCluster":
    """``cluster`` if all its nodes are still there, else prepared again for ``work``."""
    from artifactscan.pipelines.score.prepare_cluster import prepare_cluster

    if cluster is not None and cluster.is_complete():
        return cluster
    frames = round((pc.sum(work["slice_bytes"]).as_py() or 0) * frames_per_byte)
    # A run keeps its device, even when the node that had it is gone.
    device = None if cluster is None else cluster.pools.device
    try:
        with watch.stage("start"):
            return prepare_cluster(job, frames=frames, local_uri=first_local_uri(work["uri"]), device=device)
    except UsageError as error:
        if cluster is None:
            raise
        raise CutOffError(f"the run was cut off: {error}; the same command continues it") from None


def _run_round(job: ScoringJob, run: str, work: pa.Table, cluster: "PreparedCluster", watch: Stopwatch) -> set[str]:
    """Runs the graph once over ``work`` and writes Ray Data's statistics; returns the classifiers' notes."""
    from ray.exceptions import RayError

    from artifactscan.pipelines.ray_cluster import progress
    from artifactscan.pipelines.score import graph

    settings, checkpoint = job.settings, job.checkpoint
    total = pc.sum(pc.equal(work["slice"], 0)).as_py() or 0  # a video is counted with its first slice
    tally = progress.start_tally(total)
    log = log_json(run, sys.stderr) if settings.log_format == "json" else None
    with watch.stage("score"), progress.Progress(tally, total=total, quiet=settings.quiet, log=log):
        stats = graph.run_graph(
            work,
            job.store.parts(run),
            run=run,
            pools=cluster.pools,
            decoding=settings.decoding(checkpoint.card.input, context_frames=checkpoint.card.context_frames),
            classifying=settings.classifying().on(cluster.pools.device),
            checkpoint=checkpoint,
            tally=tally,
        )
    storage.write_bytes(job.store.stats(run), stats.encode())
    try:
        return progress.read_tally(tally).notes
    except RayError:
        return {"the notes of the classifiers are not known: the tally is gone"}

"""Runs the scoring stages over what is left of a run, in rounds, until every video has a complete attempt."""

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.errors import CutOffError, LedgerError, NodesLostError, UsageError
from artifactscan.pipelines.score.executor import Executor, prepare_executor
from artifactscan.pipelines.score.request import ScoringJob
from artifactscan.scoring.complete_attempts import CompleteAttempts, read_complete_attempts
from artifactscan.scoring.plan import first_local_uri
from artifactscan.scoring.remaining_work import count_to_do, remaining_work
from artifactscan.scoring.stopwatch import Stopwatch

ROUNDS = 3
"""Times that the stages run to their end before open videos count as an error."""
MOST_LOST = 20
"""Times that the graph is started again because nodes were lost."""


def score_open_videos(
    job: ScoringJob,
    run: str,
    watch: Stopwatch,
    *,
    frames_per_byte: float,
    executor: Executor | None = None,
    continued: bool = False,
) -> tuple[CompleteAttempts, set[str]]:
    """Runs the stages over the videos without a complete attempt, until all have one; returns the attempts and notes.

    ``executor``: as prepared before; None to prepare one once there is work, without which Ray is not started. It is
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
        executor = _ready_executor(job, executor, work, frames_per_byte, watch)
        try:
            notes |= executor.execute(job, run, work, watch)
            rounds += 1
        except NodesLostError as error:
            lost += 1
            notes.update(error.lost_nodes)
            if lost > MOST_LOST:
                raise CutOffError(
                    f"the run was cut off: nodes were lost {lost} times; the same command continues it"
                ) from None
            notes.add("a node was lost and the graph was stuck: the rest was started again")
            job.out.print("a node was lost and the graph is stuck: starting the rest again")


def _ready_executor(
    job: ScoringJob, executor: Executor | None, work: pa.Table, frames_per_byte: float, watch: Stopwatch
) -> Executor:
    """``executor`` if all that it was sized for is still there, else one prepared again for ``work``."""
    if executor is not None and executor.is_complete():
        return executor
    frames = round((pc.sum(work["slice_bytes"]).as_py() or 0) * frames_per_byte)
    # A run keeps its device, even when the node that had it is gone.
    device = None if executor is None else executor.device
    try:
        with watch.stage("start"):
            return prepare_executor(job, frames=frames, local_uri=first_local_uri(work["uri"]), device=device)
    except UsageError as error:
        if executor is None:
            raise
        raise CutOffError(f"the run was cut off: {error}; the same command continues it") from None

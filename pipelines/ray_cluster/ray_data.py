"""What every graph on Ray Data shares: datasets of small blocks, actor pools, limits, and errors as sentences."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import ray
from ray.actor import ActorProxy
from ray.data import ActorPoolStrategy, ExecutionResources
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError, RayTaskError
from ray.util.annotations import RayDeprecationWarning

from artifactscan.errors import CutOffError, UsageError
from artifactscan.pipelines.ray_cluster import metrics, pool_actors
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.ray_cluster.progress import Tally

BLOCK_BYTES = 16 << 20
"""Target size of a block of pixels: about 110 frames of 224×224. Small blocks let classifying start early."""
MAX_VIDEOS_PER_BLOCK = 32
"""Small blocks are costly: each takes 10 to 18 ms in every operator, and 10 kB of the driver's memory for the run."""
BLOCKS_PER_DECODER = 8
"""Large blocks leave decoders idle at the end, so each decoder gets at least this many."""
SINGLES_PER_DECODER = 4
"""The last videos are a block each, so that no decoder holds two blocks while others are idle."""
WAITING_BYTES_PER_ACTOR = {"cpu": 64 << 20, "cuda": 192 << 20}
"""Pixels per actor that may wait in the object store; without a bound decoders fill a share of it. Ray Data reserves a
quarter for running decoders, at two blocks each: under 128 MiB some of them would stay idle, which is harmless only
where classifying is the bottleneck."""
NO_PROGRESS_TIMEOUT_S = 1800.0
"""A graph without progress for this long is stuck; the run ends and can be continued."""
HEAVY_BYTES = 64 << 20
"""A video or slice of at least this size is a block by itself, before all others, so that it does not delay the end."""
MOST_BLOCKS = 20_000
"""Each block delays the start by a millisecond of the driver."""

_USAGE_ERROR = re.compile(r"^artifactscan\.errors\.UsageError: (.+)$", re.MULTILINE)


def report_actor(stage: str, run: str, tally: ActorProxy[Tally]) -> None:
    """Tells the tally and the metrics that this actor works for ``run``, and on which node; Ray may restart it on
    another one."""
    metrics.work_for(run)
    context = ray.get_runtime_context()
    tally.worker_started.remote(stage, context.get_actor_id(), context.get_node_id())
    metrics.ACTORS.record(1, stage=stage)


def actor_pool(size: int, most: int | None = None) -> ActorPoolStrategy:
    """A pool of ``size`` actors from the start, as Ray Data grows no pool that waits for input; at most ``most``."""
    return ActorPoolStrategy(
        min_size=size, initial_size=size, max_size=max(size, most or size), max_tasks_in_flight_per_actor=2
    )


def videos_per_block(work: pa.Table, pools: PoolSizes) -> int:
    """Rows of ``work`` per block: few blocks, but several for each decoder."""
    rows = min(MAX_VIDEOS_PER_BLOCK, work.num_rows // (pools.decoders * BLOCKS_PER_DECODER))
    return max(1, rows, -(-work.num_rows // MOST_BLOCKS))


def make_dataset(
    work: pa.Table, per_block: int, pools: PoolSizes | None = None, *, silence_s: float = 0.0
) -> ray.data.Dataset:
    """The rows of ``work`` as a dataset of small, ordered blocks; heavy rows and the last ones are a block each.

    The blocks are in the driver's object store, so that no lost node takes undone work with it. ``silence_s``: seconds
    without progress that are legitimate.
    """
    configure_ray_data(pools, silence_s=silence_s)
    sizes = work["slice_bytes"].to_numpy() if "slice_bytes" in work.column_names else np.zeros(work.num_rows)
    heavy = min(MOST_BLOCKS, int(np.count_nonzero(sizes >= HEAVY_BYTES)))
    singles = max(heavy, work.num_rows - (pools.decoders * SINGLES_PER_DECODER if pools else 0))
    blocks = [work.slice(row, 1) for row in range(heavy)]
    blocks += [work.slice(start, min(per_block, singles - start)) for start in range(heavy, singles, per_block)]
    blocks += [work.slice(row, 1) for row in range(singles, work.num_rows)]
    return ray.data.from_blocks(blocks)  # from_arrow would run a task for each block before the first one starts


@contextmanager
def ray_errors_as_cut_off() -> Iterator[None]:
    """Raises CutOffError for faults of the machine or the cluster, UsageError for one that an actor raised.

    Other errors are bugs and keep their traceback. In each case the actors of the graph are ended.
    """
    try:
        try:
            yield
        except Exception:
            pool_actors.end_all()
            raise
    except RayTaskError as error:
        if isinstance(error.cause, UsageError):
            raise error.cause from None
        if isinstance(error.cause, OSError | MemoryError):
            # Only the system's own message: as the file name Ray sets its advice.
            reason = getattr(error.cause, "strerror", None) or str(error.cause).splitlines()[0]
            raise CutOffError(f"the run was cut off: {reason}; the same command continues it") from None
        raise
    except ExecutionTimeoutError:
        raise CutOffError(
            "the run was cut off: nothing moved for half an hour or more; the same command continues it"
        ) from None
    except RayError as error:
        if "error raised in its creation task" in str(error):  # Ray passes on the text only
            if found := _USAGE_ERROR.search(str(error)):
                raise UsageError(found[1]) from None
            raise
        reason = str(error).strip().splitlines()[0]
        raise CutOffError(f"the run was cut off: {reason}; the same command continues it") from None


def configure_ray_data(pools: PoolSizes | None = None, *, silence_s: float = 0.0) -> None:
    """Sets Ray Data's options for the next graph; ``pools`` bound the pixels that may wait for classifiers.

    Ray Data grows a pool while the CPUs left on all nodes add up to an actor. Those that no actor can use are excluded:
    while an actor waits for room, Ray runs the garbage collector in every process of the cluster every ten seconds.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S + silence_s
    context.max_errored_blocks = 0
    if pools is not None:
        waiting_bytes = WAITING_BYTES_PER_ACTOR[pools.device] * (pools.decoders + pools.classifiers)
        context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=waiting_bytes)
    with warnings.catch_warnings():  # the option that replaces it selects nodes by label, which does not help here
        warnings.simplefilter("ignore", RayDeprecationWarning)
        context.execution_options.exclude_resources = ExecutionResources(cpu=pools.fragmented_cpus if pools else 0.0)
    context.actor_init_retry_on_errors = False  # a checkpoint that fails to load fails again

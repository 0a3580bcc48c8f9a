"""What every graph on Ray Data shares: blocks, pools of actors, limits, errors in words."""

import secrets
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

from artifactscan import storage
from artifactscan.errors import CutOffError, UsageError
from artifactscan.pipelines.ray_cluster import metrics, pool_actors
from artifactscan.pipelines.ray_cluster.pools import Pools
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.storage.parquet import write_table

BLOCK_BYTES = 16 << 20
"""Pixels handed on at a time: about 110 frames of 224×224, so that classifying starts early and memory stays flat."""
MAX_VIDEOS_PER_BLOCK = 32
"""A block costs 10 to 18 ms in every operator and the driver 10 kB to the end of the run, so tiny ones are dear …"""
BLOCKS_PER_DECODER = 8
"""… and few large ones leave decoders idle at the end."""
SINGLES_PER_DECODER = 4
"""Of the last videos each is a block: two blocks wait at a decoder while others may have run out of them."""
WAITING_BYTES_PER_ACTOR = {"cpu": 64 << 20, "gpu": 192 << 20}
"""Pixels that may wait in the object store: without a bound decoders run ahead until a share of it is full. Ray Data
keeps a quarter for decoders at work and books two blocks for each: with less than 128 MiB some would stand idle, as
they may only where inference is the bound."""
NO_PROGRESS_TIMEOUT_S = 1800.0
"""A graph that moves nothing for this long is stuck; the run ends and can be continued."""
HEAVY_BYTES = 64 << 20
"""A video or slice of this weight is dealt out by itself, before all others, so that it does not hold up the end."""
MOST_BLOCKS = 20_000
"""Each costs the driver a millisecond before the first one starts."""


def arrive(stage: str, tally: ActorProxy[Tally]) -> None:
    """Says that an actor is at work, and where: it may be on another node than the one before it."""
    context = ray.get_runtime_context()
    tally.arrived.remote(context.get_actor_id(), context.get_node_id())
    metrics.ACTORS.add(1, stage=stage)


def land(parts: str, scored: pa.Table) -> None:
    """Writes rows of PARTS, if there are any, as a file below ``parts``."""
    if scored.num_rows:
        write_table(scored, storage.join(parts, f"{secrets.token_hex(16)}.parquet"))


def pool(size: int, most: int | None = None) -> ActorPoolStrategy:
    """A pool that begins at its full ``size``, as a starved one stays small, and may grow to ``most``."""
    return ActorPoolStrategy(
        min_size=size, initial_size=size, max_size=max(size, most or size), max_tasks_in_flight_per_actor=2
    )


def videos_per_block(work: pa.Table, pools: Pools) -> int:
    """How many rows of ``work`` make a block: few blocks, but several for each decoder."""
    few = min(MAX_VIDEOS_PER_BLOCK, work.num_rows // (pools.decoders * BLOCKS_PER_DECODER))
    return max(1, few, -(-work.num_rows // MOST_BLOCKS))


def deal_out(work: pa.Table, per_block: int, pools: Pools | None = None, *, silence_s: float = 0.0) -> ray.data.Dataset:
    """The rows of ``work`` as a dataset of small, ordered blocks; those of much weight and the last each by itself.

    The blocks lie with the driver, so that no node takes work with it that is not done. ``silence_s``: for how long
    nothing may move though all is well.
    """
    set_context(pools, silence_s=silence_s)
    weights = work["slice_bytes"].to_numpy() if "slice_bytes" in work.column_names else np.zeros(work.num_rows)
    heavy = min(MOST_BLOCKS, int(np.count_nonzero(weights >= HEAVY_BYTES)))
    singles = max(heavy, work.num_rows - (pools.decoders * SINGLES_PER_DECODER if pools else 0))
    blocks = [work.slice(row, 1) for row in range(heavy)]
    blocks += [work.slice(start, min(per_block, singles - start)) for start in range(heavy, singles, per_block)]
    blocks += [work.slice(row, 1) for row in range(singles, work.num_rows)]
    return ray.data.from_blocks(blocks)  # from_arrow runs a task for each before the first one starts


@contextmanager
def cut_off_in_words() -> Iterator[None]:
    """Tells what is the machine's or the cluster's fault from what is ours, whose traceback is wanted.

    Either way nothing of the graph is left at work.
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
            # Of a system's error only its own words: in the file's place stands what Ray advises.
            words = getattr(error.cause, "strerror", None) or str(error.cause).splitlines()[0]
            raise CutOffError(f"the run was cut off: {words}; the same command continues it") from None
        raise
    except ExecutionTimeoutError:
        raise CutOffError(
            "the run was cut off: nothing moved for half an hour or more; the same command continues it"
        ) from None
    except RayError as error:
        if "error raised in its creation task" in str(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise CutOffError(f"the run was cut off: {reason}; the same command continues it") from None


def set_context(pools: Pools | None = None, *, silence_s: float = 0.0) -> None:
    """Sets what every graph here wants of Ray Data; ``pools`` bound what decoders may leave waiting.

    A pool that may grow does where a node has room, and not for the sum of what nodes have left: while an actor waits
    for room, Ray has every process of the cluster collect its garbage, every ten seconds, and stand still meanwhile.
    """
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S + silence_s
    context.max_errored_blocks = 0
    if pools is not None:
        per_actor = WAITING_BYTES_PER_ACTOR["gpu" if pools.classifier_gpus else "cpu"]
        waiting_bytes = per_actor * (pools.decoders + pools.classifiers)
        context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=waiting_bytes)
    with warnings.catch_warnings():  # what is to come in its place chooses nodes by labels, which is not meant here
        warnings.simplefilter("ignore", RayDeprecationWarning)
        context.execution_options.exclude_resources = ExecutionResources(cpu=pools.scattered_cpus if pools else 0.0)
    context.actor_init_retry_on_errors = False  # a checkpoint that does not load will not load the second time

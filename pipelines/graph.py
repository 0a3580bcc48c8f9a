"""The scoring graph on Ray Data: work in, parts out, at least once.

What goes wrong with a video is a row, never an exception: an exception in here is the machine's fault or ours, and
ends the run, which the same command continues.
"""

import secrets
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.actor import ActorProxy
from ray.data import ActorPoolStrategy, ExecutionResources
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError, RayTaskError
from ray.util.annotations import RayDeprecationWarning

from artifactscan import storage
from artifactscan.checkpoint import Checkpoint
from artifactscan.classify_settings import ClassifySettings
from artifactscan.errors import CutOffError, UsageError
from artifactscan.fetch import FetchRetries
from artifactscan.isolation import DecoderProcess, Segment
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.logs import actor_log
from artifactscan.reading import VideoReader
from artifactscan.store import run_ahead, write_table
from artifactscan.tables import PARTS, SEGMENTS
from artifactscan.video import DecodeSettings
from pipelines import metrics, workers
from pipelines.node_watch import NodeWatch
from pipelines.pools import Pools
from pipelines.progress import Tally

BLOCK_BYTES = 16 << 20
"""Pixels handed on at a time: about 110 frames of 224×224, so that classifying starts early and memory stays flat."""
MAX_VIDEOS_PER_BLOCK = 32
"""A block costs 10 to 18 ms in every operator and the driver 10 kB to the end of the run, so tiny ones are dear …"""
BLOCKS_PER_DECODER = 8
"""… and few large ones leave decoders idle at the end."""
SINGLES_PER_DECODER = 4
"""Of the last videos each is a block: two blocks wait at a decoder while others may have run out of them."""
SEGMENTS_PER_BATCH = {"cpu": 2, "gpu": 16}
"""Segments classified in one call; their frames are batched together across videos, and a GPU takes many. Fewer let
classifying begin earlier."""
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


class Decode:
    """CPU actor: videos in, segments out; each video ends in exactly one row that carries its verdict."""

    def __init__(self, settings: DecodeSettings, niceness: int, run: str, tally: ActorProxy[Tally]):
        child = DecoderProcess(settings, nice=niceness)
        child.start()  # its imports take as long as the first fetch
        self.reader = VideoReader(child, max_object_bytes=settings.limits.max_object_bytes)
        self.tally, self.log = tally, actor_log(run)
        arrive("decode", tally)

    def __call__(self, work: pa.Table) -> Iterator[pa.Table]:
        for row, segment in self.reader.read(work.to_pylist()):
            self._tell(row, segment)
            yield _segment_row(row, segment)

    def _tell(self, row: dict[str, Any], segment: Segment) -> None:
        frames = len(segment.frame_index)
        self.tally.decoded.remote(frames)
        metrics.FRAMES.add(frames, outcome="decoded")
        counts = self.reader.take_counts()
        metrics.FETCHED_BYTES.add(counts.fetched_bytes)
        metrics.RETRIES.add(counts.fetch_retries, what="fetch")
        if (verdict := segment.verdict) is None:
            return
        facts = verdict.facts
        metrics.FRAMES.add((facts.frames_sampled or 0) - (facts.frames_decoded or 0), outcome="lost")
        for metric, seconds in ((metrics.FETCH_SECONDS, facts.fetch_s), (metrics.DECODE_SECONDS, facts.decode_s)):
            if seconds is not None:
                metric.add(seconds)
        if verdict.reason is not None:
            told = {"video_id": row["video_id"], "uri": row["uri"], "outcome": str(verdict.outcome)}
            self.log.info(verdict.reason, extra=told)


class Classify:
    """CPU or GPU actor: segments in, the same segments with scores for pixels out."""

    def __init__(
        self, stored: ray.ObjectRef, settings: ClassifySettings, threads: int, run: str, tally: ActorProxy[Tally]
    ):
        from artifactscan.classifier import Classifier  # loads torch, which decoders do without

        actor_log(run)
        checkpoint: Checkpoint = ray.get(stored)
        self.input = checkpoint.card.input
        self.classifier = Classifier(checkpoint, settings, threads=threads)
        self.tally = tally
        arrive("classify", tally)

    def __call__(self, segments: pa.Table) -> Iterator[pa.Table]:
        yield self._scored(segments)  # of what does not yield, Ray Data hides what it raised

    def _scored(self, segments: pa.Table) -> pa.Table:
        counts = [len(index or ()) for index in segments["frame_index"].to_pylist()]
        clips = [self._pixels(blob, n) for blob, n in zip(segments["pixels"], counts, strict=True) if n]
        started = time.perf_counter()
        scores = self.classifier.scores(clips) if clips else np.empty((0, len(SCORE_COLUMNS)), np.float32)
        seconds = time.perf_counter() - started
        frames = pa.StructArray.from_arrays(
            [
                _flatten(segments["frame_index"], pa.int32()),
                _flatten(segments["pts_s"], pa.float64()),
                *(pa.array(scores[:, i], pa.float32()) for i in range(len(SCORE_COLUMNS))),
            ],
            fields=list(PARTS.field("frames").type.value_type),
        )
        offsets = pa.array(np.cumsum([0, *counts], dtype=np.int32))
        columns = {name: segments[name] for name in PARTS.names if name in segments.column_names}
        columns["precision"] = pa.array([self.classifier.precision] * segments.num_rows, pa.string())
        columns["device"] = pa.array([self.classifier.device] * segments.num_rows, pa.string())
        columns["classify_s"] = pa.array([seconds * n / max(1, len(scores)) for n in counts], pa.float64())
        columns["frames"] = pa.ListArray.from_arrays(offsets, frames, type=PARTS.field("frames").type)
        self._tell(segments, len(scores), seconds)
        return pa.table([columns[name] for name in PARTS.names], schema=PARTS)

    def _tell(self, segments: pa.Table, frames: int, seconds: float) -> None:
        # By its first slice a video is counted, where that ends.
        ended = segments.filter(pc.and_(pc.equal(segments["slice"], 0), pc.is_valid(segments["outcome"])))
        outcomes = dict(zip(ended["video_id"].to_pylist(), ended["outcome"].to_pylist(), strict=True))
        self.tally.add.remote(frames=frames, outcomes=outcomes, notes=self.classifier.notes)
        for outcome in outcomes.values():
            metrics.VIDEOS.add(outcome=outcome)
        if frames:
            metrics.FRAMES.add(frames, outcome="scored")
            metrics.CLASSIFY_SECONDS.add(seconds)
            metrics.BATCH_FRAMES.add(frames)
            metrics.BATCHES.add(device=self.classifier.device, precision=self.classifier.precision)

    def _pixels(self, blob: pa.LargeBinaryScalar, frames: int) -> np.ndarray:
        shape = (frames, self.input.height, self.input.width, 3)
        return np.frombuffer(blob.as_buffer(), np.uint8).reshape(shape)


def arrive(stage: str, tally: ActorProxy[Tally]) -> None:
    """Says that an actor is at work, and where: it may be on another node than the one before it."""
    context = ray.get_runtime_context()
    tally.arrived.remote(context.get_actor_id(), context.get_node_id())
    metrics.ACTORS.add(1, stage=stage)


def run_graph(
    work: pa.Table,
    parts: str,
    *,
    run: str,
    pools: Pools,
    decoding: DecodeSettings,
    classifying: ClassifySettings,
    checkpoint: Checkpoint,
    tally: ActorProxy[Tally],
) -> str:
    """Scores ``work``, slices of a manifest's videos, lands them as Parquet files below ``parts``, and returns Ray
    Data's own statistics in words.

    CutOffError where the machine or the cluster gives out, NodesLostError where a node was lost whose actors find no
    other; what has landed stays.
    """
    per_block = videos_per_block(work, pools)
    stored = ray.put(checkpoint)
    # A video may use up its time in silence, and be waited for before; a slice first for another decoder's download and
    # then, where that fails, for its own. What the tally hears after each, Ray Data may only hear after a block.
    silence_s = decoding.limits.video_timeout_s + 2 * FetchRetries().total_wait_s
    with cut_off_in_words(), NodeWatch(tally, silence_s=silence_s):
        dataset = deal_out(work, per_block, pools, silence_s=per_block * silence_s)
        scored = dataset.map_batches(
            Decode,
            batch_size=None,
            batch_format="pyarrow",
            compute=pool(pools.decoders, pools.most_decoders),
            fn_constructor_args=(decoding, pools.niceness, run, tally),
            num_cpus=pools.decoder_cpus,
            label_selector=pools.decoder_label,
        ).map_batches(
            Classify,
            batch_size=SEGMENTS_PER_BATCH["gpu" if pools.classifier_gpus else "cpu"],
            batch_format="pyarrow",
            compute=pool(pools.classifiers, pools.most_classifiers),
            fn_constructor_args=(stored, classifying, pools.classifier_threads, run, tally),
            num_cpus=pools.classifier_cpus,
            num_gpus=pools.classifier_gpus,
            label_selector=pools.classifier_label,
        )
        # What is left of a video is small, so the driver writes it: write_parquet keeps a result of each part, and of
        # what it was made, to the end, and a process of its own takes seconds of a core to start.
        batches = scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for _ in run_ahead(partial(land, parts), batches):
            pass
        return scored.stats()


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
            workers.end_all()
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


def _segment_row(row: dict[str, Any], segment: Segment) -> pa.Table:
    names = ("attempt", "frame_index", "pts_s", "pixels")
    cut = {"slice": segment.slice.number, "slices": segment.slice.of}
    values = {"video_id": row["video_id"], "uri": row["uri"], **{name: getattr(segment, name) for name in names}}
    values |= {"segment": segment.index, "last": segment.verdict is not None, **cut}
    if (verdict := segment.verdict) is not None:
        values |= {"outcome": str(verdict.outcome), "reason": verdict.reason, **asdict(verdict.facts)}
    return pa.table({field.name: pa.array([values.get(field.name)], field.type) for field in SEGMENTS}, schema=SEGMENTS)


def _flatten(column: pa.ChunkedArray, type: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], type), *(chunk.flatten() for chunk in column.chunks)]).cast(type)

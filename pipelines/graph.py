"""The scoring graph on Ray Data: work in, parts out, at least once.

What goes wrong with a video is a row, never an exception: an exception in here is the machine's fault or ours, and
ends the run, which the same command continues.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
from ray.actor import ActorProxy
from ray.data import ActorPoolStrategy, ExecutionResources
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import (
    NodeDiedError,
    OutOfMemoryError,
    RayActorError,
    RaySystemError,
    RayTaskError,
    WorkerCrashedError,
)

from artifactscan import storage
from artifactscan.checkpoint import Checkpoint
from artifactscan.classify_settings import ClassifySettings
from artifactscan.errors import CutOffError, UsageError
from artifactscan.isolation import DecoderProcess, Segment
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.reading import VideoReader
from artifactscan.tables import PARTS, SEGMENTS
from artifactscan.video import DecodeSettings
from pipelines.cluster import Resources
from pipelines.progress import Tally

BLOCK_BYTES = 16 << 20
"""Pixels handed on at a time: about 110 frames of 224×224, so that classifying starts early and memory stays flat."""
BLOCK_ROWS = 10_000
"""Videos handed to Ray in one piece, before they are dealt out."""
MAX_VIDEOS_PER_BLOCK = 16
"""A block costs 10 to 18 ms in every operator, so tiny ones are dear …"""
BLOCKS_PER_DECODER = 8
"""… and few large ones leave decoders idle at the end."""
SEGMENTS_PER_BATCH = {"cpu": 2, "gpu": 16}
"""Segments classified in one call; their frames are batched together across videos, and a GPU takes many. Fewer let
classifying begin earlier."""
WAITING_BYTES_PER_ACTOR = 64 << 20
"""Pixels that may wait in the object store: without a bound decoders run ahead until a share of it is full."""
LIGHT_CPUS = 0.25
"""What a task that reads or writes small Parquet books."""
NO_PROGRESS_TIMEOUT_S = 1800.0
"""A graph that moves nothing for this long is stuck; the run ends and can be continued."""
DECODE_NICENESS = 10
"""Without a GPU decoding yields to inference, whose threads wait for one another at every layer."""


@dataclass(frozen=True, kw_only=True)
class Pools:
    """How many actors do what, and the share of a CPU or GPU each one books."""

    decoders: int
    decoder_cpus: float
    classifiers: int
    classifier_cpus: float
    classifier_gpus: float
    classifier_threads: int
    """CPU threads of one classifier; 0 leaves torch's own choice."""

    @property
    def niceness(self) -> int:
        return 0 if self.classifier_gpus else DECODE_NICENESS


def size_pools(resources: Resources, *, use_gpu: bool, decode_actors: int, classify_actors: int) -> Pools:
    """Pools for a cluster: every GPU classifies and every other core decodes; without a GPU, all cores do both.

    One CPU is left for Ray Data's own tasks. UsageError for a GPU that the cluster does not have.
    """
    if use_gpu and not resources.gpus:
        raise UsageError("--device cuda: the Ray cluster has no GPU; add a GPU node, or use --device cpu")
    if use_gpu:
        classifiers = classify_actors or resources.gpus
        decoders = decode_actors or max(1, resources.cpus - classifiers - 1)
        bookable = resources.cpus - 1
        classifier_cpus = min(1.0, bookable / (2 * classifiers))
        return Pools(
            decoders=decoders,
            decoder_cpus=min(1.0, (bookable - classifiers * classifier_cpus) / decoders),
            classifiers=classifiers,
            classifier_cpus=classifier_cpus,
            classifier_gpus=1.0 if classifiers <= resources.gpus else resources.gpus / classifiers,
            classifier_threads=0,
        )
    classifiers = classify_actors or resources.nodes
    decoders = decode_actors or resources.cpus
    share = resources.cpus / 2 / (classifiers + decoders)
    return Pools(
        decoders=decoders,
        decoder_cpus=share,
        classifiers=classifiers,
        classifier_cpus=share,
        classifier_gpus=0.0,
        classifier_threads=max(1, resources.cpus // classifiers),
    )


class Decode:
    """CPU actor: videos in, segments out; each video ends in exactly one row that carries its verdict."""

    def __init__(self, settings: DecodeSettings, niceness: int):
        child = DecoderProcess(settings, nice=niceness)
        self.reader = VideoReader(child, max_object_bytes=settings.limits.max_object_bytes)

    def __call__(self, work: pa.Table) -> Iterator[pa.Table]:
        for row, segment in self.reader.read(work.to_pylist()):
            yield _segment_row(row, segment)


class Classify:
    """CPU or GPU actor: segments in, the same segments with scores for pixels out."""

    def __init__(self, stored: ray.ObjectRef, settings: ClassifySettings, threads: int, tally: ActorProxy[Tally]):
        from artifactscan.classifier import Classifier  # loads torch, which decoders do without

        checkpoint: Checkpoint = ray.get(stored)
        self.input = checkpoint.card.input
        self.classifier = Classifier(checkpoint, settings, threads=threads)
        self.tally = tally

    def __call__(self, segments: pa.Table) -> Iterator[pa.Table]:
        yield self._scored(segments)  # of what does not yield, Ray Data hides what it raised

    def _scored(self, segments: pa.Table) -> pa.Table:
        counts = [len(index or ()) for index in segments["frame_index"].to_pylist()]
        clips = [self._pixels(blob, n) for blob, n in zip(segments["pixels"], counts, strict=True) if n]
        scores = self.classifier.scores(clips) if clips else np.empty((0, len(SCORE_COLUMNS)), np.float32)
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
        columns["frames"] = pa.ListArray.from_arrays(offsets, frames, type=PARTS.field("frames").type)
        outcomes = segments["outcome"].drop_null().to_pylist()
        self.tally.add.remote(frames=int(sum(counts)), outcomes=outcomes, notes=self.classifier.notes)
        return pa.table([columns[name] for name in PARTS.names], schema=PARTS)

    def _pixels(self, blob: pa.LargeBinaryScalar, frames: int) -> np.ndarray:
        shape = (frames, self.input.height, self.input.width, 3)
        return np.frombuffer(blob.as_buffer(), np.uint8).reshape(shape)


def run_graph(
    work: pa.Table,
    parts: str,
    *,
    pools: Pools,
    decoding: DecodeSettings,
    classifying: ClassifySettings,
    checkpoint: Checkpoint,
    tally: ActorProxy[Tally],
) -> None:
    """Scores the videos of ``work``, rows of a manifest, and lands them as Parquet files below ``parts``.

    CutOffError where the machine or the cluster gives out; what has landed stays.
    """
    filesystem, parts_path = storage.filesystem(parts)
    per_block = videos_per_block(work, pools)
    stored = ray.put(checkpoint)
    with cut_off_in_words():
        (
            deal_out(work, per_block, pools)
            .map_batches(
                Decode,
                batch_size=per_block,
                batch_format="pyarrow",
                compute=ActorPoolStrategy(size=pools.decoders, max_tasks_in_flight_per_actor=2),
                fn_constructor_args=(decoding, pools.niceness),
                num_cpus=pools.decoder_cpus,
            )
            .map_batches(
                Classify,
                batch_size=SEGMENTS_PER_BATCH["gpu" if pools.classifier_gpus else "cpu"],
                batch_format="pyarrow",
                compute=ActorPoolStrategy(size=pools.classifiers, max_tasks_in_flight_per_actor=2),
                fn_constructor_args=(stored, classifying, pools.classifier_threads, tally),
                num_cpus=pools.classifier_cpus,
                num_gpus=pools.classifier_gpus,
            )
            .write_parquet(
                parts_path,
                filesystem=filesystem,
                try_create_dir=not storage.is_s3(parts),  # it would ask for a right to the whole bucket
                ray_remote_args={"num_cpus": LIGHT_CPUS},
                compression="zstd",
            )
        )


def videos_per_block(work: pa.Table, pools: Pools) -> int:
    """How many rows of ``work`` make a block: few blocks, but several for each decoder."""
    return max(1, min(MAX_VIDEOS_PER_BLOCK, work.num_rows // (pools.decoders * BLOCKS_PER_DECODER)))


def deal_out(work: pa.Table, per_block: int, pools: Pools | None = None) -> ray.data.Dataset:
    """The rows of ``work`` as a dataset of small, ordered blocks."""
    set_context(pools)
    # Read by the driver, who has it in hand: Ray's Parquet reader would start four more processes first.
    blocks = [work.slice(start, BLOCK_ROWS) for start in range(0, work.num_rows, BLOCK_ROWS)]
    return ray.data.from_arrow(blocks).repartition(target_num_rows_per_block=per_block)


@contextmanager
def cut_off_in_words() -> Iterator[None]:
    """Tells what is the machine's or the cluster's fault from what is ours, whose traceback is wanted."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, UsageError):
            raise error.cause from None
        if isinstance(error.cause, OSError | MemoryError):
            # Of a system's error only its own words: in the file's place stands what Ray advises.
            words = getattr(error.cause, "strerror", None) or error.cause
            raise CutOffError(f"the run was cut off: {words}; the same command continues it") from None
        raise
    except ExecutionTimeoutError:
        raise CutOffError(
            f"the run was cut off: nothing moved for {NO_PROGRESS_TIMEOUT_S / 60:.0f} minutes; "
            "the same command continues it"
        ) from None
    except (RaySystemError, RayActorError, NodeDiedError, WorkerCrashedError, OutOfMemoryError) as error:
        if "error raised in its creation task" in str(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise CutOffError(f"the run was cut off: {reason}; the same command continues it") from None


def set_context(pools: Pools | None = None) -> None:
    """Sets what every graph here wants of Ray Data; ``pools`` bound what decoders may leave waiting."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.target_max_block_size = BLOCK_BYTES
    context.execution_no_progress_timeout_s = NO_PROGRESS_TIMEOUT_S
    context.max_errored_blocks = 0
    if pools is not None:
        waiting_bytes = WAITING_BYTES_PER_ACTOR * (pools.decoders + pools.classifiers)
        context.execution_options.resource_limits = ExecutionResources.for_limits(object_store_memory=waiting_bytes)
    context.actor_init_retry_on_errors = False  # a checkpoint that does not load will not load the second time


def _segment_row(row: dict[str, Any], segment: Segment) -> pa.Table:
    names = ("attempt", "frame_index", "pts_s", "pixels")
    values = {"video_id": row["video_id"], "uri": row["uri"], **{name: getattr(segment, name) for name in names}}
    values |= {"segment": segment.index, "last": segment.verdict is not None}
    if (verdict := segment.verdict) is not None:
        values |= {"outcome": str(verdict.outcome), "reason": verdict.reason, **asdict(verdict.facts)}
    return pa.table({field.name: pa.array([values.get(field.name)], field.type) for field in SEGMENTS}, schema=SEGMENTS)


def _flatten(column: pa.ChunkedArray, type: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], type), *(chunk.flatten() for chunk in column.chunks)]).cast(type)

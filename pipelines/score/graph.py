"""The scoring graph on Ray Data: rows of work in, parts with scores out, each at least once.

A fault of a video becomes a row with its outcome. An exception is a fault of the machine or a bug: it ends the run,
which the same command continues.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
from ray.actor import ActorProxy

from artifactscan.decode.reader import VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeSettings
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.messages.logs import actor_log
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.pipelines.ray_cluster import metrics
from artifactscan.pipelines.ray_cluster.node_watch import NodeWatch
from artifactscan.pipelines.ray_cluster.pool_sizes import PoolSizes
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.ray_cluster.ray_data import (
    actor_pool,
    make_dataset,
    ray_errors_as_cut_off,
    report_actor,
    videos_per_block,
    write_part,
)
from artifactscan.schemas import PARTS, SEGMENTS
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.retries import RetryLimits

SEGMENTS_PER_BATCH = {"cpu": 2, "cuda": 16}
"""Segments per call of a classifier, which batches their frames together; small, so that classifying starts early."""


class Decode:
    """CPU actor: rows of work in, segments out; the last segment of each video or slice carries its verdict."""

    def __init__(self, settings: DecodeSettings, niceness: int, run: str, tally: ActorProxy[Tally]):
        child = SandboxedDecoder(settings, nice=niceness)
        child.start()  # it imports its libraries while the first object is fetched
        self.reader = VideoReader(child, max_object_bytes=settings.limits.max_object_bytes)
        self.tally, self.log = tally, actor_log(run)
        report_actor("decode", tally)

    def __call__(self, work: pa.Table) -> Iterator[pa.Table]:
        for row, segment in self.reader.read(work.to_pylist()):
            self._report(row, segment)
            yield _segment_row(row, segment)

    def _report(self, row: dict[str, Any], segment: Segment) -> None:
        frames = len(segment.frame_index)
        self.tally.add_decoded.remote(frames)
        metrics.FRAMES.record(frames, outcome="decoded")
        counts = self.reader.take_counts()
        metrics.FETCHED_BYTES.record(counts.fetched_bytes)
        metrics.RETRIES.record(counts.fetch_retries, what="fetch")
        if (verdict := segment.result) is None:
            return
        facts = verdict.facts
        metrics.FRAMES.record((facts.frames_sampled or 0) - (facts.frames_decoded or 0), outcome="lost")
        for metric, seconds in ((metrics.FETCH_SECONDS, facts.fetch_s), (metrics.DECODE_SECONDS, facts.decode_s)):
            if seconds is not None:
                metric.record(seconds)
        if verdict.reason is not None:
            video = {"video_id": row["video_id"], "uri": row["uri"], "outcome": str(verdict.outcome)}
            self.log.info(verdict.reason, extra=video)


class Classify:
    """CPU or GPU actor: segments in, PARTS rows out, with scores in place of pixels."""

    def __init__(
        self, stored: ray.ObjectRef, settings: ClassifySettings, threads: int, run: str, tally: ActorProxy[Tally]
    ):
        from artifactscan.model.classifier import Classifier  # imports torch, which decoders do without

        actor_log(run)
        checkpoint: Checkpoint = ray.get(stored)
        self.input = checkpoint.card.input
        self.classifier = Classifier(checkpoint, settings, threads=threads)
        self.tally = tally
        report_actor("classify", tally)

    def __call__(self, segments: pa.Table) -> Iterator[pa.Table]:
        yield self._score(segments)  # a generator, because Ray Data hides the cause of what other functions raise

    def _score(self, segments: pa.Table) -> pa.Table:
        counts = [len(index or ()) for index in segments["frame_index"].to_pylist()]
        before, after = (segments[f"context_{side}"].to_pylist() for side in ("before", "after"))
        clips = [self._pixels(blob) for blob in segments["pixels"]]
        started = time.perf_counter()
        scores = self.classifier.scores(clips)
        seconds = time.perf_counter() - started
        own = [np.repeat([False, True, False], sides) for sides in zip(before, counts, after, strict=True)]
        scores = scores[np.concatenate([np.empty(0, bool), *own])]
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
        self._report(segments, len(scores), seconds)
        return pa.table([columns[name] for name in PARTS.names], schema=PARTS)

    def _report(self, segments: pa.Table, frames: int, seconds: float) -> None:
        # A video in slices is counted with the last segment of its first slice.
        ended = segments.filter(pc.and_(pc.equal(segments["slice"], 0), pc.is_valid(segments["outcome"])))
        outcomes = dict(zip(ended["video_id"].to_pylist(), ended["outcome"].to_pylist(), strict=True))
        self.tally.add.remote(frames=frames, outcomes=outcomes, notes=self.classifier.notes)
        for outcome in outcomes.values():
            metrics.VIDEOS.record(outcome=outcome)
        if frames:
            metrics.FRAMES.record(frames, outcome="scored")
            metrics.CLASSIFY_SECONDS.record(seconds)
            metrics.BATCH_FRAMES.record(frames)
            metrics.BATCHES.record(device=self.classifier.device, precision=self.classifier.precision)

    def _pixels(self, blob: pa.LargeBinaryScalar) -> np.ndarray:
        pixels = np.frombuffer(blob.as_buffer() or b"", np.uint8)
        return pixels.reshape(-1, self.input.height, self.input.width, 3)


def run_graph(
    work: pa.Table,
    parts: str,
    *,
    run: str,
    pools: PoolSizes,
    decoding: DecodeSettings,
    classifying: ClassifySettings,
    checkpoint: Checkpoint,
    tally: ActorProxy[Tally],
) -> str:
    """Scores ``work``, one row per slice, writes the scores as files in ``parts``, and returns Ray Data's statistics.

    CutOffError where the machine or the cluster gives out, NodesLostError where a node was lost whose actors have no
    room elsewhere; the parts written so far stay.
    """
    per_block = videos_per_block(work, pools)
    stored = ray.put(checkpoint)
    # Longest legitimate silence: decode timeout plus two fetch retry budgets, as a slice first waits for another
    # decoder's download and then, if that fails, does its own. Ray Data sees progress only after a whole block.
    silence_s = decoding.limits.video_timeout_s + 2 * RetryLimits().total_wait_s
    with ray_errors_as_cut_off(), NodeWatch(tally, silence_s=silence_s):
        scored = (
            make_dataset(work, per_block, pools, silence_s=per_block * silence_s)
            .map_batches(
                Decode,
                batch_size=None,
                batch_format="pyarrow",
                compute=actor_pool(pools.decoders, pools.most_decoders),
                fn_constructor_args=(decoding, pools.niceness, run, tally),
                num_cpus=pools.decoder_cpus,
                label_selector=pools.decoder_label,
            )
            .map_batches(
                Classify,
                batch_size=SEGMENTS_PER_BATCH[pools.device],
                batch_format="pyarrow",
                compute=actor_pool(pools.classifiers, pools.most_classifiers),
                fn_constructor_args=(stored, classifying, pools.classifier_threads, run, tally),
                num_cpus=pools.classifier_cpus,
                num_gpus=pools.classifier_gpus,
                label_selector=pools.classifier_label,
            )
        )
        # The driver writes the small rows that are left. write_parquet would keep the result and lineage of each part
        # to the end, and its task processes take seconds of a core to start.
        batches = scored.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for _ in map_in_order(partial(write_part, parts), batches):
            pass
        return scored.stats()


def _segment_row(row: dict[str, Any], segment: Segment) -> pa.Table:
    """One row of SEGMENTS."""
    values = {
        "video_id": row["video_id"],
        "uri": row["uri"],
        "attempt": segment.attempt,
        "segment": segment.index,
        "last": segment.result is not None,
        "slice": segment.slice.number,
        "slices": segment.slice.of,
        "frame_index": segment.frame_index,
        "pts_s": segment.pts_s,
        "pixels": segment.pixels,
        "context_before": segment.context_before,
        "context_after": segment.context_after,
    }
    if (verdict := segment.result) is not None:
        values |= {"outcome": str(verdict.outcome), "reason": verdict.reason, **asdict(verdict.facts)}
    return pa.table({field.name: pa.array([values.get(field.name)], field.type) for field in SEGMENTS}, schema=SEGMENTS)


def _flatten(column: pa.ChunkedArray, type: pa.DataType) -> pa.Array:
    return pa.concat_arrays([pa.array([], type), *(chunk.flatten() for chunk in column.chunks)]).cast(type)

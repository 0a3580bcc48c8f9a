"""The scoring graph on Ray Data: work in, parts out, at least once.

What goes wrong with a video is a row, never an exception: an exception in here is the machine's fault or ours, and
ends the run, which the same command continues.
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
from artifactscan.decode.sandbox.supervisor import DecoderProcess, Segment
from artifactscan.decode.video import DecodeSettings
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.messages.logs import actor_log
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.pipelines.ray_cluster import metrics
from artifactscan.pipelines.ray_cluster.node_watch import NodeWatch
from artifactscan.pipelines.ray_cluster.pools import Pools
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.ray_cluster.ray_data import arrive, cut_off_in_words, deal_out, land, pool, videos_per_block
from artifactscan.schemas import PARTS, SEGMENTS
from artifactscan.storage.concurrent import run_ahead
from artifactscan.storage.fetch import FetchRetries

SEGMENTS_PER_BATCH = {"cpu": 2, "gpu": 16}
"""Segments classified in one call; their frames are batched together across videos, and a GPU takes many. Fewer let
classifying begin earlier."""


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
        from artifactscan.model.classifier import Classifier  # loads torch, which decoders do without

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

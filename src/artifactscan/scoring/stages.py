"""The two stages of scoring, which a graph on Ray or a loop in this process calls: decode videos, classify frames.

A fault of a video becomes a row with its outcome. An exception is a fault of the machine or a bug: it ends the run,
which the same command continues.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.decode.reader import ReaderCounts, VideoReader
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeResult, DecodeSettings
from artifactscan.labels import SCORE_COLUMNS
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.schemas import PARTS, SEGMENTS
from artifactscan.scoring.block_spans import DecodedBlock, classify_span
from artifactscan.telemetry.finished_span import FinishedSpan

SEGMENTS_PER_BATCH = {"cpu": 2, "cuda": 16}
"""Segments per call of a classifier, which batches their frames together; small, so that classifying starts early."""


class DecodeReport(Protocol):
    """Takes note of what a DecodeStage has done."""

    def decoded(self, row: dict[str, Any], segment: Segment, counts: ReaderCounts) -> None:
        """One segment of the video of ``row`` is decoded; ``counts``: what was read since the one before."""
        ...

    def block_done(self, span: FinishedSpan) -> None:
        """A block of work is done: the span of its fetching or its decoding, for traces."""
        ...


class ClassifyReport(Protocol):
    """Takes note of what a ClassifyStage has done."""

    def classified(self, frames: int, seconds: float, outcomes: dict[str, str], notes: list[str]) -> None:
        """``frames`` are scored; ``outcomes``: video_id to outcome of the videos that are done now; ``notes``: of the
        classifier, on what it chose or changed."""
        ...

    def block_done(self, span: FinishedSpan) -> None:
        """A block of segments is classified: its span, for traces."""
        ...


class DecodeStage:
    """Rows of work in, segments out; the last segment of each video or slice carries its verdict."""

    def __init__(self, settings: DecodeSettings, report: DecodeReport, *, niceness: int = 0):
        self._child = SandboxedDecoder(settings, nice=niceness)
        self._child.start()  # it imports its libraries while the first object is fetched
        self._reader = VideoReader(self._child, max_object_bytes=settings.limits.max_object_bytes)
        self._report = report

    def decode(self, work: pa.Table) -> Iterator[pa.Table]:
        """Yields SEGMENTS tables of one row for ``work``, rows of the manifest with their slice."""
        block = DecodedBlock()
        for row, segment in self._reader.read(work.to_pylist()):
            counts = self._reader.take_counts()
            block.add(segment, counts)
            self._report.decoded(row, segment, counts)
            yield _segment_row(row, segment)
        for span in block.spans():
            self._report.block_done(span)

    def close(self) -> None:
        """Kills the decoding child and starts no further fetch."""
        self._child.close()
        self._reader.close()


class ClassifyStage:
    """Segments in, PARTS rows out, with scores in place of pixels."""

    def __init__(self, checkpoint: Checkpoint, settings: ClassifySettings, report: ClassifyReport, *, threads: int = 0):
        from artifactscan.model.classifier import Classifier

        self._input = checkpoint.card.input
        self._classifier = Classifier(checkpoint, settings, threads=threads)
        self._report = report

    @property
    def device(self) -> str:
        """cuda or cpu."""
        return self._classifier.device

    @property
    def precision(self) -> str:
        """fp32, bf16 or int8."""
        return self._classifier.precision

    def classify(self, segments: pa.Table) -> pa.Table:
        """The PARTS rows of a SEGMENTS table."""
        block_started_ns = time.time_ns()
        counts = [len(index or ()) for index in segments["frame_index"].to_pylist()]
        before, after = (segments[f"context_{side}"].to_pylist() for side in ("before", "after"))
        clips = [self._pixels(blob) for blob in segments["pixels"]]
        started = time.perf_counter()
        scores = self._classifier.scores(clips)
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
        columns["precision"] = pa.array([self.precision] * segments.num_rows, pa.string())
        columns["device"] = pa.array([self.device] * segments.num_rows, pa.string())
        columns["classify_s"] = pa.array([seconds * n / max(1, len(scores)) for n in counts], pa.float64())
        columns["frames"] = pa.ListArray.from_arrays(offsets, frames, type=PARTS.field("frames").type)
        # A video in slices is counted with the last segment of its first slice.
        ended = segments.filter(pc.and_(pc.equal(segments["slice"], 0), pc.is_valid(segments["outcome"])))
        outcomes = dict(zip(ended["video_id"].to_pylist(), ended["outcome"].to_pylist(), strict=True))
        self._report.classified(len(scores), seconds, outcomes, self._classifier.notes)
        self._report.block_done(
            classify_span(
                block_started_ns,
                segments=segments.num_rows,
                frames=len(scores),
                outcomes=outcomes,
                device=self.device,
                precision=self.precision,
            )
        )
        return pa.table([columns[name] for name in PARTS.names], schema=PARTS)

    def _pixels(self, blob: pa.LargeBinaryScalar) -> np.ndarray:
        pixels = np.frombuffer(blob.as_buffer() or b"", np.uint8)
        return pixels.reshape(-1, self._input.height, self._input.width, 3)


def log_fault(log: logging.Logger, row: dict[str, Any], result: DecodeResult) -> None:
    """Logs why the video of ``row`` is not wholly scored, if there is a reason."""
    if result.reason is not None:
        log.info(result.reason, extra={"video_id": row["video_id"], "uri": row["uri"], "outcome": str(result.outcome)})


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

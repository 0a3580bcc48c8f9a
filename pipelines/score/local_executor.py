"""Executes the scoring stages in this process, with one decoding child beside it: no Ray to start, for a few clips."""

import logging
import sys
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from artifactscan.decode.reader import ReaderCounts
from artifactscan.decode.segment import Segment
from artifactscan.messages.logs import ROOT_LOGGER, log_json
from artifactscan.pipelines.score.request import ScoringJob
from artifactscan.scoring.progress import Progress, Tally
from artifactscan.scoring.stages import SEGMENTS_PER_BATCH, ClassifyStage, DecodeStage, log_fault
from artifactscan.scoring.stopwatch import Stopwatch
from artifactscan.storage.concurrent import ReadAhead
from artifactscan.storage.parquet import write_part
from artifactscan.telemetry.finished_span import FinishedSpan
from artifactscan.telemetry.tracing import SpanRecorder, span_recorder

WAITING_SEGMENTS = 4
"""Decoded segments that may wait for the classifier: 64 frames of 224 x 384 pixels each take 66 MB together."""


@dataclass(frozen=True)
class LocalExecutor:
    """Runs the stages in a loop; see Executor."""

    device: str
    notes: frozenset[str] = frozenset()
    """What was found out before the run, such as what NVDEC does to the scores."""

    def is_complete(self) -> bool:
        """Always."""
        return True

    def execute(self, job: ScoringJob, run: str, work: pa.Table, watch: Stopwatch) -> set[str]:
        """Scores ``work`` into the run's parts; returns the classifier's notes."""
        settings = job.settings
        total = pc.sum(pc.equal(work["slice"], 0)).as_py() or 0  # a video is counted with its first slice
        report = _Report(total, span_recorder(run=run))
        log = log_json(run, sys.stderr) if settings.log_format == "json" else None
        with (
            watch.stage("score"),
            Progress(report.tally.read, total=total, quiet=settings.quiet, log=log),
            closing(DecodeStage(job.decoding(), report)) as decode,
            ReadAhead(decode.decode(work), WAITING_SEGMENTS) as segments,
        ):
            report.tally.worker_started("decode")
            classify = ClassifyStage(job.checkpoint, job.classifying(self.device), report)  # while clips are decoded
            report.tally.worker_started("classify")
            for batch in segments.batches(SEGMENTS_PER_BATCH[classify.device]):
                write_part(job.store.parts(run), classify.classify(pa.concat_tables(batch)))
        notes = report.tally.snapshot.notes | self.notes
        return notes | {"decoded and classified in the job's own process, without Ray"}


class _Report:
    """Counts what the stages report, records the spans of their blocks, and logs the faults of videos."""

    def __init__(self, total: int, recorder: SpanRecorder | None):
        self.tally, self._recorder = Tally(total), recorder

    def decoded(self, row: dict[str, Any], segment: Segment, counts: ReaderCounts) -> None:
        self.tally.add_decoded(len(segment.frame_index))
        if segment.result is not None:
            log_fault(logging.getLogger(ROOT_LOGGER), row, segment.result)

    def classified(self, frames: int, seconds: float, outcomes: dict[str, str], notes: list[str]) -> None:
        self.tally.add(frames, outcomes, notes)

    def block_done(self, span: FinishedSpan) -> None:
        if self._recorder is not None:
            self._recorder.record(span)

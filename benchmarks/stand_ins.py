"""What waits in place of decoding and classifying, so that all else of the job runs at a size that no machine here has.

A stand-in sleeps for as long as the real work takes of a core or a GPU, and hands on pixels as small as they may be.
"""

import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import ray
from ray.actor import ActorProxy

from artifactscan.decode.reader import ReaderCounts
from artifactscan.decode.segment import Segment
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeResult, DecodeSettings, VideoFacts
from artifactscan.labels import LABELS
from artifactscan.messages.logs import actor_log
from artifactscan.model.checkpoint import Checkpoint
from artifactscan.model.classify_settings import ClassifySettings
from artifactscan.outcomes import Outcome
from artifactscan.pipelines.ray_cluster import progress, ray_data
from artifactscan.pipelines.ray_cluster.progress import Tally
from artifactscan.pipelines.score import graph
from artifactscan.scoring.frame_costs import REFERENCE
from artifactscan.scoring.stages import ClassifyReport, ClassifyStage, DecodeReport, DecodeStage

BYTES_PER_S = 155_000
"""Of video: the mean of the 15 Sora clips, 480p and 720p. By it an object's listed size says how long it is."""
FPS = 24.0
"""Frames a video shows a second; only the numbers of sampled frames come from it."""
SIDE = 32
"""Pixels of a frame, each way. Smaller ones would make blocks that Ray keeps in the driver rather than in its store."""
REAL_SIDE = 224
"""Pixels for which the graph's bounds on bytes were chosen."""

TOGETHER_POLL_S, TOGETHER_LIMIT_S = 0.5, 300.0


@dataclass(frozen=True, kw_only=True)
class Waits:
    """Seconds that one sampled frame takes: what the job itself reckons with while nothing was measured.

    That is 0.045 s of a core for 720p (docs/experiments.md), of which a clip of 10 s has 20, so 0.9 s; and an H100.
    """

    decode_s: float = REFERENCE["cuda"].decode_s
    classify_s: float = REFERENCE["cuda"].classify_s
    together: int = 0
    """Actors that begin at the same moment, when the last of so many is there: on one machine they start one after the
    other for minutes, where nodes of their own would take seconds."""


def sampled_frames(size_bytes: int, sample_fps: float, slice: Slice) -> range:
    """Which of its sampled frames a slice of a video has; all slices together have each once."""
    count = max(1, round(size_bytes / BYTES_PER_S * sample_fps))
    return range(count * slice.number // slice.of, count * (slice.number + 1) // slice.of)


class WaitingReader:
    """Stands in for artifactscan.decode.reader.VideoReader: every object is a sound video as long as its size says."""

    def __init__(self, settings: DecodeSettings, decode_s: float):
        self._settings = settings
        self._decode_s = decode_s

    def read(self, rows: Sequence[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Segment]]:
        for row in rows:
            for segment in self._decode(row["size_bytes"], Slice(row.get("slice") or 0, row.get("slices") or 1)):
                yield row, segment

    def take_counts(self) -> ReaderCounts:
        return ReaderCounts()

    def _decode(self, size_bytes: int, slice: Slice) -> Iterator[Segment]:
        fps, side = self._settings.sample_fps, self._settings.input.height
        wanted, attempt = sampled_frames(size_bytes, fps, slice), uuid.uuid4().hex
        starts = range(0, max(1, len(wanted)), self._settings.segment_frames)
        for index, start in enumerate(starts):
            frames = wanted[start : start + self._settings.segment_frames]
            time.sleep(self._decode_s * len(frames))
            last = index == len(starts) - 1
            yield Segment(
                attempt=attempt,
                index=index,
                frame_index=[round(frame * FPS / fps) for frame in frames],
                pts_s=[frame / fps for frame in frames],
                height=side,
                width=side,
                pixels=bytes(len(frames) * side * side * 3),
                result=self._verdict(size_bytes, len(wanted)) if last else None,
                slice=slice,
            )

    def _verdict(self, size_bytes: int, frames: int) -> DecodeResult:
        facts = VideoFacts(
            decoder="pyav",
            duration_s=size_bytes / BYTES_PER_S,
            frames_sampled=frames,
            frames_decoded=frames,
            packets_damaged=0,
            fetch_s=0.0,
            decode_s=self._decode_s * frames,
        )
        return DecodeResult(outcome=Outcome.SCORED, reason=None, facts=facts)


class WaitingClassifier:
    """Stands in for artifactscan.model.classifier.Classifier on a GPU."""

    device, precision = "cuda", "fp32"

    def __init__(self, classify_s: float):
        self._classify_s = classify_s
        self.notes: list[str] = []

    def scores(self, clips: Sequence[np.ndarray]) -> np.ndarray:
        frames = sum(map(len, clips))
        time.sleep(self._classify_s * frames)
        return np.zeros((frames, len(LABELS)), np.float32)


class WaitingDecodeStage(DecodeStage):
    """The stage itself, but for its reader."""

    def __init__(self, settings: DecodeSettings, report: DecodeReport, waits: Waits):
        self._reader, self._report = WaitingReader(settings, waits.decode_s), report


class WaitingClassifyStage(ClassifyStage):
    """The stage itself, but for its classifier."""

    def __init__(self, checkpoint: Checkpoint, report: ClassifyReport, waits: Waits):
        self._input, self._classifier = checkpoint.card.input, WaitingClassifier(waits.classify_s)
        self._report = report


class WaitingDecode(graph.Decode):
    """The graph's own actor, but for its stage."""

    waits: ClassVar = Waits()

    def __init__(self, settings: DecodeSettings, niceness: int, run: str, tally: ActorProxy[Tally], traced: bool):
        self.tally, self.traced, self.log = tally, traced, actor_log(run)
        self.stage = WaitingDecodeStage(settings, self, self.waits)
        ray_data.report_actor("decode", run, tally)
        _wait_for_others(tally, self.waits.together)


class WaitingClassify(graph.Classify):
    """The graph's own actor, but for its stage."""

    waits: ClassVar = Waits()

    def __init__(
        self,
        stored: ray.ObjectRef,
        settings: ClassifySettings,
        threads: int,
        run: str,
        tally: ActorProxy[Tally],
        traced: bool,
    ):
        actor_log(run)
        self.tally, self.traced = tally, traced
        self.stage = WaitingClassifyStage(ray.get(stored), self, self.waits)
        ray_data.report_actor("classify", run, tally)


def _wait_for_others(tally: ActorProxy[Tally], count: int) -> None:
    end = time.monotonic() + TOGETHER_LIMIT_S
    while len(progress.read_tally(tally).nodes) < count:
        if time.monotonic() > end:
            raise TimeoutError(f"fewer than {count} actors started in {TOGETHER_LIMIT_S:g} s")
        time.sleep(TOGETHER_POLL_S)


def put_in(waits: Waits) -> None:
    """Has every graph that this process builds wait rather than work.

    What bounds bytes of pixels shrinks as the pixels do, so that there are as many blocks as in earnest.
    """
    # Made here, the classes travel to the workers whole, with their waits.
    graph.Decode = type("Decode", (WaitingDecode,), {"waits": waits})
    graph.Classify = type("Classify", (WaitingClassify,), {"waits": waits})
    ray_data.BLOCK_BYTES = _shrunk(ray_data.BLOCK_BYTES)
    ray_data.WAITING_BYTES_PER_ACTOR = {
        kind: _shrunk(bound) for kind, bound in ray_data.WAITING_BYTES_PER_ACTOR.items()
    }


def _shrunk(bound_bytes: int) -> int:
    return bound_bytes * SIDE**2 // REAL_SIDE**2

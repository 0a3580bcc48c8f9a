"""Stand-ins hand on what the real ones would, and wait as long."""

import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeSettings
from artifactscan.model.backbone import initialise
from artifactscan.schemas import PARTS
from benchmarks.stand_ins import (
    BYTES_PER_S,
    SIDE,
    WaitingClassifyStage,
    WaitingDecodeStage,
    WaitingReader,
    Waits,
    sampled_frames,
)

SETTINGS = DecodeSettings(input=InputSpec(height=SIDE, width=SIDE), segment_frames=64)


def row(seconds: float, slice: int = 0, slices: int = 1) -> dict:
    return {"uri": "clip.mp4", "size_bytes": round(seconds * BYTES_PER_S), "slice": slice, "slices": slices}


def test_a_clip_of_ten_seconds_waits_for_what_was_measured() -> None:
    started = time.monotonic()
    [(_, segment)] = WaitingReader(SETTINGS, Waits().decode_s).read([row(10)])
    assert time.monotonic() - started == pytest.approx(0.9, abs=0.3)
    assert (len(segment.frame_index), len(segment.pixels)) == (20, 20 * SIDE * SIDE * 3)
    assert segment.result is not None and segment.result.facts.frames_decoded == 20


def test_slices_have_each_frame_of_the_video_once() -> None:
    size = 7200 * BYTES_PER_S
    slices = [sampled_frames(size, 2.0, Slice(number, 9)) for number in range(9)]
    assert [frame for slice in slices for frame in slice] == list(range(14_400))


def test_a_long_video_comes_in_segments_the_last_of_which_has_the_verdict() -> None:
    segments = [segment for _, segment in WaitingReader(SETTINGS, 0.0).read([row(75)])]
    assert [len(segment.frame_index) for segment in segments] == [64, 64, 22]
    assert [segment.result is not None for segment in segments] == [False, False, True]
    assert [segment.index for segment in segments] == [0, 1, 2]


def test_the_stages_of_the_graph_s_actors_go_from_work_to_parts() -> None:
    class Report:
        def __init__(self) -> None:
            self.decoded_frames, self.outcomes, self.spans = 0, {}, 0

        def decoded(self, row: dict, segment: Any, counts: Any) -> None:
            self.decoded_frames += len(segment.frame_index)

        def classified(self, frames: int, seconds: float, outcomes: dict[str, str], notes: list[str]) -> None:
            self.outcomes |= outcomes

        def block_done(self, span: Any) -> None:
            self.spans += 1

    report, waits = Report(), Waits(decode_s=0, classify_s=0)
    checkpoint = initialise("test_resnet.r160_in1k", height=SIDE, width=SIDE)
    decode = WaitingDecodeStage(SETTINGS, report, waits)
    work = pa.Table.from_pylist([{**row(75), "video_id": "0" * 32}, {**row(10), "video_id": "1" * 32}])
    segments = pa.concat_tables(decode.decode(work))
    parts = WaitingClassifyStage(checkpoint, report, waits).classify(segments)
    assert parts.schema == PARTS
    assert (segments.num_rows, pc.sum(pc.list_value_length(parts["frames"])).as_py()) == (4, 170)
    assert report.decoded_frames == 170
    assert report.outcomes == {"0" * 32: "scored", "1" * 32: "scored"}
    assert report.spans > 0

"""Stand-ins hand on what the real ones would, and wait as long."""

import time

import pytest

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeSettings
from benchmarks.stand_ins import BYTES_PER_S, SIDE, WaitingReader, Waits, sampled_frames

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

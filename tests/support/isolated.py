"""Helpers for tests of the decoding child: settings, protocol messages as faults, and checks of the results."""

import json
import time
from dataclasses import asdict, replace
from pathlib import Path

import media
import numpy as np

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeLimits, DecodeResult, DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

HEIGHT, WIDTH = 48, 80
LIMITS = DecodeLimits(video_timeout_s=5, child_memory_bytes=512 << 20)
SETTINGS = DecodeSettings(input=InputSpec(height=HEIGHT, width=WIDTH), segment_frames=3, limits=LIMITS)
PYAV = replace(SETTINGS, decoder="pyav")
DECORD = replace(SETTINGS, decoder="decord")

CLIP_SECONDS = 4
SAMPLED = [0, 12, 24, 36, 48, 60, 72, 84]
"""Two a second out of 24."""


def result_of(segments: list[Segment]) -> DecodeResult:
    """The result, after checking that only the last segment has one."""
    *others, last = [segment.result for segment in segments]
    assert last is not None
    assert others == [None] * len(others)
    return last


def kept(segments: list[Segment]) -> list[Segment]:
    """The segments of the attempt that counts."""
    mine = [segment for segment in segments if segment.attempt == segments[-1].attempt]
    assert [segment.index for segment in mine] == list(range(len(mine)))
    return mine


def shown(segments: list[Segment]) -> list[int]:
    """The numbers drawn on the frames of the attempt that counts."""
    pictures = b"".join(segment.pixels for segment in kept(segments))
    frames = np.frombuffer(pictures, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
    return [media.read_number(frame) for frame in frames]


def assert_scored(segments: list[Segment], decoder: str) -> None:
    result = result_of(segments)
    assert result.outcome is Outcome.SCORED, result
    assert result.facts.decoder == decoder
    assert [i for segment in kept(segments) for i in segment.frame_index] == SAMPLED
    assert shown(segments) == SAMPLED


def assert_failed(segments: list[Segment], outcome: Outcome) -> str:
    """The reason of a failure, after checking that its attempt has no frames."""
    result = result_of(segments)
    assert result.outcome is outcome, result
    assert result.reason
    assert kept(segments) == segments[-1:]
    assert (segments[-1].frame_index, segments[-1].pts_s, segments[-1].pixels) == ([], [], b"")
    return result.reason


def running(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, timeout_s: float = 5) -> bool:
    deadline = time.monotonic() + timeout_s
    while running(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not running(pid)


def say(message: str | bytes) -> str:
    """Python code that sends one line to the parent and then nothing more."""
    line = (message if isinstance(message, bytes) else message.encode()) + b"\n"
    return f"os.write(events_fd, {line!r}); time.sleep(60)"


def segment_message(event: str = "segment", **fields: object) -> str:
    return json.dumps({"event": event, "frame_index": [0], "pts_s": [0.0], **fields})


def done_message(**facts: object) -> str:
    counts = {"frames_sampled": 1, "frames_decoded": 1}
    return segment_message("done", facts=asdict(VideoFacts()) | counts | facts)

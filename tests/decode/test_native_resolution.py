"""Decoding at a video's own size: the size, and the same pixels as an ordinary decode."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from isolated import SETTINGS, result_of
from media import damage, write_clip

from artifactscan.decode.input_spec import InputSpec
from artifactscan.decode.native_resolution import NativeResolutionDecoder, fit_within
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeSettings


@pytest.fixture(scope="module")
def decoder() -> Iterator[NativeResolutionDecoder]:
    decoder = NativeResolutionDecoder(SETTINGS)
    yield decoder
    decoder.close()


def sizes(segments: list[Segment]) -> set[tuple[int, int]]:
    return {(segment.height, segment.width) for segment in segments if segment.frame_index}


def pixels(segments: list[Segment]) -> np.ndarray:
    return np.concatenate([np.frombuffer(segment.pixels, np.uint8) for segment in segments])


def test_each_video_is_decoded_at_its_own_size(decoder: NativeResolutionDecoder, tmp_path: Path) -> None:
    wide = write_clip(tmp_path / "wide.mp4", width=192, height=64, seconds=1)
    tall = write_clip(tmp_path / "turned.mp4", width=160, height=96, seconds=1, rotation=90)
    assert sizes(list(decoder.decode(str(wide)))) == {(64, 192)}
    assert sizes(list(decoder.decode(str(tall)))) == {(160, 96)}
    again = list(decoder.decode(str(wide)))
    assert [segment.frame_index for segment in again] == [[0, 12]]
    settings = DecodeSettings(input=InputSpec(height=64, width=192))
    with SandboxedDecoder(settings) as plain:
        assert (pixels(again) == pixels(list(plain.decode(str(wide))))).all()


def test_pixels_that_are_not_square_are_made_square(decoder: NativeResolutionDecoder, tmp_path: Path) -> None:
    clip = {"seconds": 1, "options": {"x264-params": "sar=64/45"}}
    assert sizes(list(decoder.decode(str(write_clip(tmp_path / "wide.mp4", **clip))))) == {(96, 228)}
    assert sizes(list(decoder.decode(str(write_clip(tmp_path / "tall.mp4", rotation=90, **clip))))) == {(228, 96)}


def test_a_file_that_is_no_video_is_undecodable(decoder: NativeResolutionDecoder, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    [segment] = decoder.decode(str(tmp_path / "text.mp4"))
    assert str(result_of([segment]).outcome) == "undecodable"


def test_a_damaged_first_frame_loses_only_that_frame(decoder: NativeResolutionDecoder, tmp_path: Path) -> None:
    options = {"g": "12", "bf": "0", "sc_threshold": "0"}
    clip = write_clip(tmp_path / "clip.mp4", seconds=4, options=options, muxer={"movflags": "faststart"})
    data = clip.read_bytes()
    damage(clip, at=(data.index(b"mdat") + 700) / len(data), size=1000)
    segments = list(decoder.decode(str(clip)))
    result = result_of(segments)
    assert str(result.outcome) == "partial"
    assert 0 not in [index for segment in segments for index in segment.frame_index]
    assert sizes(segments) == {(96, 160)}


def test_sides_over_the_limit_shrink_together() -> None:
    assert fit_within(720, 1280) == (720, 1280)
    assert fit_within(4320, 7680) == (2304, 4096)
    assert fit_within(1, 100_000) == (1, 4096)
    assert fit_within(720, 1280, 640) == (360, 640)

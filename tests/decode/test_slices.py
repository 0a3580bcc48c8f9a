"""Slices of long videos: together they give the frames of the whole video."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from decoded import H264, decode
from isolated import SETTINGS as CHILD_SETTINGS
from isolated import assert_failed, assert_scored, result_of
from media import damage, write_clip

from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.slices import WHOLE, NotSliceableError, Slice
from artifactscan.outcomes import Outcome


@pytest.fixture(scope="module")
def long_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten groups of a second each."""
    return write_clip(tmp_path_factory.mktemp("long") / "clip.mp4", seconds=10, options=H264)


@pytest.mark.parametrize("of", [2, 3, 7, 64])
def test_all_slices_together_give_the_frames_of_the_whole_video(long_one: Path, of: int) -> None:
    whole, facts = decode(long_one)
    frames, sampled, decoded = [], 0, 0
    for number in range(of):
        part, part_facts = decode(long_one, slice=Slice(number, of))
        frames += part
        sampled += part_facts.frames_sampled or 0
        decoded += part_facts.frames_decoded or 0
        assert (part_facts.frames_in_video, part_facts.duration_s) == (facts.frames_in_video, facts.duration_s)
        if of <= 7:
            assert len(part) in range(20 // of - 2, 20 // of + 3), "about as many frames in each"
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in whole]
    assert all(np.array_equal(one[2], other[2]) for one, other in zip(frames, whole, strict=True))
    assert (sampled, decoded) == (facts.frames_sampled, facts.frames_decoded)


def test_slices_lose_the_same_frames_to_damage_as_the_whole_video(tmp_path: Path) -> None:
    path = damage(write_clip(tmp_path / "clip.mp4", seconds=10, options=H264), at=0.5, size=3_000)
    whole, facts = decode(path)
    parts = [decode(path, slice=Slice(number, 4)) for number in range(4)]
    assert [frame[0] for part, _ in parts for frame in part] == [frame[0] for frame in whole]
    assert sum(part.frames_sampled or 0 for _, part in parts) == facts.frames_sampled == 20
    assert facts.frames_decoded is not None and facts.frames_decoded < 20


def test_a_video_of_one_group_is_all_in_the_first_slice(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=4, options={**H264, "g": "1000"})
    assert [len(decode(path, slice=Slice(number, 3))[0]) for number in range(3)] == [8, 0, 0]


def test_a_codec_that_is_decoded_whole_is_not_sliced(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", codec="mpeg2video", seconds=2)
    for number in range(2):
        with pytest.raises(NotSliceableError):
            decode(path, slice=Slice(number, 2))


@pytest.fixture(scope="module")
def child() -> Iterator[SandboxedDecoder]:
    with SandboxedDecoder(CHILD_SETTINGS) as process:
        yield process


def test_slices_from_the_decoding_process(child: SandboxedDecoder, long_one: Path) -> None:
    indices = []
    for number in range(3):
        segments = list(child.decode(str(long_one), Slice(number, 3)))
        assert result_of(segments).outcome is Outcome.SCORED
        assert {segment.slice for segment in segments} == {Slice(number, 3)}
        indices += [index for segment in segments for index in segment.frame_index]
    assert indices == list(range(0, 240, 12))


def test_a_video_that_cannot_be_sliced_is_decoded_whole_by_the_first_slice(
    child: SandboxedDecoder, tmp_path: Path
) -> None:
    path = write_clip(tmp_path / "clip.ts", codec="mpeg2video", seconds=4)
    first = list(child.decode(str(path), Slice(0, 2)))
    assert_scored(first, "pyav")
    assert {segment.slice for segment in first} == {WHOLE}
    assert list(child.decode(str(path), Slice(1, 2))) == []


def test_decord_alone_does_not_slice(long_one: Path) -> None:
    with SandboxedDecoder(replace(CHILD_SETTINGS, decoder="decord")) as process:
        assert result_of(list(process.decode(str(long_one), Slice(0, 2)))).facts.frames_decoded == 20
        assert list(process.decode(str(long_one), Slice(1, 2))) == []


def test_a_failed_slice_has_its_own_result(child: SandboxedDecoder, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    for number in range(2):
        segments = list(child.decode(str(broken), Slice(number, 2)))
        assert_failed(segments, Outcome.UNDECODABLE)
        assert segments[0].slice == Slice(number, 2)


@pytest.mark.parametrize("of", [1, 3])
@pytest.mark.parametrize("segment_frames", [2, 64])
def test_every_segment_brings_the_sampled_frames_around_it(long_one: Path, of: int, segment_frames: int) -> None:
    whole, _ = decode(long_one)
    settings = replace(CHILD_SETTINGS, context_frames=2, segment_frames=segment_frames)
    size = settings.input.height * settings.input.width * 3
    with SandboxedDecoder(CHILD_SETTINGS) as plain:
        pixels = {
            index: part.pixels[n * size : (n + 1) * size]
            for part in plain.decode(str(long_one))
            for n, index in enumerate(part.frame_index)
        }
    order = list(pixels)
    assert order == [frame[0] for frame in whole]
    seen = []
    with SandboxedDecoder(settings) as process:
        for number in range(of):
            segments = list(process.decode(str(long_one), Slice(number, of) if of > 1 else WHOLE))
            assert result_of(segments).outcome is Outcome.SCORED
            for segment in (one for one in segments if one.frame_index):
                first, last = (order.index(segment.frame_index[end]) for end in (0, -1))
                around = order[max(0, first - 2) : last + 3]
                assert segment.pixels == b"".join(pixels[index] for index in around)
                assert (segment.context_before, segment.context_after) == (min(2, first), min(2, len(order) - 1 - last))
                seen += segment.frame_index
    assert seen == order


def test_a_slice_that_lacks_a_frame_around_it_leaves_the_video_to_be_decoded_whole(tmp_path: Path) -> None:
    """In the whole video another frame is its neighbour."""
    path = damage(write_clip(tmp_path / "clip.mp4", seconds=10, options=H264), at=0.5, size=3_000)
    whole, _ = decode(path)
    lost = set(range(0, 240, 12)) - {frame[0] for frame in whole}
    assert lost
    with SandboxedDecoder(replace(CHILD_SETTINGS, context_frames=1)) as process:
        for number in range(10):  # slice n has the frames 24 n and 24 n + 12
            outcome = result_of(list(process.decode(str(path), Slice(number, 10)))).outcome
            around = {24 * number - 12, 24 * number + 24}
            assert (outcome is Outcome.UNDECODABLE) == bool(around & lost), number

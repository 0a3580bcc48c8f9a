"""Odd media of real recorders, phones and muxers: the right frames, none called lost that is there."""

import struct
from pathlib import Path

import numpy as np
import pytest
from decoded import SETTINGS, Decoder, assert_identical, decode, failure
from media import read_number, truncate, write_clip
from odd_media import (
    B_FRAMES,
    drop_ts_packets,
    edit_list,
    empty_sample,
    flv_with_duration,
    join,
    joined,
    long_sei,
    motion_photo,
    remux,
    two_descriptions,
    write_second_half,
)

from artifactscan.decode import with_pyav
from artifactscan.decode.recordings import find_recordings
from artifactscan.decode.sampling import EVERY_FRAME_FPS
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav
from artifactscan.outcomes import Outcome

TWO_SECONDS = [0, 12, 24, 36]
FOUR_SECONDS = [0, 12, 24, 36, 48, 60, 72, 84]
EVERY_FRAME = DecodeSettings(input=SETTINGS.input, sample_fps=EVERY_FRAME_FPS)


def numbers(path: Path, settings: DecodeSettings = SETTINGS) -> list[int]:
    """The numbers on the sampled frames; fails where any is lost, or where a full decode gives others."""
    frames, facts = assert_identical(path, settings)
    assert (facts.frames_sampled, facts.packets_damaged) == (len(frames), 0)
    return [read_number(pixels) for _, _, pixels in frames]


# Messages that the decoder cannot read


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("clip.mp4", {}),
        ("b-frames.mp4", {"options": B_FRAMES}),
        ("clip.mkv", {}),
        ("clip.ts", {"annex_b": True}),
        ("hevc.mp4", {"codec": "libx265"}),
        ("hevc.ts", {"codec": "libx265", "annex_b": True}),
    ],
)
def test_messages_longer_than_their_unit_cost_no_frame(tmp_path: Path, name: str, clip: dict) -> None:
    path = long_sei(tmp_path / name, **clip)
    assert numbers(path) == TWO_SECONDS
    assert numbers(path, EVERY_FRAME) == list(range(48))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_recovery_point_beside_a_message_that_cannot_be_read_starts_a_video(tmp_path: Path, suffix: str) -> None:
    """Without it FFmpeg waits for an IDR picture."""
    options = {"g": "24", "bf": "2", "x264-params": "open-gop=1:b-adapt=0:scenecut=0"}
    whole = long_sei(tmp_path / f"whole.{suffix}", every=1, seconds=3, options=options)
    # Frame 24 is decoded as number 22, and the two after it refer to what is before it.
    path = remux(whole, tmp_path / f"clip.{suffix}", lambda number, data: data if number == 22 or number > 24 else None)
    assert numbers(path) == [24, 36, 48, 60]


def test_comments_in_a_jpeg_that_cannot_be_read_cost_no_frame(tmp_path: Path) -> None:
    broken = b"\xff\xe1\x00\x02\xff\xe2\x00\x04\x00\x00"
    source = write_clip(tmp_path / "plain.avi", codec="mjpeg", pix_fmt="yuvj420p")
    path = remux(source, tmp_path / "clip.avi", lambda _, data: data[:2] + broken + data[2:])
    assert numbers(path) == TWO_SECONDS


def test_damage_beside_a_broken_message_is_still_lost(tmp_path: Path) -> None:
    def noise(number: int, data: bytes) -> bytes:
        return data if number != 13 else data[:40] + bytes(reversed(data[40:]))

    path = remux(long_sei(tmp_path / "sei.mp4", options={"g": "12", "bf": "0"}), tmp_path / "clip.mp4", noise)
    frames, facts = decode(path, EVERY_FRAME)
    lost = set(range(48)) - {index for index, _, _ in frames}
    assert lost == set(range(13, 24)) or lost == set(range(12, 24))
    assert [read_number(pixels) for _, _, pixels in frames] == [index for index, _, _ in frames]
    assert facts.packets_damaged


@pytest.mark.parametrize("cut", [1, 4])
def test_parameter_sets_with_more_than_they_should_hold_cost_no_frame(tmp_path: Path, cut: int) -> None:
    """Their last fields, on display, run over the end."""
    path = write_clip(tmp_path / "clip.mp4")
    data = bytearray(path.read_bytes())
    at = data.index(b"avcC") + 10
    end = at + 2 + int.from_bytes(data[at : at + 2], "big")
    data[end - cut : end] = b"\xff" * cut
    path.write_bytes(data)
    assert numbers(path) == TWO_SECONDS


# Samples without a frame


@pytest.mark.parametrize("number", [36, 1, 47])
def test_an_empty_sample_is_no_lost_frame(tmp_path: Path, number: int) -> None:
    path = empty_sample(tmp_path / "clip.mp4", number)
    assert numbers(path) == [35 if frame == number else frame for frame in TWO_SECONDS]
    _, facts = decode(path)
    assert (facts.frames_in_video, facts.duration_s) == (47, 2.0)


def test_samples_that_a_truncated_file_lacks_are_counted_beside_empty_ones(tmp_path: Path) -> None:
    path = empty_sample(tmp_path / "clip.mp4")
    fast = remux(path, tmp_path / "fast.mp4", movflags="faststart")
    _, facts = decode(truncate(fast, keep=0.6))
    assert facts.frames_in_video == 47
    assert facts.frames_decoded is not None and facts.frames_decoded < 4


# Clocks that start anew


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("b-frames.ts", {"options": B_FRAMES}),
        ("mpeg2.ts", {"codec": "mpeg2video", "options": B_FRAMES}),
        ("mpeg2.mpg", {"codec": "mpeg2video", "options": B_FRAMES}),
        ("b-frames.mkv", {"options": B_FRAMES}),
        ("mpeg4.mkv", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("vp8.webm", {"codec": "libvpx"}),
        ("vp9.webm", {"codec": "libvpx-vp9"}),
        ("av1.mkv", {"codec": "libsvtav1"}),
        ("b-frames.flv", {"options": B_FRAMES}),
        ("mpeg4.avi", {"codec": "mpeg4"}),
    ],
)
def test_joined_recordings_follow_each_other(tmp_path: Path, name: str, clip: dict) -> None:
    path = joined(tmp_path / name, **clip)
    assert numbers(path) == FOUR_SECONDS
    frames, facts = decode(path)
    assert [seconds for _, seconds, _ in frames] == pytest.approx([n / 2 for n in range(8)], abs=0.01)
    assert facts.duration_s == pytest.approx(4.0, abs=0.01)


def test_hevc_loses_the_last_frames_before_a_join_in_mpeg_ts(tmp_path: Path) -> None:
    """FFmpeg marks them as at a loss of packets, and its HEVC decoder does not notice a frame that lacks its end."""
    path = joined(tmp_path / "hevc.ts", codec="libx265")
    frames, facts = decode(path)
    assert [read_number(pixels) for _, _, pixels in frames] == FOUR_SECONDS
    assert [seconds for _, seconds, _ in frames] == pytest.approx([n / 2 for n in range(8)], abs=0.01)
    assert facts.duration_s == pytest.approx(4.0, abs=0.01)
    frames, facts = decode(path, EVERY_FRAME)
    assert [read_number(pixels) for _, _, pixels in frames] == [*range(46), *range(48, 96)]
    assert (facts.frames_in_video, facts.packets_damaged) == (96, 1)


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx265", {"x265-params": "keyint=24:bframes=0:scenecut=0:qp=12"}),
        ("libx264", {"g": "24", "bf": "0", "qp": "8"}),
        ("mpeg2video", {"g": "24", "qmin": "1", "qmax": "1"}),
    ],
)
def test_packets_lost_before_a_keyframe_are_no_pause(tmp_path: Path, codec: str, options: dict, keep: int) -> None:
    """The end of a frame and all of the next one."""
    whole = write_clip(tmp_path / "whole.ts", codec=codec, options=options, width=640, height=384)
    expected = {index: pixels for index, _, pixels in decode(whole, EVERY_FRAME)[0]}
    path = drop_ts_packets(whole, tmp_path / "clip.ts", 22, keep=keep, until=24)
    frames, facts = decode(path, EVERY_FRAME)
    shown = [read_number(pixels) for _, _, pixels in frames]
    assert all(np.array_equal(pixels, expected[number]) for number, (_, _, pixels) in zip(shown, frames, strict=True))
    assert shown[:20] == list(range(20)) and not {22, 23} & set(shown)
    assert facts.packets_damaged


@pytest.mark.parametrize("suffix", ["ts", "mkv", "flv"])
def test_joined_recordings_have_parameter_sets_of_their_own(tmp_path: Path, suffix: str) -> None:
    first = write_clip(tmp_path / f"first.{suffix}", options=B_FRAMES)
    options = {"g": "24", "bf": "0", "profile": "baseline", "x264-params": "cabac=0"}
    second = write_second_half(tmp_path / f"second.{suffix}", options=options, width=320, height=192)
    path = join(tmp_path / f"joined.{suffix}", first, second)
    assert numbers(path) == FOUR_SECONDS
    assert numbers(path, EVERY_FRAME) == list(range(96))


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_recording_after_one_with_other_parameter_sets_has_its_own(tmp_path: Path, suffix: str, codec: str) -> None:
    """The third one has those of the first again."""
    if (suffix, codec) == ("flv", "libx265"):
        pytest.skip("FLV has no HEVC before its extension")
    first = write_clip(tmp_path / f"first.{suffix}", codec=codec)
    options = {"bf": "0", "profile": "baseline", "x264-params": "cabac=0"} if codec == "libx264" else {}
    second = write_second_half(tmp_path / f"second.{suffix}", codec=codec, options=options, width=320, height=192)
    path = join(tmp_path / f"joined.{suffix}", first, second, first)
    assert numbers(path, EVERY_FRAME) == [*range(96), *range(48)]


@pytest.mark.parametrize("suffix", ["mkv", "flv"])
def test_a_joined_recording_that_begins_between_keyframes_has_its_own_parameter_sets(
    tmp_path: Path, suffix: str
) -> None:
    first = write_clip(tmp_path / f"first.{suffix}", options={"g": "24", "bf": "0"})
    options = {"g": "24", "bf": "0", "profile": "baseline", "x264-params": "cabac=0"}
    whole = write_second_half(tmp_path / f"whole.{suffix}", options=options, width=320, height=192)
    second = remux(whole, tmp_path / f"second.{suffix}", lambda number, data: data if number >= 6 else None)
    frames, facts = decode(join(tmp_path / f"clip.{suffix}", first, second), EVERY_FRAME)
    assert [read_number(pixels) for _, _, pixels in frames] == [*range(48), *range(72, 96)]
    assert facts.packets_damaged


def test_a_joined_recording_of_another_codec_is_counted_as_lost(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.mkv")
    path = join(tmp_path / "joined.mkv", first, write_second_half(tmp_path / "second.mkv", codec="libx265"))
    frames, facts = decode(path)
    assert [read_number(pixels) for _, _, pixels in frames] == TWO_SECONDS
    assert (facts.frames_sampled, facts.frames_decoded, facts.frames_in_video) == (8, 4, 96)


def test_a_recording_of_unknown_length_may_be_followed_by_another(tmp_path: Path) -> None:
    """As live recorders write them: the size of the segment is not known."""
    path = joined(tmp_path / "clip.mkv", muxer={"live": "1"})
    assert numbers(path) == FOUR_SECONDS


@pytest.mark.parametrize("decoder", [decode_pyav, full_decode_pyav])
@pytest.mark.parametrize(("name", "codec"), [("clip.mkv", "libx264"), ("clip.webm", "libvpx-vp9")])
def test_what_a_truncated_last_recording_lacks_is_counted_as_lost(
    tmp_path: Path, name: str, codec: str, decoder: Decoder
) -> None:
    path = joined(tmp_path / name, codec=codec)
    data, end_of_first = path.read_bytes(), find_recordings(str(path))[1][0]
    path.write_bytes(data[: (end_of_first + len(data)) // 2])
    frames, facts = decode(path, EVERY_FRAME, decoder)
    shown = [read_number(pixels) for _, _, pixels in frames]
    assert shown == list(range(len(shown))) and 48 < len(shown) < 95
    assert facts.frames_sampled == pytest.approx(96, abs=1)
    assert len(shown) + (facts.packets_damaged or 0) == facts.frames_sampled
    assert facts.duration_s == pytest.approx(4.0, abs=0.05)
    path.write_bytes(data[: end_of_first + 150])  # within the header
    frames, facts = decode(path, SETTINGS, decoder)
    assert [read_number(pixels) for _, _, pixels in frames] == TWO_SECONDS
    assert facts.packets_damaged == 1


@pytest.mark.parametrize(("seconds", "gap_s"), [(25_000, 0), (70, 0), (30, 28), (5, 3)])
def test_a_clock_that_jumps_is_another_recording_and_a_short_pause_is_not(
    tmp_path: Path, seconds: float, gap_s: float
) -> None:
    """In MPEG-TS; a jump of more than a minute is one of the clock."""
    options = {"bf": "0", "x264-params": "bframes=0"}
    first = write_clip(tmp_path / "first.ts", options=options)
    offset = {"output_ts_offset": str(seconds)}
    second = write_second_half(tmp_path / "second.ts", options=options, muxer=offset)
    frames, facts = assert_identical(join(tmp_path / "clip.ts", first, second))
    held = [47] if gap_s else []
    assert [read_number(pixels) for _, _, pixels in frames] == [*FOUR_SECONDS[:4], *held, *FOUR_SECONDS[4:]]
    assert (facts.duration_s, facts.packets_damaged) == (pytest.approx(4.0 + gap_s, abs=0.01), 0)
    assert frames[-4][1] == pytest.approx(2.0 + gap_s, abs=0.01)


def test_pictures_that_are_shown_long_in_mpeg_ts_keep_their_times(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", pts_s=[20.0 * n for n in range(6)])
    frames, facts = assert_identical(path)
    assert [(read_number(pixels), seconds) for _, seconds, pixels in frames] == [(n, 20.0 * n) for n in range(6)]
    assert facts.packets_damaged == 0


def test_a_pause_in_a_container_with_a_steady_clock_is_kept(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", pts_s=[n / 24 + 100 * (n > 23) for n in range(48)])
    frames, facts = assert_identical(path)
    assert [read_number(pixels) for _, _, pixels in frames] == [0, 12, 23, 24, 36]
    assert facts.duration_s == pytest.approx(102.0, abs=0.1)


def test_a_clock_of_33_bits_may_wrap(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.ts", options=B_FRAMES, muxer={"output_ts_offset": str(2**33 / 90_000 - 1)})
    assert numbers(path) == TWO_SECONDS


@pytest.mark.parametrize("seconds", [0, 25_000])
def test_frames_after_a_join_that_refer_to_what_is_not_there_are_lost(tmp_path: Path, seconds: int) -> None:
    """The second recording begins between keyframes, at ``seconds`` by its clock."""
    first = write_clip(tmp_path / "first.ts")
    whole = write_second_half(tmp_path / "whole.ts", options={"g": "24", "bf": "0"})
    second = tmp_path / "second.ts"
    remux(whole, second, lambda number, data: data if number >= 6 else None, output_ts_offset=str(seconds))
    frames, facts = decode(join(tmp_path / "clip.ts", first, second), EVERY_FRAME)
    shown = [read_number(pixels) for _, _, pixels in frames]
    assert shown == [*range(48), *range(72, 96)]
    assert facts.packets_damaged


def test_a_recording_without_a_keyframe_between_two_others_is_lost(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.ts")
    whole = write_second_half(tmp_path / "whole.ts", options={"g": "24", "bf": "0"})
    part = remux(whole, tmp_path / "part.ts", lambda number, data: data if 6 <= number < 8 else None)
    frames, facts = decode(join(tmp_path / "clip.ts", first, part, whole), EVERY_FRAME)
    assert [read_number(pixels) for _, _, pixels in frames] == list(range(96))
    assert facts.packets_damaged


@pytest.mark.parametrize(
    ("edits", "frames"),
    [
        (((1, 0), (1, 0)), [0, 12, 0, 12]),
        (((1, 1), (1, 0)), [24, 36, 0, 12]),
        (((3, -1), (2, 0)), TWO_SECONDS),
        (((1, 0.5),), [12, 24]),
    ],
    ids=["a part twice", "the second half first", "a pause first", "the middle"],
)
def test_edit_lists(tmp_path: Path, edits: tuple, frames: list[int]) -> None:
    path = edit_list(tmp_path / "clip.mp4", *edits)
    assert numbers(path) == frames
    assert [seconds for _, seconds, _ in decode(path)[0]] == pytest.approx([n / 2 for n in range(len(frames))])


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_what_an_edit_list_cuts_off_is_not_shown_where_messages_are_left_out(tmp_path: Path, codec: str) -> None:
    options = {"g": "24", "bf": "0", "x265-params": "keyint=24:bframes=0"}
    source = long_sei(tmp_path / "source.mp4", codec, every=1, options=options)
    path = edit_list(tmp_path / "clip.mp4", (1, 0.5), source=source)
    frames, facts = decode(path, EVERY_FRAME, full_decode_pyav)
    assert [read_number(pixels) for _, _, pixels in frames] == list(range(12, 36))
    assert (facts.frames_in_video, facts.packets_damaged) == (24, 0)
    assert numbers(path) == [12, 24]


# What a header claims


@pytest.mark.parametrize(
    ("name", "clip"),
    [("clip.mkv", {}), ("clip.webm", {"codec": "libvpx-vp9"}), ("clip.flv", {}), ("clip.ts", {"options": B_FRAMES})],
)
def test_a_clock_that_starts_late_does_not_make_a_video_long(tmp_path: Path, name: str, clip: dict) -> None:
    path = write_clip(tmp_path / name, pts_s=[20_000 + n / 24 for n in range(48)], **clip)
    assert numbers(path) == TWO_SECONDS
    assert decode(path)[1].duration_s == pytest.approx(2.0, abs=0.01)


@pytest.mark.parametrize("seconds", [86_400.0, 1e12, -5.0])
def test_a_wrong_duration_in_the_header_is_no_reason(tmp_path: Path, seconds: float) -> None:
    assert numbers(flv_with_duration(tmp_path / "clip.flv", seconds)) == TWO_SECONDS


def test_what_a_truncated_file_claims_to_miss_does_not_make_it_too_large(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv")
    data = path.read_bytes().replace(b"00:00:02.0", b"24:00:02.0")
    path.write_bytes(data[: len(data) - 200])
    frames, facts = decode(path)
    assert [read_number(pixels) for _, _, pixels in frames][:4] == TWO_SECONDS
    assert facts.frames_sampled is not None and facts.frames_sampled > len(frames)


def test_a_last_frame_that_is_held_long_does_not_make_a_video_too_large(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", options={"bf": "0"})
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 4 + 4
    count, samples, ticks = struct.unpack_from(">III", data, at)
    assert (count, samples) == (1, 48)
    duration = data.index(b"mdhd") + 4 + 12
    scale = struct.unpack_from(">I", data, duration)[0]
    assert ticks * 24 == scale
    frames, _ = decode(path, DecodeSettings(input=SETTINGS.input, limits=DecodeLimits(max_video_s=1.99)))
    assert len(frames) == 4


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts", "long.gif", "long.webm", "long.mov"])
def test_what_is_there_is_held_against_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    clips: dict[str, dict] = {
        "gif": {"codec": "gif", "pix_fmt": "rgb8"},
        "webm": {"codec": "libvpx-vp9"},
        "mov": {"codec": "prores_ks", "pix_fmt": "yuv422p10le"},
    }
    clip = clips.get(name.split(".")[1], {})
    path = write_clip(tmp_path / name, pts_s=[5.0 * n for n in range(5)], width=64, height=64, **clip)
    monkeypatch.setattr(with_pyav, "decode_fully", lambda *_, **__: pytest.fail("decoded before it was looked at"))
    error = failure(path, DecodeLimits(max_video_s=19))
    assert (error.outcome, error.reason) == (Outcome.TOO_LARGE, "a video of 20 s is over the limit of 19 s")
    assert error.facts.duration_s == pytest.approx(20.0, abs=0.1)
    monkeypatch.undo()
    assert decode(path, DecodeSettings(input=SETTINGS.input, limits=DecodeLimits(max_video_s=20)))[0]


# Several parameter sets, several tracks


@pytest.mark.parametrize("suffix", ["mp4", "mov", "flv"])
@pytest.mark.parametrize("change", [12, 24, 36])
def test_parameter_sets_may_change(tmp_path: Path, suffix: str, change: int) -> None:
    path = two_descriptions(tmp_path / f"clip.{suffix}", change=change)
    assert numbers(path) == TWO_SECONDS
    assert numbers(path, EVERY_FRAME)[:46] == list(range(46))


def test_damage_beside_changing_parameter_sets_costs_one_group(tmp_path: Path) -> None:
    def noise(number: int, data: bytes) -> bytes:
        return data if number != 40 else data[:20] + bytes(reversed(data[20:]))

    source = two_descriptions(tmp_path / "source.mp4", change=24)
    frames, facts = decode(remux(source, tmp_path / "clip.mp4", noise), EVERY_FRAME)
    shown = [read_number(pixels) for _, _, pixels in frames]
    assert shown == [index for index, _, _ in frames]
    assert set(range(36)) <= set(shown)
    assert facts.packets_damaged


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mov", "clip.mkv"])
@pytest.mark.parametrize("default", [True, False])
def test_a_still_beside_a_clip_is_not_the_video(tmp_path: Path, name: str, default: bool) -> None:
    if name == "clip.mkv" and not default:
        pytest.skip("Matroska does not say that a track is a still: the larger default track is taken")
    path = motion_photo(tmp_path / name, default=default)
    assert numbers(path) == TWO_SECONDS
    assert decode(path)[1].width == 160


# Times that a muxer made up


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("h264.avi", {"options": B_FRAMES}),
        ("h264.mkv", {"options": B_FRAMES}),
        ("pyramid.mp4", {"options": {"g": "24", "bf": "3", "x264-params": "b-pyramid=normal"}}),
        ("open.mp4", {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3"}}),
        ("mpeg4.mkv", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("mpeg4.avi", {"codec": "mpeg4", "options": {"bf": "2"}}),
        ("hevc.mkv", {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}}),
    ],
)
def test_times_in_decoding_order_are_given_to_frames_in_the_order_shown(tmp_path: Path, name: str, clip: dict) -> None:
    path = tmp_path / name
    if name == "h264.avi":
        write_clip(path, **clip)
    else:
        remux(write_clip(tmp_path / "source.mp4", **clip), path, made_up_times=True)
    assert numbers(path) == TWO_SECONDS
    frames, facts = decode(path)
    assert [seconds for _, seconds, _ in frames] == pytest.approx([0, 0.5, 1.0, 1.5], abs=0.01)
    assert facts.frames_in_video == 48


def test_damage_where_times_are_made_up_costs_one_group(tmp_path: Path) -> None:
    def noise(number: int, data: bytes) -> bytes:
        return data if number != 27 else data[:20] + bytes(reversed(data[20:]))

    source = write_clip(tmp_path / "source.mp4", seconds=4, options=B_FRAMES)
    path = remux(source, tmp_path / "clip.mkv", noise, made_up_times=True)
    frames, facts = decode(path, EVERY_FRAME)
    shown = [read_number(pixels) for _, _, pixels in frames]
    assert shown == [index for index, _, _ in frames]
    assert set(range(24)) | set(range(48, 96)) <= set(shown)
    assert facts.packets_damaged


def test_mpeg_2_in_avi_has_times_of_its_own(tmp_path: Path) -> None:
    assert numbers(write_clip(tmp_path / "clip.avi", codec="mpeg2video", options=B_FRAMES)) == TWO_SECONDS

"""Selective decoding against full decoding, and against the number drawn on every frame of a test clip."""

import math
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from decoded import H264, SETTINGS, assert_identical, decode, failure
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media import damage, read_number, truncate, write_clip
from paths import SHARED

from artifactscan.decode import selective, with_pyav
from artifactscan.decode.video import DecodeSettings
from artifactscan.decode.with_pyav import decode_pyav, full_decode_pyav
from artifactscan.outcomes import Outcome

REAL_CLIPS = SHARED / "data"


def decoded_frames(path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many packets the group decoder is given for ``path``; fails if it falls back to a full decode."""
    numbers: list[int] = []
    read = selective.PlannedPackets.read

    def counting(self, wanted):
        numbers.extend(wanted)
        return read(self, wanted)

    monkeypatch.setattr(selective.PlannedPackets, "read", counting)
    monkeypatch.setattr(with_pyav, "decode_fully", lambda *_: pytest.fail("fell back to a full decode"))
    decode(path)
    return len(numbers)


CLIPS: dict[str, dict] = {
    "b-pyramid.mp4": {"options": H264},
    "b-pyramid.mkv": {"options": H264},
    "b-pyramid.ts": {"options": H264},
    "b-pyramid.flv": {"options": H264},
    "one-group.mp4": {"options": {"bf": "3"}},
    "no-b-frames.mp4": {"options": {"bf": "0", "g": "12"}},
    "intra.mp4": {"options": {"g": "1"}},
    "open-groups.mp4": {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}},
    "open-groups.mkv": {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}},
    "intra-refresh.mp4": {"options": {"x264-params": "intra-refresh=1:keyint=12"}},
    "interlaced.mp4": {"options": {"g": "24", "x264-params": "interlaced=1:bframes=2"}},
    "interlaced.ts": {"options": {"g": "24", "x264-params": "interlaced=1:bframes=2"}},
    "lossless-444.mp4": {"pix_fmt": "yuv444p", "options": {"qp": "0", "g": "24"}},
    "late-start.mp4": {"pts_s": [0.7 + n / 24 for n in range(72)], "options": H264},
    "edit-list.mp4": {"pts_s": [-0.6 + n / 24 for n in range(72)], "options": H264},
    "negative-start.mkv": {
        "pts_s": [-0.5 + n / 24 for n in range(72)],
        "options": H264,
        "muxer": {"avoid_negative_ts": "disabled"},
    },
    "hevc.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}},
    "hevc-closed.mp4": {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4:open-gop=0"}},
    "hevc-layers.mp4": {
        "codec": "libx265",
        "options": {"x265-params": "keyint=24:temporal-layers=3:open-gop=0"},
    },
    "hevc-10-bit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "hevc.ts": {"codec": "libx265", "options": {"x265-params": "keyint=24"}},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"g": "12"}},
    "mpeg4-b.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mpeg4-b.avi": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "mjpeg.mov": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1"},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2"}},
    "palette.gif": {"codec": "gif", "pix_fmt": "rgb8", "fps": 20},
    "with-sound.mp4": {"audio": True, "options": H264},
    "name with 'quotes' #1?%2F.mp4": {"options": H264},
}


@pytest.mark.skipif(os.geteuid() != 0, reason="SVT-AV1 leaves the priorities of others than root alone")
def test_writing_a_clip_keeps_the_scheduling_of_this_process(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    write_clip(tmp_path / "av1.mp4", **CLIPS["av1.mp4"])
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize("name", CLIPS)
def test_selective_frames_are_those_of_a_full_decode(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, **{"seconds": 3, **CLIPS[name]})
    frames, facts = assert_identical(path)
    fps = CLIPS[name].get("fps", 24)
    assert [round(seconds * fps) for _, seconds, _ in frames] == [index for index, _, _ in frames]
    assert [seconds for _, seconds, _ in frames] == pytest.approx([0.5 * n for n in range(len(frames))], abs=0.06)
    # The frames show their own numbers; an edit list may have cut off the first ones.
    cut = read_number(frames[0][2])
    assert [read_number(pixels) for _, _, pixels in frames] == [cut + index for index, _, _ in frames]
    assert cut == (15 if name == "edit-list.mp4" else 0)
    assert facts.frames_in_video == 3 * fps - cut
    assert facts.packets_damaged == 0
    assert facts.fps == pytest.approx(fps, rel=0.02)


@pytest.mark.parametrize("sample_fps", [0.4, 1.0, 7.3, 24.0, 60.0])
def test_any_sampling_rate(tmp_path: Path, sample_fps: float) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=3, options=H264)
    frames, facts = assert_identical(path, DecodeSettings(input=SETTINGS.input, sample_fps=sample_fps))
    wanted = sorted({int(n * 24 / Fraction(str(sample_fps))) for n in range(math.ceil(3 * sample_fps))})
    assert [index for index, _, _ in frames] == wanted
    assert [read_number(pixels) for _, _, pixels in frames] == wanted
    assert facts.frames_sampled == len(wanted)


@given(data=st.data())
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_encoder_settings(tmp_path: Path, data: st.DataObject) -> None:
    codec = data.draw(st.sampled_from(["libx264", "libx264", "libx265"]), label="codec")
    open_groups = data.draw(st.booleans(), label="open groups")
    group, b_frames = (
        data.draw(st.integers(1, 40), label="group"),
        data.draw(st.integers(0, 4), label="b-frames"),
    )
    references = data.draw(st.integers(1, 5), label="references")
    durations = data.draw(st.lists(st.sampled_from([0.02, 0.04, 0.1, 0.7]), min_size=2, max_size=50))
    params = f"keyint={group}:min-keyint={min(group, 2)}:bframes={b_frames}:ref={references}"
    params += f":open-gop={int(open_groups)}"
    path = write_clip(
        tmp_path / data.draw(st.sampled_from(["clip.mp4", "clip.mkv"]), label="container"),
        codec=codec,
        width=64,
        height=48,
        pts_s=np.cumsum([0, *durations]).tolist(),
        options={"x264-params" if codec == "libx264" else "x265-params": params},
    )
    sample_fps = data.draw(st.sampled_from([0.5, 2.0, 5.0, 24.0]), label="rate")
    frames, _ = assert_identical(path, DecodeSettings(input=SETTINGS.input, sample_fps=sample_fps))
    assert [read_number(pixels) for _, _, pixels in frames] == [index for index, _, _ in frames]


def test_variable_rate_shows_what_is_on_screen(tmp_path: Path) -> None:
    pts_s = [0, 0.1, 0.2, 0.9, 1.6, 1.7, 1.99, 2.0, 2.6]
    frames, _ = assert_identical(write_clip(tmp_path / "clip.mp4", pts_s=pts_s))
    # On screen at 0, 0.5, 1, 1.5, 2, 2.5 s.
    assert [(index, read_number(pixels)) for index, _, pixels in frames] == [(0, 0), (2, 2), (3, 3), (7, 7)]
    assert [seconds for _, seconds, _ in frames] == pytest.approx([0, 0.2, 0.9, 2.0], abs=1e-4)


def test_only_needed_packets_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"g": "24", "bf": "2", "x264-params": "b-pyramid=none:b-adapt=0:scenecut=0"}
    path = write_clip(tmp_path / "clip.mp4", seconds=4, options=options)
    # Of 96 frames: 8 sampled, and the references between the first and the second of each of the 4 groups.
    assert decoded_frames(path, monkeypatch) <= 4 * 6


def test_files_too_large_to_keep_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=4, width=320, height=192, options=H264)
    kept, facts = decode(path)
    damaged = damage(write_clip(tmp_path / "damaged.mp4", seconds=4, width=320, height=192, options=H264), size=300)
    kept_damaged, damaged_facts = decode(damaged)
    monkeypatch.setattr(selective, "_KEEP_BYTES", 0)
    for clip, expected, expected_facts in ((path, kept, facts), (damaged, kept_damaged, damaged_facts)):
        read, read_facts = decode(clip)
        assert [frame[0] for frame in read] == [frame[0] for frame in expected]
        assert all(np.array_equal(a[2], b[2]) for a, b in zip(read, expected, strict=True))
        assert read_facts == expected_facts


# Damage


def test_frames_that_depend_on_damage_are_lost_and_the_others_exact(tmp_path: Path) -> None:
    every = DecodeSettings(input=SETTINGS.input, sample_fps=24)
    path = write_clip(tmp_path / "clip.mp4", width=320, height=192, seconds=4, options={"g": "24", "crf": "18"})
    sound = {index: pixels for index, _, pixels in decode(path, every)[0]}
    frames, facts = decode(damage(path, at=0.5, size=1500), every)
    assert facts.frames_sampled == 96
    assert 0 < len(frames) < 96
    assert facts.frames_decoded == len(frames)
    assert facts.packets_damaged is not None
    assert facts.packets_damaged > 0
    assert all(np.array_equal(pixels, sound[index]) for index, _, pixels in frames)
    # Only one group of 24 is hit, or two neighbours.
    assert len({index // 24 for index in set(sound) - {index for index, _, _ in frames}}) <= 2
    assert [index for index, _, _ in frames] == sorted(index for index, _, _ in frames)


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("clip.mp4", {"options": {"g": "24"}}),
        ("open.mp4", {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}}),
        ("clip.ts", {"options": {"g": "24"}}),
        ("av1.mp4", {"codec": "libsvtav1", "options": {"svtav1-params": "keyint=24"}}),
        ("mpeg4.mp4", {"codec": "mpeg4"}),
        ("mpeg2.ts", {"codec": "mpeg2video"}),
    ],
)
def test_decoding_goes_on_after_damage(tmp_path: Path, name: str, clip: dict) -> None:
    every = DecodeSettings(input=SETTINGS.input, sample_fps=24)
    path = write_clip(tmp_path / name, width=320, height=192, seconds=4, **clip)
    sound, _ = decode(path, every)
    frames, facts = decode(damage(path, at=0.45, size=1000), every)
    assert facts.packets_damaged
    assert 0 < len(frames) < facts.frames_sampled <= len(sound)  # type: ignore[operator]
    # The last group, long after the damage, is there again.
    assert np.array_equal(frames[-1][2], sound[-1][2])


def test_the_frames_of_a_truncated_file_are_exact_and_the_others_counted_as_lost(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", width=320, height=192, seconds=4, options=H264, muxer={"movflags": "faststart"}
    )
    sound, _ = decode(path)
    truncate(path, keep=0.6)
    for decoder in (decode_pyav, full_decode_pyav):
        frames, facts = decode(path, decoder=decoder)
        assert facts.frames_in_video == 96
        assert facts.frames_sampled == 8
        assert 3 <= len(frames) < 8
        assert facts.packets_damaged
        assert facts.packets_damaged >= 24
        for (index, _, pixels), (expected_index, _, expected) in zip(frames, sound, strict=False):
            assert index == expected_index
            assert np.array_equal(pixels, expected)


def test_a_video_that_is_damaged_all_over_is_undecodable(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", width=320, height=192, muxer={"movflags": "faststart"})
    data = path.read_bytes()
    error = failure(damage(path, at=(data.index(b"mdat") + 4) / len(data), size=len(data)))
    assert error.outcome is Outcome.UNDECODABLE
    assert error.reason.startswith("no frame could be decoded: ")
    assert error.facts.frames_decoded == 0
    assert error.facts.codec == "h264"


# The real thing


@pytest.mark.realdata
@pytest.mark.skipif(not REAL_CLIPS.is_dir(), reason=f"{REAL_CLIPS} is not here")
def test_real_clips_are_identical_and_real_damage_is_lost(tmp_path: Path) -> None:
    clip = min((REAL_CLIPS / "sora15" / "clips").iterdir(), key=lambda path: path.stat().st_size)
    sound = {index: pixels for index, _, pixels in assert_identical(clip)[0]}
    lost = 0
    for tenth in range(1, 10):
        path = tmp_path / "damaged.mp4"
        path.write_bytes(clip.read_bytes())
        frames, facts = decode(damage(path, at=tenth / 10, size=20_000))
        assert facts.frames_sampled == len(sound)
        assert all(np.array_equal(pixels, sound[index]) for index, _, pixels in frames)
        assert bool(facts.packets_damaged) == (len(frames) < len(sound))
        lost += len(sound) - len(frames)
    # Damage costs the rest of a group, and nothing where it hits what need not be decoded.
    assert 0 < lost < 9 * len(sound) / 4

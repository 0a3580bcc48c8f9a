"""decord gives the same frames as PyAV, or refuses the file."""

import itertools
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from decoded import SETTINGS, decode, failure
from media import damage, read_number, truncate, write_clip

pytest.importorskip("decord", reason="decord has wheels for Linux on x86-64 only")

from artifactscan.decode import with_decord
from artifactscan.decode.video import DecodeLimits, DecodeSettings
from artifactscan.decode.with_decord import decode_decord
from artifactscan.outcomes import Outcome

CLIPS: dict[str, dict] = {
    "closed-groups.mp4": {"options": {"g": "24", "bf": "3"}},
    "open-groups.mp4": {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}},
    "open-groups.mkv": {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}},
    "edit-list.mp4": {"pts_s": [-0.6 + n / 24 for n in range(96)], "options": {"g": "24"}},
    "late-start.mp4": {"pts_s": [0.7 + n / 24 for n in range(96)]},
    "variable-rate.mp4": {
        "pts_s": np.cumsum([0, *[0.02, 0.3, 0.04, 0.9] * 5]).tolist(),
        "options": {"g": "4"},
    },
    "mpeg4-b.mp4": {"codec": "mpeg4", "options": {"g": "12", "bf": "2"}},
    "mjpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "flash.flv": {"options": {"g": "24"}},
    "tiny.mp4": {"width": 16, "height": 16},
    "tall.mp4": {"width": 64, "height": 1920},
    "ten-bit.mp4": {"codec": "libx265", "pix_fmt": "yuv420p10le"},
    "http:-x %03d.mp4": {"options": {"g": "24"}},
}


@pytest.mark.parametrize("name", CLIPS)
def test_the_same_frames_as_pyav(tmp_path: Path, name: str) -> None:
    path = write_clip(tmp_path / name, **{"seconds": 4, **CLIPS[name]})
    frames, facts = decode(path, decoder=decode_decord)
    expected, expected_facts = decode(path)
    assert [index for index, _, _ in frames] == [index for index, _, _ in expected]
    assert [seconds for _, seconds, _ in frames] == pytest.approx([seconds for _, seconds, _ in expected], abs=2e-3)
    assert [read_number(pixels) for _, _, pixels in frames] == [read_number(pixels) for _, _, pixels in expected]
    for (_, _, pixels), (_, _, reference) in zip(frames, expected, strict=True):
        assert (pixels.dtype, pixels.shape) == (np.uint8, (48, 80, 3))
        assert pixels.flags.c_contiguous
        # decord takes the colours its own way: a higher frame, which PyAV takes for BT.709, comes out darker.
        assert np.abs(pixels.mean(axis=-1) - reference.mean(axis=-1)).mean() < (6 if name != "tall.mp4" else 12)
    assert (facts.decoder, facts.codec, facts.container) == (
        "decord",
        expected_facts.codec,
        expected_facts.container,
    )
    assert (facts.width, facts.height) == (expected_facts.width, expected_facts.height)
    assert facts.frames_in_video == expected_facts.frames_in_video
    assert facts.frames_decoded == facts.frames_sampled == expected_facts.frames_sampled


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_is_applied(tmp_path: Path, rotation: int) -> None:
    frames, facts = decode(write_clip(tmp_path / "clip.mp4", rotation=rotation, seconds=1), decoder=decode_decord)
    assert [read_number(np.rot90(pixels, rotation // 90)) for _, _, pixels in frames] == [0, 12]
    assert (facts.width, facts.height) == ((96, 160) if rotation % 180 else (160, 96))


@pytest.mark.parametrize(
    ("name", "clip", "reason"),
    [
        ("clip.gif", {"codec": "gif", "pix_fmt": "rgb8", "fps": 20}, "this one is gif"),
        ("clip.ts", {}, "this one is mpegts"),
        ("av1.mp4", {"codec": "libsvtav1"}, "decord could not decode it: it finds no video stream that it can decode"),
        ("b.avi", {"codec": "mpeg4", "options": {"bf": "2"}}, "it does not know when the frames are shown"),
    ],
)
def test_files_that_decord_reads_wrongly_are_refused(tmp_path: Path, name: str, clip: dict, reason: str) -> None:
    error = failure(write_clip(tmp_path / name, **clip), decoder=decode_decord)
    assert error.outcome is Outcome.UNDECODABLE
    assert reason in error.reason
    assert "\n" not in error.reason


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (0.1, "it cannot tell the size or pixel format of the frames"),  # nothing of the first packet
        (0.4, "it stops at a packet that cannot be read"),
    ],
)
def test_the_reason_is_in_plain_words_without_places_in_the_source_of_decord(
    tmp_path: Path, keep: float, reason: str
) -> None:
    path = write_clip(tmp_path / "clip.mp4", options={"g": "48"}, muxer={"movflags": "faststart"})
    error = failure(truncate(path, keep=keep), decoder=decode_decord)
    assert error.reason == f"decord could not decode it: {reason}"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("[12:00:00] /a/b.cc:61: Check failed: a >= 0 (-1 vs. 0)\nStack trace:", "a check of decord itself failed"),
        ("[12:00:00] ERROR opening file", "ERROR opening file"),
        ("", "it ends too early"),
    ],
)
def test_other_messages_of_decord(message: str, reason: str) -> None:
    assert with_decord._plainly(IndexError(message)) == reason


def test_a_playlist_is_not_passed_to_decord(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/segment.ts\n")
    assert failure(path, decoder=decode_decord).outcome is Outcome.UNDECODABLE


def test_limits(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    for limits in (DecodeLimits(max_pixels=1000), DecodeLimits(max_video_s=1.0)):
        error = failure(path, limits, decode_decord)
        assert error.outcome is Outcome.TOO_LARGE


def test_decord_stops_at_damage_or_hides_it(tmp_path: Path) -> None:
    options = {"g": "24", "crf": "20", "x264-params": "rc-lookahead=0"}  # with look-ahead x264 may write other bytes
    clip = {"width": 320, "height": 192, "seconds": 4, "options": options}
    every = DecodeSettings(input=SETTINGS.input, sample_fps=24)
    write_clip(tmp_path / "good.mp4", **clip)
    silent = lost = 0
    for tenth, size in itertools.product(range(3, 8), (100, 1500)):
        shutil.copy(tmp_path / "good.mp4", tmp_path / "clip.mp4")
        path = damage(tmp_path / "clip.mp4", at=tenth / 10, size=size)
        frames, facts = decode(path, every, decode_decord)
        _, honest = decode(path, every)
        assert facts.frames_decoded == len(frames) > 0
        assert facts.packets_damaged is None
        assert honest.frames_decoded is not None
        assert honest.frames_decoded < 96
        silent += facts.frames_decoded == facts.frames_sampled
        lost += facts.frames_decoded != facts.frames_sampled
    assert silent and lost


def test_decord_is_loaded_only_when_it_decodes() -> None:
    code = "import sys, artifactscan.decode.with_decord; sys.exit('decord' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}).returncode == 0

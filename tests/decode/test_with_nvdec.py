"""NVDEC's frames are PyAV's bit for bit, or PyAV decodes the clip and the ledger says why.

There is no GPU here: a stand-in for torchcodec decodes with PyAV. Where the real torchcodec is installed, the same code
runs with it on the CPU, and the stand-in is held against it.
"""

import inspect
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from decoded import Frames, decode
from isolated import kept, result_of
from media import damage, truncate, write_clip
from nvdec import NVDEC, STAND_IN, hide, stand_in_with

from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.slices import Slice
from artifactscan.decode.video import DecodeSettings, VideoFacts
from artifactscan.outcomes import Outcome

H264 = {"options": {"g": "24", "bf": "3"}}
CLIPS: dict[str, dict] = {
    "closed-groups.mp4": H264,
    "open-groups.mp4": {"options": {"g": "24", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}},
    "open-groups.mkv": {"codec": "libx265", "options": {"x265-params": "keyint=24:bframes=4"}},
    "edit-list.mp4": {"pts_s": [-0.6 + n / 24 for n in range(48)], **H264},
    "late-start.mp4": {"pts_s": [0.7 + n / 24 for n in range(48)]},
    "variable-rate.mp4": {"pts_s": np.cumsum([0, *[0.02, 0.3, 0.04, 0.9] * 3]).tolist(), "options": {"g": "4"}},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "odd.webm": {"codec": "libvpx-vp9", "width": 161, "height": 97},
    "av1.mp4": {"codec": "libsvtav1"},
    "flash.flv": H264,
    "full-range.mp4": {"pix_fmt": "yuvj420p"},
    "hd.mp4": {"width": 1280, "height": 720, "seconds": 0.5},
    "rotated.mp4": {"rotation": 90},
    "with-sound.mp4": {"audio": True},
    "http:-x %03d.mp4": H264,
}
REFUSED: dict[str, tuple[dict, str]] = {
    "mjpeg.avi": ({"codec": "mjpeg", "pix_fmt": "yuvj420p"}, "its codec mjpeg is not one of h264, hevc, vp8, vp9, av1"),
    "mpeg4.mp4": ({"codec": "mpeg4"}, "its codec mpeg4 is not one of"),
    "stream.ts": ({}, "torchcodec is given mp4, mkv, avi and flv files only, this one is mpegts"),
    "ten-bit.mp4": ({"codec": "libx265", "pix_fmt": "yuv420p10le"}, "its pixel format yuv420p10le is not one of"),
    "444.mp4": ({"pix_fmt": "yuv444p"}, "its pixel format yuv444p is not one of yuv420p, yuvj420p"),
}


@pytest.fixture(scope="module")
def on_gpu() -> Iterator[SandboxedDecoder]:
    """One child with the stand-in for all tests that need no other: importing torch takes seconds."""
    with pytest.MonkeyPatch.context() as patch, SandboxedDecoder(NVDEC) as decoder:
        patch.syspath_prepend(str(STAND_IN))
        yield decoder


def frames_of(segments: list[Segment]) -> Frames:
    found: Frames = []
    for segment in kept(segments):
        own = segment.frames()[segment.own]
        found += zip(segment.frame_index, segment.pts_s, own, strict=True)
    return found


def assert_same(frames: Frames, expected: Frames) -> None:
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in expected]
    for (index, _, pixels), (_, _, reference) in zip(frames, expected, strict=True):
        assert np.array_equal(pixels, reference), f"frame {index} differs"


def facts_alone(facts: VideoFacts) -> VideoFacts:
    """Without what differs from one decoding to another."""
    return replace(facts, decoder=None, decode_s=None)


def assert_decoded(segments: list[Segment], path: Path, settings: DecodeSettings = NVDEC) -> None:
    """Asserts that NVDEC gave the frames and the facts that PyAV gives."""
    result = result_of(segments)
    assert (result.outcome, result.reason, result.facts.decoder) == (Outcome.SCORED, None, "nvdec")
    expected, facts = decode(path, settings)
    assert_same(frames_of(segments), expected)
    assert facts_alone(result.facts) == facts_alone(facts)


def assert_by_pyav(segments: list[Segment], path: Path, reason: str) -> None:
    """Asserts that PyAV gave the frames after NVDEC failed for a reason."""
    result = result_of(segments)
    assert (result.outcome, result.facts.decoder) == (Outcome.SCORED, "pyav")
    assert result.reason and result.reason.startswith("decoded by pyav after nvdec failed (")
    assert reason in result.reason
    assert_same(frames_of(segments), decode(path, NVDEC)[0])


@pytest.mark.parametrize("name", CLIPS)
def test_the_frames_are_those_of_pyav(tmp_path: Path, on_gpu: SandboxedDecoder, name: str) -> None:
    path = write_clip(tmp_path / name, **CLIPS[name])
    assert_decoded(list(on_gpu.decode(str(path))), path)


@pytest.mark.parametrize("name", REFUSED)
def test_what_nvdec_does_not_decode_exactly_is_decoded_by_pyav(
    tmp_path: Path, on_gpu: SandboxedDecoder, name: str
) -> None:
    clip, reason = REFUSED[name]
    path = write_clip(tmp_path / name, seconds=1, **clip)
    assert_by_pyav(list(on_gpu.decode(str(path))), path, f"undecodable: {reason}")


def test_a_file_that_lacks_packets_is_decoded_by_pyav(tmp_path: Path, on_gpu: SandboxedDecoder) -> None:
    path = truncate(write_clip(tmp_path / "clip.mp4", seconds=4, muxer={"movflags": "faststart"}, **H264), keep=0.6)
    result = result_of(list(on_gpu.decode(str(path))))
    assert (result.outcome, result.facts.decoder) == (Outcome.PARTIAL, "pyav")
    assert "packets are damaged or missing" in (result.reason or "")


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("fallback = True", "this GPU's NVDEC does not decode it (Video not supported))"),
        (
            "raise RuntimeError('Failed to create NVDEC decoder: 2\\nmore')",
            "torchcodec: Failed to create NVDEC decoder: 2)",
        ),
        (
            "raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate')",
            "undecodable: torchcodec: CUDA out of",
        ),
        ("noise = 1", "its first frame by NVDEC is not PyAV's, bit for bit"),
        ("lost = 12", "NVDEC gave 3 of 4 sampled frames"),
    ],
)
def test_a_fault_of_the_gpu_costs_one_clip_its_gpu(
    tmp_path: Path, on_gpu: SandboxedDecoder, fault: str, reason: str
) -> None:
    path = hide(write_clip(tmp_path / "clip.mp4"), fault)
    child = on_gpu.pid
    assert_by_pyav(list(on_gpu.decode(str(path))), path, reason)
    assert on_gpu.pid == child


CUDA_BROKEN = """
def broken(device=None): raise RuntimeError("CUDA error: unspecified launch failure")
torch.cuda.synchronize = broken
broken()
"""


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (CUDA_BROKEN, "crashed: torchcodec: CUDA error: unspecified launch failure"),
        ("time.sleep(60)", "timed_out: not decoded within 1.8 s"),
        ("hoard = []\nwhile True: hoard.append(bytearray(1 << 24))", "crashed: decoding needed more than the 512 MiB"),
        ("os.abort()", "crashed: the decoding process died of SIGABRT"),
    ],
)
def test_a_child_that_the_gpu_breaks_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, reason: str
) -> None:
    monkeypatch.syspath_prepend(str(STAND_IN))
    path = hide(write_clip(tmp_path / "clip.mp4"), fault)
    with SandboxedDecoder(replace(NVDEC, limits=replace(NVDEC.limits, video_timeout_s=3))) as decoder:
        decoder.start()
        child = decoder.pid
        assert_by_pyav(list(decoder.decode(str(path))), path, reason)
        assert decoder.pid != child


def test_a_bad_video_has_pyavs_outcome_and_reason(tmp_path: Path, on_gpu: SandboxedDecoder) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("this is no video")
    noise = damage(write_clip(tmp_path / "clip.mp4", options={"g": "48"}), at=0.02, size=50_000)
    with SandboxedDecoder(replace(NVDEC, decoder="pyav")) as by_pyav:
        for path in map(str, (text, noise)):
            found, expected = result_of(list(on_gpu.decode(path))), result_of(list(by_pyav.decode(path)))
            assert expected.outcome is Outcome.UNDECODABLE
            assert (found.outcome, found.reason) == (expected.outcome, expected.reason)
            assert facts_alone(found.facts) == facts_alone(expected.facts)


def test_groups_without_a_sampled_frame_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STAND_IN))
    path = write_clip(tmp_path / "clip.mp4", seconds=4, options={"g": "12", "keyint_min": "12", "sc_threshold": "0"})
    settings = replace(NVDEC, sample_fps=0.6)
    with SandboxedDecoder(settings) as decoder:
        segments = list(decoder.decode(str(path)))
        assert_decoded(segments, path, settings)
        assert [index for index, _, _ in frames_of(segments)] == [0, 40, 80]
        # The stand-in numbers the frames that come out: were all decoded, the 80th would be lost here.
        lossy = hide(path, "lost = 80")
        assert result_of(list(decoder.decode(str(lossy)))).reason is None


def test_slices_give_the_frames_of_the_whole(tmp_path: Path, on_gpu: SandboxedDecoder) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=4, options={"g": "24"})
    parts = [list(on_gpu.decode(str(path), Slice(number, 3))) for number in range(3)]
    assert [result_of(part).facts.decoder for part in parts] == ["nvdec"] * 3
    assert [result_of(part).reason for part in parts] == [None] * 3
    expected, _ = decode(path, NVDEC)
    assert_same([frame for part in parts for frame in frames_of(part)], expected)


def test_a_slice_that_nvdec_does_not_decode_is_decoded_by_pyav(tmp_path: Path, on_gpu: SandboxedDecoder) -> None:
    path = write_clip(tmp_path / "clip.mp4", seconds=4, pix_fmt="yuv444p", options={"g": "24"})
    parts = [list(on_gpu.decode(str(path), Slice(number, 2))) for number in range(2)]
    for part in parts:
        assert result_of(part).facts.decoder == "pyav"
        assert (result_of(part).reason or "").startswith("decoded by pyav after nvdec failed (undecodable: its pixel")
    assert_same([frame for part in parts for frame in frames_of(part)], decode(path, NVDEC)[0])


def test_a_codec_that_has_no_slices_is_decoded_whole(tmp_path: Path, on_gpu: SandboxedDecoder) -> None:
    path = write_clip(tmp_path / "clip.mpg", codec="mpeg2video", fps=25)
    parts = [list(on_gpu.decode(str(path), Slice(number, 2))) for number in range(2)]
    assert parts[1] == []
    assert_by_pyav(parts[0], path, "its codec mpeg2video is not one of")


def test_without_a_gpu_every_clip_is_decoded_by_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(stand_in_with(tmp_path / "packages", gpu=False)))
    path = write_clip(tmp_path / "clip.mp4")
    with SandboxedDecoder(NVDEC) as decoder:
        for _ in range(2):
            assert_by_pyav(list(decoder.decode(str(path))), path, "finds no GPU")


WITHOUT_FFMPEG = "no FFmpeg"
NEEDS_FFMPEG = f"""
import sys, torchcodec
if torchcodec.ffmpeg_major_version is None:
    sys.exit({WITHOUT_FFMPEG!r})
"""
IN_REAL = """
import sys
from decoded import decode
from functools import partial
from pathlib import Path
import numpy as np
from artifactscan.decode.with_nvdec import decode_nvdec
for path in map(Path, sys.argv[1:]):
    expected, facts = decode(path)
    frames, found = decode(path, decoder=partial(decode_nvdec, device="cpu"))
    assert [frame[:2] for frame in frames] == [frame[:2] for frame in expected], path
    assert all(np.array_equal(one[2], two[2]) for one, two in zip(frames, expected)), path
    found.decoder = facts.decoder
    assert found == facts, (path, found, facts)
    print(path.name)
"""
SIGNATURES = """
import inspect, json, sys
from torchcodec import decoders, ffmpeg_major_version
path = sys.argv[1]
demuxer = decoders.Demuxer(path, streams=0)
[stream] = demuxer.streams
called = {
    "VideoDecoder": decoders.VideoDecoder, "Demuxer": decoders.Demuxer, "make_decoder": type(stream).make_decoder,
    "decode": decoders.VideoPacketDecoder.decode, "drain": decoders.VideoPacketDecoder.drain,
    "reset": decoders.VideoPacketDecoder.reset, "set_nvdec_cache_capacity": decoders.set_nvdec_cache_capacity,
}
made = {name: [str(one.replace(annotation=inspect.Parameter.empty)) for one in
        inspect.signature(call).parameters.values()] for name, call in called.items()}
print(json.dumps(made))
"""
"""Names, order, kinds and defaults of what the calls take."""
needs_torchcodec = pytest.mark.skipif(find_spec("torchcodec") is None, reason="torchcodec is not installed")


def run(script: str, *arguments: object, first: Path | None = None) -> str:
    path = [str(first)] if first else []
    command = f"import sys; sys.path[:0] = {[*path, *sys.path]!r}\n{NEEDS_FFMPEG}{script}"
    done = subprocess.run([sys.executable, "-c", command, *map(str, arguments)], capture_output=True, text=True)
    if done.stderr.strip() == WITHOUT_FFMPEG:
        pytest.skip("torchcodec finds no FFmpeg")
    assert done.returncode == 0, done.stderr
    return done.stdout


@needs_torchcodec
def test_the_real_torchcodec_gives_the_frames_of_pyav(tmp_path: Path) -> None:
    paths = [write_clip(tmp_path / name, **clip) for name, clip in CLIPS.items()]
    assert run(IN_REAL, *paths).splitlines() == [path.name for path in paths]


@needs_torchcodec
def test_the_stand_in_is_called_as_the_real_torchcodec(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    real, ours = (json.loads(run(SIGNATURES, path, first=first)) for first in (None, STAND_IN))
    assert ours == real


def test_it_takes_what_other_decoders_take() -> None:
    from artifactscan.decode.with_nvdec import decode_nvdec
    from artifactscan.decode.with_pyav import decode_pyav

    *ours, device = inspect.signature(decode_nvdec).parameters.values()
    assert [one.name for one in ours] == [*inspect.signature(decode_pyav).parameters]
    assert (device.name, device.kind) == ("device", inspect.Parameter.KEYWORD_ONLY)

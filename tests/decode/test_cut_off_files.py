"""Files whose end is missing: a frame that the file lacks is lost, and no other stands in for it or is invented.

In a file with B-frames the missing packets belong between frames that are there.
"""

from itertools import islice
from pathlib import Path

import av
import pytest
from decoded import Frames, assert_identical, decode
from media import read_number, write_clip
from odd_media import join, write_second_half

from artifactscan.decode.video import VideoFacts
from artifactscan.decode.with_pyav import full_decode_pyav

TWO_SECONDS = [0, 12, 24, 36]
B_PYRAMID = {"g": "48", "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}
SHARES = [share / 40 for share in range(1, 40)]


def cut(source: Path, path: Path, share: float) -> Path:
    """The file up to the end of its eighth frame, and this share of what follows."""
    data = source.read_bytes()
    with av.open(str(source)) as container:
        *_, packet = islice(container.demux(video=0), 8)
    assert packet.pos is not None
    start = packet.pos + packet.size
    path.write_bytes(data[: start + int(share * (len(data) - start))])
    return path


def sampled(path: Path, samples: list[int] | None = None) -> tuple[Frames, VideoFacts]:
    """The frames and facts; each frame is one of ``samples``, and has its picture.

    A full decode may lose more, as it takes what the decoder holds at damage for lost.
    """
    samples = TWO_SECONDS if samples is None else samples
    frames, facts = decode(path)
    for found, of in ((frames, facts), decode(path, decoder=full_decode_pyav)):
        numbers = [read_number(pixels) for _, _, pixels in found]
        assert numbers == [index for index, _, _ in found] == samples[: len(numbers)]
        assert of.frames_sampled == len(samples)
        assert of.frames_in_video == facts.frames_in_video
    return frames, facts


@pytest.mark.parametrize(
    ("name", "clip"),
    [
        ("clip.mp4", {"options": B_PYRAMID, "muxer": {"movflags": "faststart"}}),
        ("hevc.mp4", {"codec": "libx265", "options": {"bf": "3"}, "muxer": {"movflags": "faststart"}}),
        ("clip.mkv", {"options": B_PYRAMID}),
        ("vp8.webm", {"codec": "libvpx"}),
        ("clip.avi", {"codec": "mpeg4"}),
    ],
)
def test_each_sampled_frame_is_there_or_lost_wherever_a_file_ends(tmp_path: Path, name: str, clip: dict) -> None:
    whole = write_clip(tmp_path / name, **clip)
    found = [len(sampled(cut(whole, tmp_path / f"cut-{name}", share))[0]) for share in SHARES]
    assert found == sorted(found) and found[0] < 4
    assert len(set(found)) >= 3


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_missing_frames_take_the_times_between_those_that_are_there(tmp_path: Path, name: str) -> None:
    """Of frames of irregular times too: those of an mp4 are in its index."""
    times = [n / 24 if n < 20 or name == "clip.mkv" else n / 24 + (n - 20) / 10 for n in range(48)]
    muxer = {"movflags": "faststart"} if name == "clip.mp4" else {}
    whole = write_clip(tmp_path / name, pts_s=times, options=B_PYRAMID, muxer=muxer)
    frames, whole_facts = assert_identical(whole)
    for share in SHARES:
        part, facts = decode(cut(whole, tmp_path / f"cut-{name}", share))
        assert {frame[:2] for frame in part} <= {frame[:2] for frame in frames}
        assert [read_number(pixels) for _, _, pixels in part] == [index for index, _, _ in part]
        assert facts.frames_in_video == 48
        assert facts.frames_sampled == whole_facts.frames_sampled


@pytest.mark.parametrize(
    ("name", "codec"), [("clip.mkv", "libx264"), ("clip.webm", "libvpx"), ("vp9.webm", "libvpx-vp9")]
)
def test_a_length_in_milliseconds_promises_no_further_sample(tmp_path: Path, name: str, codec: str) -> None:
    whole = write_clip(tmp_path / name, codec=codec)
    for share in (0.9, 0.95, 0.99):
        frames, facts = sampled(cut(whole, tmp_path / f"cut-{name}", share))
        assert len(frames) == 4
        assert facts.frames_in_video == 48
        assert facts.duration_s == pytest.approx(2.0, abs=0.003)


def test_a_last_recording_that_is_cut_off_has_its_missing_frames_in_their_places(tmp_path: Path) -> None:
    first = write_clip(tmp_path / "first.mkv", options=B_PYRAMID)
    second = write_second_half(tmp_path / "second.mkv", options=B_PYRAMID)
    for share in SHARES[::4]:
        path = join(tmp_path / "clip.mkv", first, cut(second, tmp_path / "cut.mkv", share))
        frames, facts = sampled(path, [0, 12, 24, 36, 48, 60, 72, 84])
        assert 4 <= len(frames) < 9
        assert facts.frames_in_video == 96


def test_a_whole_file_with_long_pauses_between_its_last_frames_loses_none(tmp_path: Path) -> None:
    times = [*(n / 24 for n in range(44)), 3.0, 4.0, 4.5, 6.0]
    for name in ("clip.mp4", "clip.mkv", "clip.ts", "clip.flv"):
        frames, facts = assert_identical(write_clip(tmp_path / name, pts_s=times, options=B_PYRAMID))
        assert [index for index, _, _ in frames][-4:] == [44, 45, 46, 47], name
        assert facts.packets_damaged == 0

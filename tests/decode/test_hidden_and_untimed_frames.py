"""Frames that an edit list hides, and frames for which the container has no time."""

from pathlib import Path

import pytest
from decoded import SETTINGS, assert_identical
from media import read_number, write_clip
from odd_media import remux

from artifactscan.decode.sampling import EVERY_FRAME_FPS
from artifactscan.decode.video import DecodeSettings

EVERY_FRAME = DecodeSettings(input=SETTINGS.input, sample_fps=EVERY_FRAME_FPS)


@pytest.mark.parametrize("bf", ["0", "2"])
@pytest.mark.parametrize("hidden", [1, 2, 12])
def test_packets_that_an_edit_list_hides_are_neither_sampled_nor_lost(tmp_path: Path, bf: str, hidden: int) -> None:
    """As ``ffmpeg -i raw.h264 -c copy clip.mp4`` writes it: times in decoding order, the first ones before zero."""
    source = write_clip(tmp_path / "source.mp4", options={"g": "24", "bf": bf})
    path = remux(source, tmp_path / "clip.mp4", made_up_times=True, first=-hidden)
    frames, facts = assert_identical(path, EVERY_FRAME)
    numbers = [read_number(pixels) for _, _, pixels in frames]
    assert numbers == sorted(numbers) and numbers[-1] == 47
    assert len(numbers) == 48 - hidden == facts.frames_in_video
    assert (facts.frames_sampled, facts.packets_damaged) == (len(numbers), 0)
    frames, facts = assert_identical(path)
    assert [index for index, _, _ in frames] == [0, 12, 24, 36][: facts.frames_sampled]
    assert [seconds for _, seconds, _ in frames] == [0.0, 0.5, 1.0, 1.5][: facts.frames_sampled]


def test_frames_before_time_0_in_matroska_are_shown_as_long_as_the_others(tmp_path: Path) -> None:
    """FFmpeg gives them no times, and durations of whole milliseconds."""
    muxer = {"avoid_negative_ts": "disabled"}
    path = write_clip(tmp_path / "clip.mkv", pts_s=[-1 + n / 24 for n in range(48)], options={"bf": "0"}, muxer=muxer)
    frames, facts = assert_identical(path)
    assert [read_number(pixels) for _, _, pixels in frames] == [0, 12, 24, 36]
    assert [seconds for _, seconds, _ in frames] == [0.0, 0.5, 1.0, 1.5]
    assert facts.duration_s == pytest.approx(2.0, abs=0.002)

"""Windows of labelled frames: those in which the scoring job sees the frames it samples."""

from dataclasses import replace

import numpy as np
import pytest
from isolated import SETTINGS
from media import write_clip

from artifactscan.decode.sampled_indices import sampled_indices
from artifactscan.decode.sampling import window
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.outcomes import Outcome
from artifactscan.training.frame_table import every_frame_settings
from artifactscan.training.labelled_windows import ClipWindows, select_windows


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", seconds=5, fps=24))


def every_frame(clip: str) -> list[Segment]:
    with SandboxedDecoder(every_frame_settings(SETTINGS.input, SETTINGS)) as decoder:
        return list(decoder.decode(clip))


def select(segments: list[Segment], wanted: list[int], neighbours: int, sample_fps: float = 2.0) -> ClipWindows:
    return select_windows(iter(segments), wanted, sample_fps=sample_fps, neighbours=neighbours)


@pytest.mark.parametrize("sample_fps", [2.0, 3.0, 7.0])
@pytest.mark.parametrize("neighbours", [0, 1, 3])
def test_windows_are_those_of_the_scoring_job(clip: str, neighbours: int, sample_fps: float) -> None:
    with SandboxedDecoder(replace(SETTINGS, sample_fps=sample_fps)) as decoder:
        sampled = sampled_indices(decoder.decode(clip))
    segments = every_frame(clip)
    wanted = [sampled[0], sampled[4], sampled[5], sampled[-1], 31]
    found = select(segments, wanted, neighbours, sample_fps)
    assert found.windows == {index: window(index, sampled, neighbours) for index in wanted}
    assert found.result.outcome is Outcome.SCORED
    pixels = {i: rgb for s in segments for i, rgb in zip(s.frame_index, s.frames(), strict=True)}
    assert found.pixels.keys() == {index for indices in found.windows.values() for index in indices}
    assert all(np.array_equal(rgb, pixels[index]) for index, rgb in found.pixels.items())


def test_a_frame_the_clip_does_not_have_has_no_window(clip: str) -> None:
    assert list(select(every_frame(clip), [0, 5000], 1).windows) == [0]


def test_the_second_decoder_starts_anew(clip: str) -> None:
    segments = every_frame(clip)
    broken = [replace(segment, attempt="first", result=None) for segment in segments[:1]]
    both, alone = (select(given, [12, 24], 2) for given in (broken + segments, segments))
    assert both.windows == alone.windows
    assert both.pixels.keys() == alone.pixels.keys()


def test_windows_at_the_ends_repeat_the_first_and_the_last_frame() -> None:
    assert window(0, [0, 12, 24], 2) == [0, 0, 0, 12, 24]
    assert window(24, [0, 12, 24], 1) == [12, 24, 24]
    assert window(13, [0, 12, 24], 1) == [12, 13, 24]
    assert window(30, [0, 12, 24], 2) == [12, 24, 30, 30, 30]
    assert window(7, [], 1) == [7, 7, 7]
    assert window(7, [0, 12], 0) == [7]

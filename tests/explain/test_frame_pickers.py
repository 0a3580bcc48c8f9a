"""Frames named by index or time, and those with the highest values; their pixels are those of scoring."""

from dataclasses import replace
from pathlib import Path

import media
import numpy as np
import pytest
from isolated import SAMPLED, SETTINGS

from artifactscan.decode.sampling import EVERY_FRAME_FPS
from artifactscan.decode.sandbox.supervisor import SandboxedDecoder
from artifactscan.decode.segment import Segment
from artifactscan.decode.video import DecodeError, VideoFacts
from artifactscan.explain.frame_pickers import HighestFrames, NamedFrames, UnknownFrameError, pick_frames
from artifactscan.outcomes import Outcome

FACTS = VideoFacts(frames_in_video=10, duration_s=1.0)


def segment(brightness_of: dict[int, int], *, before: tuple[int, ...] = (), after: tuple[int, ...] = ()) -> Segment:
    """Frames of a video with ten a second, by index, and the brightness of the context around them."""
    brightness = [*before, *brightness_of.values(), *after]
    return Segment(
        attempt="a",
        index=0,
        frame_index=list(brightness_of),
        pts_s=[index / 10 for index in brightness_of],
        height=2,
        width=3,
        pixels=b"".join(bytes([value]) * (2 * 3 * 3) for value in brightness),
        result=None,
        context_before=len(before),
        context_after=len(after),
    )


def chosen(named: NamedFrames, indices: list[int]) -> list[int]:
    named.add(segment(dict.fromkeys(indices[:4], 0)))
    named.add(segment(dict.fromkeys(indices[4:], 0)))
    return [one.index for one in named.chosen(FACTS)]


@pytest.mark.parametrize(
    ("indices", "times_s", "expected"),
    [
        ((7, 2), (), [2, 7]),
        ((), (0.0, 0.39, 0.4, 0.99), [0, 3, 4, 9]),
        ((3, 5), (0.55, 0.3, 0.31), [3, 5]),
    ],
)
def test_frames_by_index_and_by_the_time_they_are_on_screen(
    indices: tuple[int, ...], times_s: tuple[float, ...], expected: list[int]
) -> None:
    assert chosen(NamedFrames(indices, times_s), list(range(10))) == expected


@pytest.mark.parametrize(
    ("named", "came_out", "words"),
    [
        (NamedFrames([10]), range(10), "has no frame 10: it has the frames 0 to 9"),
        (NamedFrames([], [1.0]), range(10), "has no frame at 1 s: it ends at 1 s"),
        (
            NamedFrames([4]),
            [0, 1, 2, 3, 6, 7, 8, 9],
            "has no frame 4 to show: it is damaged or on screen for no time; nam",
        ),
        (
            NamedFrames([], [0.45]),
            [0, 1, 2, 3, 6, 7, 8, 9],
            "has no frame to show at 0.45 s: it is damaged there; name an",
        ),
        (
            NamedFrames([], [0.0]),
            [1, 2, 3, 4, 5, 6, 7, 8, 9],
            "has no frame to show at 0 s: it is damaged there; name ano",
        ),
        (
            NamedFrames([], [0.95]),
            [0, 1, 2, 3, 4],
            "has no frame to show at 0.95 s: it is damaged there; name another time",
        ),
    ],
)
def test_a_frame_that_cannot_be_shown_is_named(named: NamedFrames, came_out: list[int], words: str) -> None:
    with pytest.raises(UnknownFrameError) as raised:
        chosen(named, list(came_out))
    assert str(raised.value).startswith(words)


def test_a_frame_next_to_damage_is_taken_at_its_own_time() -> None:
    assert chosen(NamedFrames([], [0.3, 0.6]), [0, 1, 2, 3, 6, 7]) == [3, 6]


def test_the_frames_with_the_highest_values_are_kept() -> None:
    highest = HighestFrames(3, lambda pixels: pixels[:, 0, 0, 0].astype(float))
    for brightness_of in ({0: 5, 1: 9, 2: 5}, {}, {3: 1, 4: 7, 5: 5}):
        highest.add(segment(brightness_of))
    assert [one.index for one in highest.chosen(FACTS)] == [0, 1, 4]


def test_the_highest_values_are_those_of_frames_with_the_context_around_them() -> None:
    def change(pixels: np.ndarray) -> np.ndarray:
        brightness = pixels[:, 0, 0, 0].astype(float)
        return np.abs(np.diff(brightness, prepend=brightness[0]))

    highest = HighestFrames(2, change)
    highest.add(segment({0: 5, 1: 9, 2: 9}, after=(200,)))
    highest.add(segment({3: 200, 4: 199}, before=(9,), after=(0,)))
    frames = highest.chosen(FACTS)
    assert [(one.index, one.pts_s, one.pixels[0, 0, 0]) for one in frames] == [(1, 0.1, 9), (3, 0.3, 200)]


def test_pixels_are_those_that_scoring_sees(clip: str) -> None:
    with SandboxedDecoder(SETTINGS) as decoder:
        scored = b"".join(segment.pixels for segment in decoder.decode(clip))
    every_frame = replace(SETTINGS, sample_fps=EVERY_FRAME_FPS)
    picked, facts = pick_frames(clip, every_frame, lambda: NamedFrames([*SAMPLED, 13], [2.01]))
    frames = {one.index: one for one in picked}
    assert sorted(frames) == sorted([*SAMPLED, 13])
    assert facts.frames_decoded == facts.frames_in_video == 96
    assert b"".join(frames[index].pixels.tobytes() for index in SAMPLED) == scored
    assert frames[13].pts_s == 13 / 24
    assert media.read_number(frames[13].pixels) == 13


def test_a_video_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "no.mp4"
    path.write_bytes(b"not a video")
    with pytest.raises(DecodeError) as raised:
        pick_frames(str(path), SETTINGS, lambda: NamedFrames([0]))
    assert raised.value.outcome is Outcome.UNDECODABLE
    assert raised.value.reason

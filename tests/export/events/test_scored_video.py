"""Which frames of a video an event covers."""

from typing import Any

import numpy as np
from exported import FPS, STEP, scored_video

from artifactscan.export.events.scored_video import locate_events


def spans(scores: list[float], **facts: Any) -> list[tuple[int, int]]:
    return [(event.first_frame, event.last_frame) for event in scored_video({"motion": scores}, **facts).events]


def test_an_event_covers_the_frames_up_to_the_next_sampled_one() -> None:
    [event] = scored_video({"motion": [0.1, 0.9, 0.7, 0.1, 0.1]}).events
    assert (event.label, event.start_s, event.end_s) == ("motion", 0.5, 1.5)
    assert (event.first_frame, event.last_frame) == (12, 35)
    assert (event.peak_frame, round(event.peak, 3)) == (12, 0.9)


def test_several_events_of_a_clip_are_in_order() -> None:
    video = scored_video({"motion": [0.9, 0.0, 0.0, 0.9, 0.0], "boundary": [0.9, 0.9, 0.0, 0.0, 0.0]})
    assert [(event.label, event.first_frame, event.last_frame) for event in video.events] == [
        ("boundary", 0, 23),
        ("motion", 0, 11),
        ("motion", 36, 47),
    ]


def test_the_last_event_ends_with_the_video() -> None:
    assert spans([0.1, 0.9]) == [(12, 23)]
    assert spans([0.1, 0.9], frames_in_video=20, duration_s=20 / FPS) == [(12, 19)]
    assert spans([0.1, 0.9], frames_in_video=None, duration_s=None) == [(12, 23)]


def test_without_a_frame_rate_an_event_ends_with_its_last_sampled_frame() -> None:
    assert spans([0.9, 0.9, 0.1], fps=None) == [(0, 12)]


def located(pts_s: list[float], index: list[int], end_s: float, **facts: Any) -> int:
    row = {"label": "motion", "start_s": pts_s[0], "end_s": end_s, "peak": 0.9, "peak_frame": index[0]}
    [event] = locate_events(
        [row], frame_index=np.asarray(index, np.int32), pts_s=np.asarray(pts_s), sample_fps=2.0, facts=facts
    )
    assert event.first_frame == index[0]
    return event.last_frame


def test_a_frame_that_is_shown_for_long_is_one_frame() -> None:
    assert located([0.0, 4.0], [0, 1], 4.0, fps=0.25) == 0
    assert located([0.0, 4.0], [0, 1], 4.5, fps=0.25) == 1


def test_the_next_sampled_frame_is_not_in_the_event_though_it_is_shown_before_its_end() -> None:
    # At 29.97 frames per second the frame on screen at 1.0 s is shown from 0.9676 s on.
    fps = 30_000 / 1001
    index = [0, 14, 29, 44]
    pts_s = [frame / fps for frame in index]
    assert located(pts_s, index, pts_s[1] + 0.5, fps=fps) == 28
    assert located(pts_s, index, pts_s[2] + 0.5, fps=fps) == 43


def test_frames_as_python_numbers() -> None:
    video = scored_video({"motion": [0.25, 0.5]})
    assert video.frames == [(0, 0.0, [0.0, 0.0, 0.25, 0.0]), (STEP, 0.5, [0.0, 0.0, 0.5, 0.0])]

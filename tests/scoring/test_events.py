"""Frame probabilities to time-coded events."""

from dataclasses import replace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.errors import UsageError
from artifactscan.labels import LABELS, SCORE_COLUMNS
from artifactscan.schemas import EVENTS, FRAMES
from artifactscan.scoring.events import EventSettings, find_events

THRESHOLDS = dict.fromkeys(LABELS, 0.5)


def frames(*videos: list[float], label: str = "motion") -> pa.Table:
    """Frames at two per second of videos /0, /1, … with these probabilities of ``label``, and 0 of the others."""
    rows = [
        {"video_id": str(number), "uri": f"/{number}", "frame_index": 12 * n, "pts_s": n / 2}
        | {f"p_{name}": p if name == label else 0.0 for name in LABELS}
        for number, video in enumerate(videos)
        for n, p in enumerate(video)
    ]
    return pa.Table.from_pylist(rows, schema=FRAMES)


def spans(*videos: list[float], settings: EventSettings | None = None) -> list[tuple[str, float, float]]:
    events = find_events(frames(*videos), THRESHOLDS, sample_fps=2.0, settings=settings)
    assert events.schema.equals(EVENTS)
    return [(row["uri"], row["start_s"], row["end_s"]) for row in events.to_pylist()]


def test_an_event_lasts_until_the_next_sample() -> None:
    [event] = find_events(frames([0.1, 0.6, 0.9, 0.1]), THRESHOLDS, sample_fps=2.0).to_pylist()
    assert event == {
        "video_id": "0",
        "uri": "/0",
        "label": "motion",
        "start_s": 0.5,
        "end_s": 1.5,
        "peak": pytest.approx(0.9),
        "peak_frame": 24,
    }


@pytest.mark.parametrize(
    ("p", "expected"),
    [
        ([], []),
        ([0.49, 0.49], []),
        ([0.5], [(0.0, 0.5)]),
        ([0.41, 0.5, 0.41], [(0.0, 1.5)]),
        ([0.39, 0.5, 0.39], [(0.5, 1.0)]),
        ([0.6, 0.0, 0.6], [(0.0, 1.5)]),
        ([0.6, 0.0, 0.0, 0.6], [(0.0, 0.5), (1.5, 2.0)]),
        ([0.45, 0.45, 0.45], []),
    ],
)
def test_hysteresis_and_gaps(p: list[float], expected: list[tuple[float, float]]) -> None:
    assert [(start, end) for _, start, end in spans(p)] == expected


def test_an_event_never_spans_two_videos() -> None:
    assert spans([0.1, 0.9], [0.9, 0.1]) == [("/0", 0.5, 1.0), ("/1", 0.0, 0.5)]


def test_gap_and_length_settings() -> None:
    strict = EventSettings(release_ratio=1.0, max_gap_frames=0)
    assert spans([0.6, 0.45, 0.6], settings=strict) == [("/0", 0.0, 0.5), ("/0", 1.0, 1.5)]
    assert spans([0.6, 0.45, 0.6], settings=replace(strict, release_ratio=0.8)) == [("/0", 0.0, 1.5)]


@given(st.lists(st.integers(0, 100), max_size=40))
def test_every_frame_over_the_threshold_is_in_exactly_one_event(percent: list[int]) -> None:
    p = [number / 100 for number in percent]
    found = spans(p)
    for n, value in enumerate(p):
        inside = sum(start <= n / 2 < end for _, start, end in found)
        assert inside == 1 if value >= 0.5 else inside <= 1


def timed(*rows: tuple[int, float, float], duration_s: float | None = None) -> list[tuple[float, float]]:
    """Events of one video with rows (frame_index, pts_s, probability)."""
    table = pa.Table.from_pylist(
        [
            {"video_id": "0", "uri": "/0", "frame_index": index, "pts_s": pts, **dict.fromkeys(SCORE_COLUMNS, 0.0)}
            | {"p_motion": p}
            for index, pts, p in rows
        ],
        schema=FRAMES,
    )
    events = find_events(table, THRESHOLDS, sample_fps=2.0, durations_s={"0": duration_s})
    return [(row["start_s"], row["end_s"]) for row in events.to_pylist()]


def test_frames_lost_to_damage_are_a_gap() -> None:
    assert timed((0, 0.0, 0.9), (12, 0.5, 0.9), (2400, 100.0, 0.9), (2412, 100.5, 0.9)) == [(0.0, 1.0), (100.0, 101.0)]
    assert timed((0, 0.0, 0.9), (24, 1.0, 0.9)) == [(0.0, 1.5)], "one lost frame is bridged as one without the label is"


def test_a_frame_shown_for_long_is_no_gap_and_lasts_until_the_next() -> None:
    assert timed((0, 0.0, 0.9), (1, 5.0, 0.9)) == [(0.0, 5.5)]
    assert timed((0, 0.0, 0.9), (1, 5.0, 0.0)) == [(0.0, 5.0)]


def test_no_event_ends_after_its_video() -> None:
    assert timed((0, 0.0, 0.9), (12, 0.5, 0.9), duration_s=0.6) == [(0.0, 0.6)]


def test_min_frames() -> None:
    settings = EventSettings(min_frames=2)
    assert spans([0.1, 0.9, 0.1, 0.1, 0.9, 0.6, 0.1], settings=settings) == [("/0", 2.0, 3.0)]
    assert spans([0.9, 0.1, 0.9], settings=EventSettings(min_frames=3)) == [("/0", 0.0, 1.5)], "a gap counts as well"
    assert spans([0.9, 0.1, 0.9], settings=EventSettings(min_frames=4)) == []


def test_settings_mean_the_same_seconds_at_double_the_rate() -> None:
    usual, double = EventSettings(max_gap_frames=1, min_frames=2), EventSettings(max_gap_frames=3, min_frames=3)
    assert usual.at_rate(2) == double
    assert usual.at_rate(1) == usual


@pytest.mark.parametrize(
    "values", [{"release_ratio": 0.0}, {"release_ratio": 1.1}, {"max_gap_frames": -1}, {"min_frames": 0}]
)
def test_settings_out_of_range_are_refused(values: dict) -> None:
    with pytest.raises(UsageError, match=f"{next(iter(values))} is .*; give"):
        EventSettings(**values)

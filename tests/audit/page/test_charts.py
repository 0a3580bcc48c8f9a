"""Where the lines and blocks of the page's charts lie."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.audit.page.charts import (
    MAX_NIGHTS,
    MAX_STEPS,
    PANEL_BOTTOM,
    PANEL_HEIGHT,
    PANEL_LEFT,
    PANEL_RIGHT,
    PANEL_TOP,
    PANEL_WIDTH,
    Panel,
    Timeline,
    nice_top,
    panel,
    timeline,
)
from artifactscan.labels import LABELS
from artifactscan.schemas import FRAMES

BOTTOM, RIGHT = PANEL_HEIGHT - PANEL_BOTTOM, PANEL_WIDTH - PANEL_RIGHT
THRESHOLDS = dict.fromkeys(LABELS, 0.5)


def trend(*rates: float | None, limit: float | None = None, half: float | None = 0.02) -> Panel:
    """Of nights 1, 2, … with these rates; those but the first are the baseline."""
    rows = [
        {
            "night": f"202605{n:02d}T010000Z-00000000" if n < 32 else f"night-{n}",
            "videos": 500,
            "rate": rate,
            "rate_low": None if rate is None or half is None else rate - half,
            "rate_high": None if rate is None or half is None else rate + half,
        }
        for n, rate in enumerate(rates, 1)
    ]
    return panel(rows, label="motion", baseline=[row["night"] for row in rows[1:-1]], limit=limit)


def height_of(rate: float, *, top: float) -> float:
    return round(PANEL_TOP + (BOTTOM - PANEL_TOP) * (1 - rate / top), 1)


def test_a_trend_runs_from_left_to_right_on_a_scale_from_0() -> None:
    drawn = trend(0.10, 0.08, 0.18)
    middle = (PANEL_LEFT + RIGHT) / 2
    heights = [height_of(rate, top=0.2) for rate in (0.10, 0.08, 0.18)]
    assert drawn.line == f"M{PANEL_LEFT} {heights[0]:g}L{middle:g} {heights[1]:g}L{RIGHT} {heights[2]:g}"
    assert [mark.kind for mark in drawn.marks] == ["other", "baseline", "tonight"]
    assert drawn.marks[-1].title == "2026-05-03 01:00: 18.0 % (16.0–20.0) of 500 videos"
    assert drawn.ticks == ((BOTTOM, "0 %"), ((PANEL_TOP + BOTTOM) / 2, "10 %"), (PANEL_TOP, "20 %"))
    assert (drawn.first_night, drawn.last_night) == ("2026-05-01", "2026-05-03")
    assert drawn.summary == "motion: 18.0 % (16.0–20.0) of videos tonight; 2 nights before: 8.0 % to 10.0 %"


def test_a_night_without_videos_is_a_gap() -> None:
    drawn = trend(0.1, None, 0.1, 0.1)
    assert [line.count("L") for line in drawn.line.split("M")[1:]] == [0, 1]
    assert len(drawn.marks) == 3
    assert drawn.band.count("Z") == 2


def test_one_night_stands_in_the_middle_with_its_interval() -> None:
    drawn = trend(0.1)
    [mark] = drawn.marks
    assert mark.x == (PANEL_LEFT + RIGHT) / 2
    high, low = height_of(0.12, top=0.15), height_of(0.08, top=0.15)
    assert drawn.band == f"M165 {high}L171 {high}L171 {low}L165 {low}Z"
    assert drawn.last_night == ""


def test_a_limit_has_headroom_and_a_text() -> None:
    drawn = trend(0.01, 0.01, limit=0.4)
    assert drawn.limit_y == height_of(0.4, top=0.5)
    assert drawn.limit == "limit 40.0 %"
    assert drawn.summary.endswith("the policy's limit is 40.0 %")


def test_no_videos_tonight() -> None:
    assert trend(0.1, None).tonight == "no videos"
    assert trend(None).line == ""


def test_only_the_latest_nights_are_shown() -> None:
    assert len(trend(*[0.1] * (MAX_NIGHTS + 5)).marks) == MAX_NIGHTS


@given(st.floats(0, 1))
def test_the_scale_s_top_is_at_or_above_the_highest_rate(highest: float) -> None:
    top = nice_top(highest)
    assert highest * (1 - 1e-9) <= top <= 1
    assert top <= max(0.001, 2 * highest)


@given(st.lists(st.none() | st.floats(0.02, 0.98), min_size=1, max_size=70), st.none() | st.floats(0, 1))
def test_everything_lies_within_the_panel(rates: list[float | None], limit: float | None) -> None:
    drawn = trend(*rates, limit=limit)
    for mark in drawn.marks:
        assert PANEL_LEFT <= mark.x <= RIGHT and PANEL_TOP <= mark.y <= BOTTOM
    if limit is not None:
        assert drawn.limit_y is not None and PANEL_TOP <= drawn.limit_y <= BOTTOM
    assert len(drawn.marks) == sum(rate is not None for rate in rates[-MAX_NIGHTS:])


def strips(
    scores: list[float], *events: tuple[float, float], duration_s: float | None = 4.0, step_s: float = 0.5
) -> Timeline:
    """Of a video whose ``motion`` has these scores; the other labels have 0."""
    frames = pa.Table.from_pylist(
        [
            {"video_id": "v", "uri": "u", "frame_index": n, "pts_s": step_s * n}
            | {f"p_{label}": score if label == "motion" else 0.0 for label in LABELS}
            for n, score in enumerate(scores)
        ],
        FRAMES,
    )
    rows: list[dict[str, Any]] = [
        {"label": "motion", "start_s": start, "end_s": end, "peak": 0.9, "peak_frame": 0} for start, end in events
    ]
    return timeline(frames, rows, THRESHOLDS, duration_s=duration_s)


def motion(drawn: Timeline) -> Any:
    return drawn.strips[LABELS.index("motion")]


def test_a_score_holds_until_the_next_frame() -> None:
    drawn = strips([0.1, 0.9, 0.2], (0.5, 1.0), duration_s=2.0)
    strip = motion(drawn)
    assert strip.line == "M0 90H250V10H500V80H1000"
    assert strip.area == "M0 90H250V10H500V80H1000V100H0Z"
    assert strip.threshold_y == 50
    [block] = strip.blocks
    assert (block.x, block.width, block.start_s, block.end_s) == (250, 250, 0.5, 1.0)
    assert block.title == "motion 0.5 s to 1.0 s, peak 0.90"
    assert strip.summary == "motion: peak 0.90, events 0.5 s to 1.0 s"
    assert [one.label for one in drawn.strips] == list(LABELS)
    assert drawn.ticks == ((0.0, "0 s"), (0.25, "0.5 s"), (0.5, "1 s"), (0.75, "1.5 s"), (1.0, "2 s"))


def test_one_frame_fills_the_strip() -> None:
    assert motion(strips([0.7], duration_s=None)).line == "M0 30H1000"


def test_no_frames() -> None:
    drawn = strips([])
    assert drawn.duration_s == 4.0
    assert motion(drawn).line == ""
    assert motion(drawn).summary == "motion: no scores, no event"


@pytest.mark.parametrize(
    ("duration_s", "events", "end"), [(None, (), 1.5), (9.0, (), 9.0), (1.0, ((0.5, 3.0),), 3.0), (0.2, (), 1.0)]
)
def test_the_axis_ends_at_the_last_event_frame_or_end_of_video(
    duration_s: float | None, events: tuple, end: float
) -> None:
    assert strips([0.1, 0.2, 0.3], *events, duration_s=duration_s).duration_s == pytest.approx(end)


def test_a_long_video_keeps_its_peaks() -> None:
    scores = [0.1] * 7200
    scores[5001] = 0.99
    line = motion(strips(scores, duration_s=3600.0)).line
    assert line.count("H") <= MAX_STEPS
    assert "V1H" in line
    assert strips(scores, duration_s=3600.0).ticks[1] == (pytest.approx(1000 / 3600, abs=1e-3), "16:40")


@given(
    st.lists(st.floats(0, 1, width=32), min_size=1, max_size=40),
    st.none() | st.floats(0.01, 50),
    st.floats(0.05, 3),
)
def test_times_are_within_the_strip(scores: list[float], duration_s: float | None, step_s: float) -> None:
    drawn = strips(scores, (0.0, 0.5), duration_s=duration_s, step_s=step_s)
    for share, _ in drawn.ticks:
        assert 0 <= share <= 1
    assert len(drawn.ticks) <= 6
    [block] = motion(drawn).blocks
    assert block.x >= 0 and block.x + block.width <= 1000.1

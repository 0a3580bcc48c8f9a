"""Chapters of a clip: their times and texts, and that they are nested however events overlap."""

import re
from dataclasses import replace
from itertools import combinations

from exported import scored_video
from hypothesis import given
from hypothesis import strategies as st

from artifactscan.export.events.scored_video import ScoredEvent
from artifactscan.export.events.webvtt import nested_cues, write_chapters
from artifactscan.labels import LABELS

TIMING = re.compile(r"^(\d\d+):(\d\d):(\d\d)\.(\d{3}) --> (\d\d+):(\d\d):(\d\d)\.(\d{3})$", re.MULTILINE)


def event(label: str, start_s: float, end_s: float, peak: float = 0.9) -> ScoredEvent:
    return ScoredEvent(label, start_s, end_s, peak, 0, 0, 0)


def cues(*events: ScoredEvent) -> list[tuple[int, int, str]]:
    return [(start, end, event.label) for start, end, event in nested_cues(events)]


def test_a_chapter_for_each_event() -> None:
    text = write_chapters(scored_video({"motion": [0.1, 0.9, 0.1]}), scorer="resnet50-01234567").decode()
    assert text == (
        "WEBVTT\n\nNOTE day/a.mp4, scored by resnet50-01234567\n\n00:00:00.500 --> 00:00:01.000\nmotion 0.90\n"
    )


def test_a_clip_without_events_has_no_chapter() -> None:
    assert write_chapters(scored_video({"motion": [0.1]}), scorer="s").decode() == (
        "WEBVTT\n\nNOTE day/a.mp4, scored by s\n"
    )


def test_hours_and_events_without_length() -> None:
    video = scored_video({"motion": [0.1]})
    long = write_chapters(
        type(video)(
            **{**vars(video), "events": (event("motion", 3600.0, 3600.0), event("object", 360_000.0, 360_001.0))}
        ),
        scorer="s",
    ).decode()
    assert re.findall(r".* --> .*", long) == [
        "01:00:00.000 --> 01:00:00.001",
        "100:00:00.000 --> 100:00:01.000",
    ]


def test_events_within_and_after_each_other_stay_as_they_are() -> None:
    assert cues(event("motion", 0, 4), event("object", 1, 2), event("texture", 4, 5)) == [
        (0, 4000, "motion"),
        (1000, 2000, "object"),
        (4000, 5000, "texture"),
    ]


def test_an_event_that_outlasts_the_one_it_begins_in_splits_that_one() -> None:
    assert cues(event("motion", 0, 2), event("object", 1, 3)) == [
        (0, 1000, "motion"),
        (1000, 3000, "object"),
        (1000, 2000, "motion"),
    ]


@given(
    st.lists(
        st.tuples(st.sampled_from(LABELS), st.integers(0, 20), st.integers(0, 8)).map(
            lambda one: event(one[0], one[1] / 2, (one[1] + one[2]) / 2)
        ),
        max_size=12,
    )
)
def test_cues_are_nested_and_show_what_there_is_at_every_moment(events: list[ScoredEvent]) -> None:
    found = list(nested_cues(events))
    for (start, end, _), (other_start, other_end, _) in combinations(found, 2):
        apart = end <= other_start or other_end <= start
        one_in_other = (start <= other_start and other_end <= end) or (other_start <= start and end <= other_end)
        assert apart or one_in_other
    assert [cue[0] for cue in found] == sorted(cue[0] for cue in found)
    assert all(end > start for start, end, _ in found)
    for moment in range(0, 15_000, 250):
        shown = sorted(event.label for start, end, event in found if start <= moment < end)
        there = [one for one in events if one.start_s * 1000 <= moment < one.end_s * 1000]
        short = [one for one in events if one.start_s == one.end_s and one.start_s * 1000 == moment]
        assert shown == sorted(one.label for one in [*there, *short])


@given(st.text(min_size=1, max_size=30), st.text(max_size=10))
def test_names_neither_end_a_comment_nor_begin_a_cue(file: str, label: str) -> None:
    video = scored_video({"motion": [0.1]})
    hostile = replace(video, file=f"{file}\n\n00:00.000 --> 00:09.000\n{file}", events=())
    text = write_chapters(hostile, scorer=f"{label}\r\n\r\n00:00.000 --> 00:01.000").decode()
    assert "-->" not in text and text.count("\n") == 3 and "\r" not in text
    shown = write_chapters(replace(video, events=(event(f"<b>{label}-->&\n", 0, 1),)), scorer="s").decode()
    assert len(TIMING.findall(shown)) == shown.count("-->") == 1
    assert "<b>" not in shown and shown.count("\n") == 6

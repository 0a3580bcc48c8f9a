"""One row per video of a night's runs."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parts import THRESHOLDS
from scored_runs import FPS, motion, write_run

from artifactscan.audit.arrivals import _summary, count_statuses, gather_arrivals, regroup, uncounted_runs
from artifactscan.audit.night_tables import ARRIVALS
from artifactscan.audit.video_groups import Grouping
from artifactscan.errors import LedgerError
from artifactscan.labels import LABELS
from artifactscan.schemas import EVENTS, FRAMES
from artifactscan.scoring.events import EventSettings, find_events
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

GENERATOR = Grouping(pattern="{generator}")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


def arrivals_of(store: Store, *runs: RunRecord, thresholds: dict[str, float] = THRESHOLDS) -> tuple[pa.Table, pa.Table]:
    return gather_arrivals(
        store,
        runs,
        corpus="/c/",
        grouping=GENERATOR,
        thresholds=thresholds,
        sample_fps=FPS,
        events=EventSettings(),
    )


def test_a_video_s_row_says_what_its_frames_and_events_say(store: Store) -> None:
    run = write_run(
        store, "run1", {"/c/sora/a.mp4": {"motion": [0.1, 0.9, 0.9, 0.1, 0.1, 0.1, 0.6], "texture": [0.2] * 7}}
    )
    arrivals, events = arrivals_of(store, run)
    assert arrivals.schema.equals(ARRIVALS)
    assert events.schema.equals(EVENTS)
    [row] = arrivals.to_pylist()
    assert (row["path"], row["groups"], row["outcome"], row["frames"]) == (
        "sora/a.mp4",
        ["generator=sora"],
        "scored",
        7,
    )
    assert row["duration_s"] == 3.5
    assert (row["events_motion"], row["event_s_motion"]) == (2, pytest.approx(1.5))
    assert (row["frames_over_motion"], row["peak_frame_motion"], row["peak_s_motion"]) == (3, 1, 0.5)
    assert row["peak_motion"] == pytest.approx(0.9)
    assert (row["events_texture"], row["event_s_texture"], row["frames_over_texture"]) == (0, 0.0, 0)
    assert row["peak_texture"] == pytest.approx(0.2)
    assert [(event["label"], event["start_s"], event["end_s"]) for event in events.to_pylist()] == [
        ("motion", 0.5, 1.5),
        ("motion", 3.0, 3.5),
    ]


def test_other_thresholds_make_other_events_of_the_same_scores(store: Store) -> None:
    run = write_run(store, "run1", {"/c/sora/a.mp4": motion(0.1, 0.55, 0.1)})
    assert arrivals_of(store, run)[0]["events_motion"].to_pylist() == [1]
    assert arrivals_of(store, run, thresholds={**THRESHOLDS, "motion": 0.6})[0]["events_motion"].to_pylist() == [0]


def test_a_video_without_a_score_has_no_frames_and_says_why(store: Store) -> None:
    run = write_run(store, "run1", {"/c/sora/a.mp4": "undecodable", "/c/b.mp4": motion(0.9)})
    arrivals, _ = arrivals_of(store, run)
    top, bad = arrivals.to_pylist()
    assert (bad["outcome"], bad["reason"], bad["frames"], bad["events_motion"]) == ("undecodable", "it is broken", 0, 0)
    assert bad["peak_motion"] is None
    assert (top["path"], top["groups"]) == ("b.mp4", ["generator=none"])


def test_of_a_video_in_two_runs_the_last_counts(store: Store) -> None:
    first = write_run(store, "run1", {"/c/s/a.mp4": "unreadable", "/c/s/b.mp4": motion(0.9)})
    second = write_run(store, "run2", {"/c/s/a.mp4": motion(0.7)}, settled={"/c/s/b.mp4": "run1"})
    arrivals, events = arrivals_of(store, first, second)
    assert [(row["path"], row["outcome"]) for row in arrivals.to_pylist()] == [
        ("s/a.mp4", "scored"),
        ("s/b.mp4", "scored"),
    ]
    assert events.num_rows == 2


def test_no_run_no_arrivals(store: Store) -> None:
    arrivals, events = arrivals_of(store)
    assert arrivals.schema.equals(ARRIVALS)
    assert (arrivals.num_rows, events.num_rows) == (0, 0)


def test_a_run_that_only_failed(store: Store) -> None:
    arrivals, events = arrivals_of(store, write_run(store, "run1", {"/c/s/a.mp4": "crashed"}))
    assert (arrivals["frames"].to_pylist(), events.num_rows) == ([0], 0)


@pytest.mark.parametrize("table", ["frames", "videos"])
@pytest.mark.parametrize("how", ["gone", "cut off"])
def test_a_damaged_run_is_named(store: Store, table: str, how: str) -> None:
    run = write_run(store, "run1", {"/c/s/a.mp4": motion(0.9)})
    [file] = Path(store.root, table, "run=run1").iterdir()
    if how == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(LedgerError, match=f"{table}/run=run1 is not what run run1 wrote .*restore it"):
        arrivals_of(store, run)


def test_arrivals_can_be_regrouped(store: Store) -> None:
    arrivals, _ = arrivals_of(store, write_run(store, "run1", {"/c/sora/v2/a.mp4": motion(0.9)}))
    again = regroup(arrivals, Grouping(pattern="{model}/{version}"))
    assert again.schema.equals(ARRIVALS)
    assert again["groups"].to_pylist() == [["model=sora", "version=v2"]]


def test_a_video_that_stays_unreadable_does_not_arrive_again(store: Store) -> None:
    first = write_run(store, "run1", {"/c/s/a.mp4": "unreadable", "/c/s/b.mp4": motion(0.9)})
    again = write_run(store, "run2", {"/c/s/a.mp4": "unreadable", "/c/s/c.mp4": "unreadable"}, again=["/c/s/a.mp4"])
    assert arrivals_of(store, first)[0]["path"].to_pylist() == ["s/a.mp4", "s/b.mp4"]
    assert arrivals_of(store, again)[0]["path"].to_pylist() == ["s/c.mp4"]
    assert count_statuses(store, [first, again]) == {"new": 3, "again": 1}


def test_a_video_that_becomes_readable_arrives(store: Store) -> None:
    again = write_run(store, "run2", {"/c/s/a.mp4": motion(0.9)}, again=["/c/s/a.mp4"])
    assert arrivals_of(store, again)[0]["outcome"].to_pylist() == ["scored"]


def test_runs_that_no_night_has_counted(store: Store) -> None:
    runs = [write_run(store, f"run{n}", {f"/c/{n}.mp4": motion(0.1)}) for n in range(3)]
    assert [run.run for run in uncounted_runs(runs, ["run0", "gone"])] == ["run1", "run2"]


SCORES = st.lists(st.lists(st.sampled_from([0.0, 0.3, 0.45, 0.5, 0.9]), min_size=1, max_size=9), min_size=1, max_size=6)


@given(SCORES, st.randoms())
def test_the_summary_is_that_of_each_video_by_itself(videos: list[list[float]], random) -> None:
    names = [f"/{number}" for number in range(len(videos))]
    random.shuffle(names)
    rows = [
        {"video_id": name, "uri": name, "frame_index": n, "pts_s": n / 2, **{f"p_{label}": p for label in LABELS}}
        for name, scores in sorted(zip(names, videos, strict=True))
        for n, p in enumerate(scores)
    ]
    frames = pa.Table.from_pylist(rows, FRAMES)
    summary = {
        row["video_id"]: row
        for row in _summary(frames, find_events(frames, THRESHOLDS, sample_fps=FPS), THRESHOLDS).to_pylist()
    }
    for name, scores in zip(names, videos, strict=True):
        one = frames.filter(pa.compute.equal(frames["uri"], name))
        events = find_events(one, THRESHOLDS, sample_fps=FPS).to_pylist()
        row = summary[name]
        mine = [event for event in events if event["label"] == "object"]
        assert row["frames"] == len(scores)
        assert row["events_object"] == len(mine)
        assert row["event_s_object"] == pytest.approx(sum(event["end_s"] - event["start_s"] for event in mine))
        assert row["frames_over_object"] == sum(p >= 0.5 for p in scores)
        assert row["peak_frame_object"] == scores.index(max(scores))

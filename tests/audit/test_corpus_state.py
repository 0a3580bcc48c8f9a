"""The corpus as it stands, its quarantine, and what is due for another try."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from parts import THRESHOLDS
from scored_runs import motion, write_run

from artifactscan.audit.corpus_state import (
    count_outcomes,
    current_ledger,
    due_for_retry,
    flagged_shares,
    quarantined,
    run_time,
    tried_video_ids,
)
from artifactscan.corpus.listed_object import video_id
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord

FIRST, SECOND = "20260101T030000Z-aaaaaaaa", "20260102T030000Z-bbbbbbbb"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path))


@pytest.fixture
def runs(store: Store) -> list[RunRecord]:
    """Night one: /a, /b and the broken /x and /gone; night two: /a again with other bytes, /c, and no /gone."""
    first = write_run(store, FIRST, {"/a": motion(0.9), "/b": motion(0.1), "/x": "undecodable", "/gone": "crashed"})
    second = write_run(
        store,
        SECOND,
        {"/a": motion(0.2), "/c": motion(0.6), "/y": "unreadable"},
        etags={"/a": "2"},
        settled={"/b": FIRST, "/x": FIRST},
    )
    return [first, second]


def test_each_listed_video_has_its_last_outcome(store: Store, runs: list[RunRecord]) -> None:
    table = current_ledger(store, runs, runs[-1])
    rows = {row["uri"]: row for row in table.to_pylist()}
    assert {uri: (row["outcome"], row["run"]) for uri, row in rows.items()} == {
        "/a": ("scored", SECOND),
        "/b": ("scored", FIRST),
        "/c": ("scored", SECOND),
        "/x": ("undecodable", FIRST),
        "/y": ("unreadable", SECOND),
    }
    assert rows["/a"]["etag"] == "2"
    assert count_outcomes(table) == {"scored": 3, "undecodable": 1, "unreadable": 1}
    assert flagged_shares(table, THRESHOLDS) == {
        "boundary": 0.0,
        "texture": 0.0,
        "motion": pytest.approx(1 / 3),
        "object": 0.0,
    }
    assert flagged_shares(table, {**THRESHOLDS, "motion": 0.2})["motion"] == pytest.approx(2 / 3)


def test_a_store_without_runs_has_no_videos(store: Store) -> None:
    table = current_ledger(store, [], None)
    assert (table.num_rows, count_outcomes(table), flagged_shares(table, THRESHOLDS)) == (0, {}, {})
    assert quarantined(table).num_rows == 0
    assert tried_video_ids(store).to_pylist() == []


def test_of_a_video_tried_twice_the_last_outcome_stands(store: Store) -> None:
    runs = [write_run(store, FIRST, {"/a": "crashed"}), write_run(store, SECOND, {"/a": motion(0.5)})]
    assert [(row["outcome"], row["run"]) for row in current_ledger(store, runs, runs[-1]).to_pylist()] == [
        ("scored", SECOND)
    ]


def test_what_failed_by_its_bytes_is_quarantined_until_it_changes(store: Store, runs: list[RunRecord]) -> None:
    assert quarantined(current_ledger(store, runs, runs[-1]))["uri"].to_pylist() == ["/x"]
    assert sorted(quarantined(current_ledger(store, runs, runs[0]))["uri"].to_pylist()) == ["/gone", "/x"]


def test_a_failed_video_is_due_once_after_the_stated_time(store: Store, runs: list[RunRecord]) -> None:
    failed = quarantined(current_ledger(store, runs, runs[-1]))
    nobody, week = pa.array([], pa.string()), timedelta(days=7)
    just_before, then = datetime(2026, 1, 8, 2, 59, tzinfo=UTC), datetime(2026, 1, 8, 3, tzinfo=UTC)
    assert due_for_retry(failed, nobody, after=week, now=just_before).num_rows == 0
    assert due_for_retry(failed, nobody, after=week, now=then)["uri"].to_pylist() == ["/x"]
    assert due_for_retry(failed, pa.array([video_id("/x", "1")]), after=week, now=then).num_rows == 0
    assert due_for_retry(failed, pa.array([video_id("/x", "2")]), after=week, now=then)["uri"].to_pylist() == ["/x"]


def test_what_could_not_be_read_was_not_tried(store: Store, runs: list[RunRecord]) -> None:
    versions = (("/a", "1"), ("/a", "2"), ("/b", "1"), ("/c", "1"), ("/gone", "1"), ("/x", "1"))
    assert sorted(tried_video_ids(store).to_pylist()) == sorted(video_id(uri, etag) for uri, etag in versions)


def test_the_time_of_a_run_is_in_its_id() -> None:
    assert run_time(FIRST) == datetime(2026, 1, 1, 3, tzinfo=UTC)

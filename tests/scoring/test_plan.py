"""The plan: what is new, changed, tried again, settled or gone."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parts import attempt, failure, manifest_row, record, settle_run, write_manifest, write_part

from artifactscan.schemas import LISTING
from artifactscan.scoring.plan import Plan, load_settled_videos, make_plan, without_frames
from artifactscan.store.layout import Store
from artifactscan.store.versions import NOT_INSTALLED


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in which run1 scored /kept and /edited, failed on /broken, and could not read /locked."""
    store = Store(str(tmp_path / "store"))
    rows = [manifest_row(uri) for uri in ("/kept", "/edited", "/broken", "/locked", "/gone")]
    write_manifest(store, "run1", rows)
    scored = [row for uri in ("/kept", "/edited", "/gone") for row in attempt(uri, [4])]
    write_part(store, "run1", "one", [*scored, failure("/broken"), failure("/locked", "unreadable")])
    settle_run(store, "run1")
    store.commit(record("run1"))
    return store


def listing(**etags: str) -> Iterator[pa.RecordBatch]:
    rows = [manifest_row(f"/{name}", etag) for name, etag in etags.items()]
    yield pa.RecordBatch.from_pylist([{name: row[name] for name in LISTING.names} for row in rows], schema=LISTING)


def plan_for(store: Store, tmp_path: Path, etags: dict[str, str], **asked: Any) -> tuple[Plan, dict[str, str]]:
    """The plan, and uri → status of the manifest."""
    request = {"spec": "spec", "scope": "scope", "limits": "limits", "retry_failed": False, **asked}
    manifest = tmp_path / "manifest.parquet"
    settled = load_settled_videos(store, store.committed(), **request)
    plan = make_plan(listing(**etags), settled, manifest, sample_fps=2.0)
    rows = pq.read_table(manifest).to_pylist()
    return plan, {row["uri"]: row["status"] for row in rows}


def test_every_status(store: Store, tmp_path: Path) -> None:
    etags = {"kept": "1", "edited": "2", "broken": "1", "locked": "1", "new": "1"}
    plan, status = plan_for(store, tmp_path, etags)
    assert status == {
        "/kept": "settled",
        "/edited": "changed",
        "/broken": "settled",
        "/locked": "again",
        "/new": "new",
        "/gone": "removed",
    }
    assert (plan.new, plan.changed, plan.again, plan.settled, plan.removed) == (1, 1, 1, 2, 1)
    assert (plan.listed, plan.to_do, plan.bytes_to_read) == (5, 3, 3000)
    assert plan.expected_frames == 12, "four frames per thousand bytes, as run1 found"
    assert without_frames(plan.settled_outcomes) == 1
    assert not plan.nothing_new


def test_nothing_new(store: Store, tmp_path: Path) -> None:
    same = {"kept": "1", "edited": "1", "broken": "1", "gone": "1"}
    plan, _ = plan_for(store, tmp_path, {**same, "locked": "1"})
    assert not plan.nothing_new, "what could not be read is tried again"
    plan, _ = plan_for(store, tmp_path, same, scope="another listing")
    assert (plan.to_do, plan.removed) == (0, 0)
    assert not plan.nothing_new, "no run says so much of this listing yet"


def test_failures_are_settled_only_under_the_same_limits(store: Store, tmp_path: Path) -> None:
    for asked in ({"limits": "larger"}, {"retry_failed": True}):
        _, status = plan_for(store, tmp_path, {"kept": "1", "broken": "1"}, **asked)
        assert (status["/kept"], status["/broken"]) == ("settled", "again")


def test_what_failed_without_decord_is_tried_again_where_it_is(store: Store, tmp_path: Path) -> None:
    etags = {"kept": "1", "broken": "1"}
    _, status = plan_for(store, tmp_path, etags, both_decoders=True)
    assert status["/broken"] == "settled", "run1 does not say that it lacked one"
    store.commit(replace(record("run1"), versions={"decord": NOT_INSTALLED}))
    for both, wanted in ((True, "again"), (False, "settled")):
        _, status = plan_for(store, tmp_path, etags, both_decoders=both)
        assert (status["/kept"], status["/broken"]) == ("settled", wanted)


def test_runs_of_another_spec_settle_nothing(store: Store, tmp_path: Path) -> None:
    plan, status = plan_for(store, tmp_path, {"kept": "1", "broken": "1"}, spec="another checkpoint")
    assert status == {"/kept": "new", "/broken": "new"}
    assert plan.removed == 0
    assert plan.expected_frames == round(2000 * 12 / 1e6)

"""Nights: committed last, read back as they were, refused where they cannot be."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from nights import FIRST, SECOND, a_night

from artifactscan.audit.audit_store import AuditStore, new_night_id
from artifactscan.audit.night_tables import SAMPLING
from artifactscan.errors import UsageError


@pytest.fixture
def store(tmp_path: Path) -> AuditStore:
    return AuditStore(str(tmp_path))


def rows(count: int) -> pa.Table:
    return pa.Table.from_pylist([{"label": "motion", "videos": 1, "events": 1, "missed": 0}] * count, SAMPLING)


def test_a_committed_night_is_read_back(store: AuditStore) -> None:
    night = a_night(tables=store.write_tables(FIRST, {"sampling": rows(2)}))
    assert store.nights() == []
    store.commit(night)
    assert store.nights() == [night]
    assert store.table(night, "sampling", SAMPLING).num_rows == 2


def test_tables_written_anew_take_the_place_of_the_old_when_committed(store: AuditStore) -> None:
    night = a_night(tables=store.write_tables(FIRST, {"sampling": rows(1)}))
    store.commit(night)
    fresh = replace(night, tables=store.write_tables(FIRST, {"sampling": rows(5)}))
    assert store.table(store.nights()[0], "sampling", SAMPLING).num_rows == 1, "until the commit the old ones count"
    store.commit(fresh)
    assert store.table(store.nights()[0], "sampling", SAMPLING).num_rows == 5
    assert sorted(path.name for path in Path(store.folder(FIRST)).iterdir()) == sorted(["night.json", fresh.tables])


def test_what_a_cut_off_audit_left_is_removed_and_nothing_else(store: AuditStore) -> None:
    store.write_tables(SECOND, {"sampling": rows(1)})
    store.commit(a_night())
    store.discard_uncommitted(store.nights())
    assert [path.name for path in Path(store.root, "nights").iterdir()] == [FIRST]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "night.json is damaged .*restore it, or remove its folder"),
        ("[]", "night.json is damaged"),
        ('{"night_version": 1}', "night.json is damaged"),
        ('{"night_version": 2}', "has version 2, this artifactscan reads 1; use the version that wrote it"),
    ],
)
def test_a_night_that_cannot_be_read_is_named(store: AuditStore, text: str, why: str) -> None:
    Path(store.folder(FIRST)).mkdir(parents=True)
    Path(store.night_json(FIRST)).write_text(text)
    with pytest.raises(UsageError, match=why):
        store.nights()


def test_a_field_of_another_version_is_damage_not_a_traceback(store: AuditStore) -> None:
    store.commit(a_night())
    values = json.loads(Path(store.night_json(FIRST)).read_text())
    Path(store.night_json(FIRST)).write_text(json.dumps({**values, "surprise": 1}))
    with pytest.raises(UsageError, match=r"damaged .*surprise"):
        store.nights()


def test_a_table_that_is_gone_or_cut_off_is_named(store: AuditStore) -> None:
    night = a_night(tables=store.write_tables(FIRST, {"sampling": rows(1)}))
    file = Path(store.folder(FIRST), night.tables, "sampling.parquet")
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(UsageError, match=r"sampling\.parquet cannot be read .*`artifactscan report --anew`"):
        store.table(night, "sampling", SAMPLING)
    with pytest.raises(UsageError, match=r"cells\.parquet cannot be read"):
        store.table(night, "cells", SAMPLING)


def test_a_clock_that_went_back_is_refused() -> None:
    assert new_night_id([a_night()]) > FIRST
    future = a_night("29990101T030000Z-aaaaaaaa", started="2999-01-01T03:00:00+00:00")
    with pytest.raises(UsageError, match=r"the clock says .* but the store's last night began 2999-01-01T03:00:00"):
        new_night_id([a_night(), future])


def test_a_scoring_store_is_no_audit_s(store: AuditStore, tmp_path: Path) -> None:
    store.check("/corpus")
    (tmp_path / "runs").mkdir()
    with pytest.raises(UsageError, match="is a scoring store; give the audit a folder of its own"):
        store.check("/corpus")


@pytest.mark.parametrize(
    ("root", "corpus", "inside"),
    [
        ("/c/audit", "/c", True),
        ("/c", "/c/", True),
        ("s3://b/audit", "s3://b/", True),
        ("/cc", "/c", False),
        ("/audit", "/audit/../videos", False),
        ("/c", "/c/videos", False),
    ],
)
def test_a_store_in_the_corpus_would_score_its_own_clips(root: str, corpus: str, inside: bool) -> None:
    if inside:
        with pytest.raises(UsageError, match="lies in the corpus"):
            AuditStore(root).check(corpus)
    else:
        AuditStore(root).check(corpus)

"""What a night's page is made from: the nights before it."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from reports import make_report

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import EXIT_FAIL, Night
from artifactscan.audit.night_tables import ALL, PICTURES
from artifactscan.audit.write_pages import TREND_NIGHTS, build_report
from artifactscan.errors import UsageError


def write_nights(store: AuditStore, count: int) -> list[Night]:
    """``count`` nights in a row with the same tables, in all of which motion has risen."""
    report = make_report(videos=20, worst=0, code=EXIT_FAIL)
    names = ("arrivals", "events", "cells", "canaries", "sampling", "prevalence")
    tables = {name: getattr(report, name) for name in names} | {"pictures": PICTURES.empty_table()}
    nights = []
    for day in range(count):
        name = f"{datetime(2026, 1, 1) + timedelta(days=day):%Y%m%dT%H%M%SZ}-{day:08x}"
        settings = {**report.night.settings, "worst_videos": 0, "link_life_h": 1}
        night = replace(report.night, night=name, runs=(), settings=settings, tables=store.write_tables(name, tables))
        store.commit(night)
        nights.append(night)
    return nights


@pytest.fixture
def store(tmp_path: Path) -> AuditStore:
    return AuditStore(str(tmp_path))


def test_an_earlier_night_whose_policy_cannot_be_read_has_an_unknown_trend(store: AuditStore) -> None:
    first, second, tonight = write_nights(store, 3)
    second = replace(second, policy={**second.policy, "from_a_newer_version": 1})
    report = build_report(store, tonight, [first, second])
    risen = {
        row["night"]: row["risen"]
        for row in report.trends.to_pylist()
        if row["group"] == ALL and row["label"] == "motion"
    }
    assert risen == {first.night: True, second.night: None, tonight.night: True}
    with pytest.raises(UsageError, match="from_a_newer_version"):
        build_report(store, second, [first])


def test_the_history_goes_back_further_than_the_trends(store: AuditStore) -> None:
    *earlier, tonight = write_nights(store, TREND_NIGHTS + 5)
    report = build_report(store, tonight, earlier)
    assert list(report.history) == earlier
    assert len(set(report.trends["night"].to_pylist())) == TREND_NIGHTS

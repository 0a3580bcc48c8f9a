"""Nights of an audit as runs for MLflow."""

from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest
from reports import make_report

from artifactscan.audit.audit_store import AuditStore
from artifactscan.audit.night import EXIT_FAIL, Verdict
from artifactscan.audit.night_tables import ALL
from artifactscan.audit.tracked_nights import MOST_NIGHTS, tracked_nights
from artifactscan.errors import UsageError
from artifactscan.labels import LABELS


def test_a_night_is_a_run_with_its_figures(tmp_path: Path) -> None:
    report, store = make_report(videos=40, worst=0, code=EXIT_FAIL), AuditStore(str(tmp_path))
    folder = store.write_tables(report.night.night, {"cells": report.cells, "canaries": report.canaries})
    verdict = Verdict(code=EXIT_FAIL, headline="Worse than before: motion rose.")
    night = replace(
        report.night,
        tables=folder,
        verdict=verdict,
        started="2026-01-01T03:00:00+00:00",
        finished="2026-01-01T03:10:30+00:00",
    )
    source, [run] = tracked_nights(store, [night])
    assert (run.id, run.name) == (night.night, f"audit {night.night}")
    values = run.read_values()
    found = {point.name: point.value for point in values.points}
    assert (found["exit_code"], found["seconds"]) == (1, 630)
    for cell in report.cells.to_pylist():
        if cell["group"] == ALL:
            label = cell["label"]
            told = (found[f"rate/{label}"], found[f"rate/{label}/low"], found[f"rate/{label}/high"])
            assert told == (cell["rate"], cell["rate_low"], cell["rate_high"])
    assert [found[f"standing_rate/{label}"] for label in LABELS] == [0.21, 0.13, 0.17, 0.09]
    assert {
        name.removeprefix("outcome/"): found[name] for name in found if name.startswith("outcome/")
    } == night.outcomes
    assert found["standing_outcome/timed_out"] == 5
    assert found["count/listed"] == night.counts["listed"]
    assert found["canary_shift"] == pc.max(report.canaries["shift"]).as_py()
    assert (values.started_s, values.ended_s) == (1767236400.0, 1767237030.0)
    assert run.tags["verdict"] == "Fail" and run.tags["headline"] == verdict.headline
    assert run.params["threshold.motion"] == night.thresholds["motion"]
    assert tracked_nights(AuditStore(str(tmp_path / "other")), [])[0] != source


def test_a_night_that_is_damaged_is_noticed_when_it_is_read(tmp_path: Path) -> None:
    report, store = make_report(videos=5, worst=0), AuditStore(str(tmp_path))
    folder = store.write_tables(report.night.night, {"cells": report.cells, "canaries": report.canaries})
    nights = [replace(report.night, tables="tables-gone"), replace(report.night, tables=folder, started="yesterday")]
    _, [lost, damaged] = tracked_nights(store, nights)
    with pytest.raises(UsageError, match=r"cells\.parquet cannot be read .* with `artifactscan report --anew`$"):
        lost.read_values()
    with pytest.raises(ValueError, match="yesterday"):
        damaged.read_values()


def test_a_night_that_is_judged_again_has_another_revision(tmp_path: Path) -> None:
    report, store = make_report(videos=5, worst=0), AuditStore(str(tmp_path))
    nights = [replace(report.night, tables=tables) for tables in ("tables-1", "tables-2")]
    _, [before, after] = tracked_nights(store, nights)
    assert before.id == after.id and before.revision != after.revision


def test_of_a_long_history_the_last_nights_are_sent_and_older_ones_renewed(tmp_path: Path) -> None:
    report, store = make_report(videos=5, worst=0), AuditStore(str(tmp_path))
    nights = []
    for number in range(MOST_NIGHTS + 2):
        name = f"20260101T03{number:04d}Z-{number:08x}"
        tables = store.write_tables(name, {"cells": report.cells, "canaries": report.canaries})
        nights.append(replace(report.night, night=name, tables=tables))
    runs = tracked_nights(store, nights)[1]
    assert [run.id for run in runs] == [night.night for night in nights]
    assert [run.id for run in runs if not run.only_if_there] == [night.night for night in nights[2:]]

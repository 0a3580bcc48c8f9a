"""The benchmark of a year of nights writes a store as the scoring job does, and counts what compacting leaves."""

from collections import Counter
from pathlib import Path

import pytest
from exported_nights import READERS, stored

from artifactscan.store.compact import compact_store
from artifactscan.store.layout import Store
from benchmarks.compact_year import LAKES, count_files, export_here, measure_lake, measure_store, write_nights


def test_the_nights_have_their_rows_and_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(str(tmp_path / "store"))
    for _ in write_nights(store, nights=3, clips=40):
        for to in LAKES:
            export_here(store, to, tmp_path / to)
    for to in LAKES:
        measure_lake(to, tmp_path / to, [1.0, 2.0, 4.0])
        assert f"--to {to:11} 9 files: 3 frames, 3 videos, 3 events" in capsys.readouterr().out
        assert READERS[to](tmp_path / to) == stored(store)
    tables = stored(store)
    assert {name: len(rows) for name, rows in tables.items()} == {
        "frames": 3 * 800,
        "videos": 40 + 80 + 120,
        "events": 3 * 20,
    }
    assert [record.counts["listed"] for record in store.committed()] == [40, 80, 120]
    same = {"frames": 3, "videos": 3 + 2, "events": 3, "manifest.parquet": 3, "run.json": 3}
    assert count_files(store) == Counter({**same, "parts": 9})
    compact_store(store, lambda: None)
    assert count_files(store) == Counter({**same, "parts": 3})
    assert stored(store) == tables
    measure_store(store, "after")
    said = capsys.readouterr().out
    assert "20 files: 3 events, 3 frames, 3 manifest.parquet, 3 parts, 3 run.json, 5 videos" in said
    assert "2,400 rows" in said and " 3 rows" in said

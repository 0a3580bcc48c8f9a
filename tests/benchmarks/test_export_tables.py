"""The benchmark of exporting tables draws a store that the export takes as one of the job's."""

from pathlib import Path

import pytest
from exported_nights import in_duckdb

from benchmarks import export_tables


def test_a_small_store_is_exported_and_measured(tmp_path: Path) -> None:
    store = export_tables.Store(str(tmp_path / "store"))
    export_tables.draw_store(store, nights=2, frames=2_000)
    measured = export_tables.export(store, "duckdb", tmp_path / "scores.duckdb")
    assert measured.said.startswith("2 runs written to ")
    assert measured.seconds > 0
    assert measured.peak_mb > 50
    counts = {table: len(rows) for table, rows in in_duckdb(tmp_path / "scores.duckdb").items()}
    assert counts == {"frames": 4_000, "videos": 100 + 200, "events": 100}


def test_an_export_that_fails_ends_the_benchmark(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"^export .*/none --to duckdb --output .*/scores.duckdb ended with 2$"):
        export_tables.export(export_tables.Store(str(tmp_path / "none")), "duckdb", tmp_path / "scores.duckdb")

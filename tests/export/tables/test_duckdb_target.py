"""The DuckDB file: its schema, its lock, and what it holds beside the tables."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from exported_nights import export, in_duckdb, night, stored, write_nights

from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import EXPORTED
from artifactscan.jobs.export import main as export_job
from artifactscan.store.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 3)
    return store


@contextmanager
def opened_elsewhere(path: Path) -> Iterator[None]:
    """Another process has the database open."""
    source = f"import duckdb, sys; c = duckdb.connect({str(path)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == b"open\n"
        yield
        process.stdin.close()


def test_a_database_that_is_open_elsewhere_is_one_sentence(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "scores.duckdb"
    arguments = [store.root, "--to", "duckdb", "--output", str(output)]
    with opened_elsewhere(output):
        assert export_job(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: database {output} cannot be used: IO Error: Could not set lock on file")
        assert error.endswith("close it where it is open, or give another file, and give the same command again\n")
        assert error.count("\n") == 1
    assert export_job(arguments) == 0
    assert in_duckdb(output) == stored(store)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE frames (video_id VARCHAR, score DOUBLE)",
        "CREATE TABLE runs (run INTEGER)",
        "CREATE VIEW events AS SELECT 1 AS one",
    ],
)
def test_a_table_with_other_columns_is_refused_and_stays(statement: str, store: Store, tmp_path: Path) -> None:
    output = tmp_path / "scores.duckdb"
    with duckdb.connect(str(output)) as database:
        database.execute(statement)
        before = database.execute("SELECT table_name, column_name FROM duckdb_columns() ORDER BY ALL").fetchall()
    with pytest.raises(
        UsageError, match=r"has a table (frames|runs|events) with other columns than artifactscan's; give"
    ):
        export(store, "duckdb", output)
    with duckdb.connect(str(output)) as database:
        assert (
            database.execute("SELECT table_name, column_name FROM duckdb_columns() ORDER BY ALL").fetchall() == before
        )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"not a database\n" * 1000),
        ("rows.json", b'{"a": 1}'),
        ("rows.json", b""),
        ("rows.csv", b"a,b\n"),
        ("rows.parquet", b""),
        ("catalog.sqlite", b"SQLite format 3\0"),
    ],
)
def test_a_file_that_is_no_database_is_refused(name: str, content: bytes, store: Store, tmp_path: Path) -> None:
    """DuckDB opens some by their ending, as views of their rows, and would write the tables to memory."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=rf"{name} is there and is no DuckDB database; give another file"):
        export(store, "duckdb", tmp_path / name)
    assert (tmp_path / name).read_bytes() == content


def test_other_tables_of_the_database_stay(store: Store, tmp_path: Path) -> None:
    output = tmp_path / "ours.duckdb"
    with duckdb.connect(str(output)) as database:
        database.execute("CREATE TABLE labels AS SELECT 42 AS answer")
    export(store, "duckdb", output)
    with duckdb.connect(str(output)) as database:
        assert database.execute("FROM labels").fetchall() == [(42,)]
        assert {row[0] for row in database.execute("SHOW TABLES").fetchall()} == {
            *EXPORTED, "runs", "labels", "latest_scores", "open_events", "ledger_by_night"
        }  # fmt: skip


def test_the_runs_are_there_with_what_tells_them_apart(store: Store, tmp_path: Path) -> None:
    export(store, "duckdb", tmp_path / "scores.duckdb")
    with duckdb.connect(str(tmp_path / "scores.duckdb")) as database:
        found = database.execute(
            "SELECT run, spec, scope, checkpoint, started, finished FROM runs ORDER BY run"
        ).fetchall()
    assert found[1] == (
        night(1), "spec", "scope", "resnet50-00000000", "2026-01-02T03:00:00+00:00", "2026-01-02T03:10:01+00:00"
    )  # fmt: skip
    assert len(found) == 3

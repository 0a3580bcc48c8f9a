"""The DuckDB file: its schema, its lock, and what it holds beside the tables."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from exported_nights import export, in_duckdb, night, stored, write_nights
from limits import without_privileges
from refused_export import refused_export

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


def test_a_file_without_the_right_to_write_it_is_no_file_that_is_open(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with without_privileges() as folder:
        store, output = Store(str(folder / "store")), folder / "scores.duckdb"
        write_nights(store, 1)
        output.touch(0o444)
        arguments = [store.root, "--to", "duckdb", "--output", str(output)]
        assert refused_export(arguments, capsys) == (
            f'database {output} cannot be used: IO Error: Cannot open file "{output}": Permission denied; give another '
            "place, or get the right to read and write there"
        )
        output.unlink()
        assert export_job(arguments) == 0


def test_a_folder_in_the_place_of_the_file_is_named(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused_export([store.root, "--to", "duckdb", "--output", str(tmp_path)], capsys) == (
        f"--output {tmp_path} is a folder; give the path of a database file"
    )
    (tmp_path / "file").touch()
    assert refused_export([store.root, "--to", "duckdb", "--output", f"{tmp_path}/file/scores.duckdb"], capsys) == (
        f"database {tmp_path}/file/scores.duckdb cannot be used: {tmp_path}/file: File exists; give a file in a folder"
    )


@pytest.mark.parametrize("damage", ["cut off", "overwritten"])
def test_a_damaged_database_is_to_be_restored(
    damage: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "scores.duckdb"
    export(store, "duckdb", output)
    content = output.read_bytes()
    output.write_bytes(content[:5000] if damage == "cut off" else content[:4096] + bytes(8192) + content[12288:])
    said = refused_export([store.root, "--to", "duckdb", "--output", str(output)], capsys)
    assert said.startswith(f"database {output} cannot be used: ")
    assert ("Could not read enough bytes" if damage == "cut off" else "Corrupt database file") in said
    assert said.endswith("; restore it from a copy, or give another one")


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("CREATE VIEW open_events AS SELECT 42 AS answer", "view open_events"),
        ("CREATE VIEW open_events AS SELECT 42 AS answer; COMMENT ON VIEW open_events IS 'mine'", "view open_events"),
        ("CREATE TABLE open_events AS SELECT 42 AS answer", "table open_events"),
        ("CREATE TABLE ledger_by_night AS SELECT 42 AS answer", "table ledger_by_night"),
        ("CREATE VIEW Open_Events AS SELECT 42 AS answer", "view open_events"),
        ("CREATE TABLE LATEST_SCORES AS SELECT 42 AS answer", "table latest_scores"),
        ("DROP TABLE frames; CREATE VIEW frames AS FROM mine", "view frames"),
    ],
)
def test_a_view_or_table_of_somebody_else_is_refused_and_stays(
    statement: str, what: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "ours.duckdb"
    export(store, "duckdb", output)
    kind, name = what.split()
    with duckdb.connect(str(output)) as database:
        database.execute("CREATE TABLE mine AS FROM frames")
        if name != "frames":
            database.execute(f"DROP VIEW {name}")
        database.execute(statement)
        before = database.execute(f"FROM {name}").fetchall()
    for _ in range(2):
        assert refused_export([store.root, "--to", "duckdb", "--output", str(output)], capsys) == (
            f"{output} has a {what} that artifactscan did not write; rename it, or give another file"
        )
    with duckdb.connect(str(output)) as database:
        assert database.execute(f"FROM {name}").fetchall() == before
        database.execute(f"ALTER {kind} {name} RENAME TO my_own")
    assert export_job([store.root, "--to", "duckdb", "--output", str(output)]) == 0
    with duckdb.connect(str(output)) as database:
        assert database.execute("FROM my_own").fetchall() == before
    assert in_duckdb(output) == stored(store)


def test_views_of_an_earlier_export_are_replaced(store: Store, tmp_path: Path) -> None:
    """Those with the comment whatever they are, those without it where they are the same."""
    output = tmp_path / "scores.duckdb"
    export(store, "duckdb", output)
    with duckdb.connect(str(output)) as database:
        (ours,) = {
            row[0] for row in database.execute("SELECT comment FROM duckdb_views() WHERE NOT internal").fetchall()
        }
        assert ours == "Written by artifactscan export, which replaces it."
        database.execute("CREATE OR REPLACE VIEW open_events AS SELECT 1 AS of_an_earlier_version")
        database.execute(f"COMMENT ON VIEW open_events IS '{ours}'; COMMENT ON VIEW latest_scores IS NULL")
    export(store, "duckdb", output)
    with duckdb.connect(str(output)) as database:
        assert "peak" in database.table("open_events").columns
        comments = database.execute("SELECT comment FROM duckdb_views() WHERE NOT internal").fetchall()
    assert comments == [(ours,)] * 3


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE frames (video_id VARCHAR, score DOUBLE)",
        "CREATE TABLE runs (run INTEGER)",
        "CREATE VIEW events AS SELECT 1 AS one",
        "CREATE TABLE Frames (video_id VARCHAR)",
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


@pytest.mark.parametrize(
    "statement", ["DROP TABLE frames", "DELETE FROM events", "DELETE FROM videos WHERE run = '{run}'"]
)
def test_rows_that_are_gone_are_written_again(statement: str, store: Store, tmp_path: Path) -> None:
    output = tmp_path / "scores.duckdb"
    export(store, "duckdb", output)
    with duckdb.connect(str(output)) as database:
        database.execute(statement.format(run=night(1)))
    export(store, "duckdb", output)
    assert in_duckdb(output) == stored(store)


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

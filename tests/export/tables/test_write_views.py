"""The views over a store of 30 nights as it lies, and in an exported database: the same rows, those that are wanted."""

import re
import subprocess
import sys
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from exported_nights import HOSTILE, as_the_job_writes, export, in_duckdb, night, stored, write_nights
from scored_runs import motion, write_run

from artifactscan.export.tables.stored_run import EXPORTED
from artifactscan.export.tables.write_views import VIEWS, athena_over, duckdb_over, duckdb_views
from artifactscan.jobs.export import main as export_job
from artifactscan.store.layout import Store

NIGHTS = 30
ATHENA = {
    pa.string(): "string",
    pa.int32(): "int",
    pa.int64(): "bigint",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.timestamp("us", tz="UTC"): "timestamp",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Thirty nights, and a run under way that has tables; the name of its folder has a quote and globs."""
    store = Store(str(tmp_path_factory.mktemp("nights") / "it's [a] sto*re"))
    write_nights(store, NIGHTS)
    write_run(store, night(NIGHTS), {"/clips/under-way.mp4": motion(0.9, 0.9)})
    Path(store.run_json(night(NIGHTS))).unlink()
    return store


def shipped(dialect: str) -> str:
    return (files("artifactscan.export.tables") / "views" / f"{dialect}.sql").read_text()


@pytest.fixture(scope="module", params=["as it lies", "exported"])
def database(store: Store, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("views")
    if request.param == "exported":
        export(store, "duckdb", folder / "scores.duckdb")
        yield duckdb.connect(str(folder / "scores.duckdb"), read_only=True)
    else:
        export(store, "views", folder)
        connection = duckdb.connect()
        connection.execute((folder / "duckdb.sql").read_text())
        yield connection


def test_the_tables_have_the_committed_rows(database: Any, store: Store) -> None:
    wanted = {table: [row for row in rows if row["run"] != night(NIGHTS)] for table, rows in stored(store).items()}
    for table, rows in wanted.items():
        found = database.table(table).to_arrow_table()
        assert sorted(found.column_names) == sorted(EXPORTED[table].names)
        assert found.num_rows == len(rows)
        assert set(found["run"].to_pylist()) == {row["run"] for row in rows}


def test_latest_scores_are_of_the_last_version_of_each_video(database: Any) -> None:
    found = {row["uri"]: row for row in database.table("latest_scores").to_arrow_table().to_pylist()}
    assert set(found) == {*(f"/clips/{number}.mp4" for number in range(NIGHTS)), *HOSTILE}
    assert database.execute("SELECT count(*) FROM latest_scores").fetchone() == (len(found),)
    assert found["/clips/1.mp4"]["run"] == night(5)
    assert found["/clips/1.mp4"]["max_motion"] == pytest.approx(0.2)
    assert found["/clips/2.mp4"]["run"] == night(2)
    assert (found["/clips/2.mp4"]["max_motion"], found["/clips/2.mp4"]["frames_decoded"]) == (pytest.approx(0.9), 4)
    assert {row["outcome"] for row in found.values()} == {"scored"}


def test_open_events_are_those_of_the_videos_that_were_listed_last(database: Any) -> None:
    events = database.execute("SELECT uri, label, start_s, end_s, run FROM open_events ORDER BY uri").fetchall()
    with_event = [f"/clips/{number}.mp4" for number in range(NIGHTS) if number != 1]
    assert [row[0] for row in events] == sorted([*with_event, *HOSTILE])
    assert {row[1] for row in events} == {"motion"}
    (second,) = [row for row in events if row[0] == "/clips/2.mp4"]
    assert second == ("/clips/2.mp4", "motion", 0.0, second[3], night(2))


def test_the_ledger_counts_each_night(database: Any) -> None:
    rows = database.execute("SELECT run, night, spec, outcome, videos, frames FROM ledger_by_night").fetchall()
    found = {(row[0], row[3]): row for row in rows}
    assert len(rows) == len(found) == 3 * NIGHTS - 1, "the first night has nothing unchanged"
    assert found[night(0), "scored"] == (night(0), date(2026, 1, 1), "spec", "scored", 4, 4 + 3 * 2)
    assert found[night(29), "scored"] == (night(29), date(2026, 2, 2), "spec", "scored", 1, 4)
    assert found[night(29), "undecodable"][4:] == (1, 0)
    assert found[night(29), "unchanged"][4:] == (29 + len(HOSTILE), 0)


def test_a_removed_video_and_another_spec_close_events(tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"))
    runs = [
        write_run(store, "a", {"/x": motion(0.9), "/y": motion(0.9)}),
        write_run(store, "b", {"/z": motion(0.9)}, settled={"/x": "a"}),
    ]
    for number, record in enumerate(runs):
        as_the_job_writes(store, record, number)
    assert open_events(store, tmp_path) == [("/x", "a"), ("/z", "b")]
    as_the_job_writes(store, write_run(store, "c", {"/x": motion(0.1)}, spec="other"), 2)
    assert open_events(store, tmp_path) == []


def open_events(store: Store, folder: Path) -> list[tuple[str, str]]:
    export(store, "views", folder / "views")
    with duckdb.connect() as database:
        database.execute((folder / "views" / "duckdb.sql").read_text())
        return database.execute("SELECT uri, run FROM open_events ORDER BY uri").fetchall()


def test_the_shipped_file_works_from_the_folder_of_the_store(store: Store) -> None:
    source = (
        "import duckdb, sys; c = duckdb.connect(); c.execute(sys.stdin.read()); print(c.sql(sys.argv[1]).fetchall())"
    )
    command = [sys.executable, "-c", source, "SELECT count(*) FROM latest_scores"]
    done = subprocess.run(command, cwd=store.root, input=shipped("duckdb"), capture_output=True, text=True, check=True)
    assert done.stdout == f"[({NIGHTS + len(HOSTILE)},)]\n"


def test_views_of_both_dialects_are_the_same_text() -> None:
    views = duckdb_views()
    assert re.findall(r"CREATE OR REPLACE VIEW (\w+)", views) == list(VIEWS)
    assert shipped("athena").endswith(views)


def test_columns_of_both_dialects_are_those_that_are_stored() -> None:
    for table, schema in EXPORTED.items():
        lies = re.search(rf"CREATE OR REPLACE VIEW {table} AS\nSELECT(.*?)FROM", shipped("duckdb"), re.S)
        assert lies
        assert [name.split(".")[-1] for name in re.split(r",\s*", lies[1].strip())] == schema.names
        declared = re.search(
            rf"CREATE EXTERNAL TABLE IF NOT EXISTS {table} \((.*?)\)\nPARTITIONED", shipped("athena"), re.S
        )
        assert declared
        columns = [tuple(column.split()) for column in re.split(r",\s*", declared[1].strip())]
        assert columns == [(field.name, ATHENA[field.type]) for field in schema if field.name != "run"]


def test_athena_reads_every_statement(store: Store) -> None:
    sqlglot = pytest.importorskip("sqlglot")
    from artifactscan.export.tables.stored_run import read_stored_runs

    text = athena_over("s3://bucket/it's", read_stored_runs(store))
    statements = [one for one in sqlglot.parse(text, read="athena", error_level=sqlglot.ErrorLevel.RAISE) if one]
    kinds = [type(one).__name__ for one in statements]
    assert kinds.count("Create") == 3 + 1 + len(VIEWS)
    assert len(statements) == 10
    created = [one.this.name or one.this.this.name for one in statements if type(one).__name__ == "Create"]
    assert created == ["frames", "videos", "events", "runs", *VIEWS]


def test_the_job_says_where_the_views_are(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_job([store.root, "--to", "views", "--output", str(tmp_path / "v")]) == 0
    assert capsys.readouterr().out == f"views written to {tmp_path}/v/duckdb.sql\n"
    assert export_job([store.root, "--to", "duckdb", "--output", str(tmp_path / "x.duckdb")]) == 0
    assert "with the views latest_scores, open_events, ledger_by_night;" in capsys.readouterr().out
    assert len(in_duckdb(tmp_path / "x.duckdb")["videos"]) > NIGHTS


@pytest.mark.parametrize("content", ["-- my own\nSELECT 1;\n", ""])
def test_a_file_that_is_not_of_this_store_is_not_replaced(
    content: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v").mkdir()
    theirs = tmp_path / "v" / "duckdb.sql"
    theirs.write_text(content or duckdb_over("/another/store"))
    before = theirs.read_text()
    assert export_job([store.root, "--to", "views", "--output", str(tmp_path / "v")]) == 2
    assert "holds no views over this store; give another folder" in capsys.readouterr().err
    assert theirs.read_text() == before


def test_written_again_they_are_the_same(store: Store, tmp_path: Path) -> None:
    for _ in range(2):
        assert export_job([store.root, "--to", "views", "--output", str(tmp_path / "v")]) == 0
    assert (tmp_path / "v" / "duckdb.sql").read_text() == duckdb_over(store.root)

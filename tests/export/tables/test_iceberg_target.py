"""Iceberg tables in an SQL catalogue: marked by properties, with few files; locked catalogues, object storages."""

import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
from exported_nights import LOWER, export, iceberg_table, in_iceberg, night, stored, write_nights
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo
from pyiceberg.table.snapshots import Operation
from s3_server import S3Server

from artifactscan.errors import UsageError
from artifactscan.export.tables import iceberg_target, table_target, write_tables
from artifactscan.export.tables.stored_run import EXPORTED
from artifactscan.export.tables.table_target import SMALL_FILES
from artifactscan.jobs.export import main as export_job
from artifactscan.scoring.flags import flag_anew
from artifactscan.store.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 3)
    return store


def test_a_run_and_its_mark_are_one_commit(store: Store, tmp_path: Path) -> None:
    export(store, "iceberg", tmp_path / "lake")
    marks = {f"artifactscan.run.{night(number)}" for number in range(3)}
    for table in EXPORTED:
        found = iceberg_table(tmp_path / "lake", table)
        assert found.spec().fields == ()
        assert marks <= set(found.properties)
    before = iceberg_table(tmp_path / "lake", "frames").current_snapshot()
    flag_anew(store, store.committed()[0], LOWER)
    export(store, "iceberg", tmp_path / "lake")
    assert iceberg_table(tmp_path / "lake", "frames").current_snapshot() == before
    assert in_iceberg(tmp_path / "lake") == stored(store)


def test_snapshots_that_expired_change_nothing(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(store, "iceberg", tmp_path / "lake")
    write_nights(store, 1, first=3)
    export(store, "iceberg", tmp_path / "lake")
    for table in EXPORTED:
        found = iceberg_table(tmp_path / "lake", table)
        assert len(found.snapshots()) > 1
        current = found.current_snapshot().snapshot_id
        old = [one.snapshot_id for one in found.snapshots() if one.snapshot_id != current]
        found.maintenance.expire_snapshots().by_ids(old).commit()
    capsys.readouterr()
    export(store, "iceberg", tmp_path / "lake")
    assert "0 runs written" in capsys.readouterr().out
    assert in_iceberg(tmp_path / "lake") == stored(store)


def test_rows_that_are_gone_are_written_again(store: Store, tmp_path: Path) -> None:
    export(store, "iceberg", tmp_path / "lake")
    iceberg_table(tmp_path / "lake", "frames").delete(EqualTo("run", night(1)))
    assert in_iceberg(tmp_path / "lake") != stored(store)
    export(store, "iceberg", tmp_path / "lake")
    assert in_iceberg(tmp_path / "lake") == stored(store)


def test_a_catalogue_that_is_locked_is_one_sentence(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export(store, "iceberg", tmp_path / "lake")
    write_nights(store, 1, first=3)
    arguments = [store.root, "--to", "iceberg", "--output", str(tmp_path / "lake")]
    locked = sqlite3.connect(tmp_path / "lake" / "catalog.sqlite", isolation_level=None)
    locked.execute("BEGIN EXCLUSIVE")
    capsys.readouterr()
    assert export_job(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: catalogue sqlite:///{tmp_path}/lake/catalog.sqlite cannot be used: ")
    assert error.endswith(
        "database is locked; let what else works on it end, or give another one, and give the same command again\n"
    )
    assert error.count("\n") == 1
    locked.execute("ROLLBACK")
    locked.close()
    assert export_job(arguments) == 0
    assert in_iceberg(tmp_path / "lake") == stored(store)


def test_a_catalogue_that_becomes_read_only_on_the_way_is_one_sentence(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A shared lock of another process lets the tables be read, and no commit be made."""
    export(store, "iceberg", tmp_path / "lake")
    write_nights(store, 1, first=3)
    arguments = [store.root, "--to", "iceberg", "--output", str(tmp_path / "lake")]
    reading = sqlite3.connect(tmp_path / "lake" / "catalog.sqlite", isolation_level=None)
    reading.execute("BEGIN")
    reading.execute("SELECT * FROM iceberg_tables").fetchone()
    before = in_iceberg(tmp_path / "lake")
    capsys.readouterr()
    assert export_job(arguments) == 3
    error = capsys.readouterr().err.splitlines()[-1]  # after what goes on meanwhile
    assert error.startswith("error: writing to table artifactscan.frames failed: ")
    assert error.endswith("database is locked; the same command continues the export")
    reading.execute("ROLLBACK")
    reading.close()
    assert in_iceberg(tmp_path / "lake") == before
    assert export_job(arguments) == 0
    assert in_iceberg(tmp_path / "lake") == stored(store)


def test_a_password_of_a_catalogue_is_in_no_message(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = "postgresql+nodriver://user:secret@127.0.0.1:9/lake"
    assert export_job([store.root, "--to", "iceberg", "--output", str(tmp_path / "lake"), "--catalog", uri]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: catalogue postgresql+nodriver://…@127.0.0.1:9/lake cannot be used: ")
    assert error.count("\n") == 1


def test_a_table_with_other_columns_is_refused_and_stays(store: Store, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    catalog = SqlCatalog(
        "default", uri=f"sqlite:///{tmp_path}/lake/catalog.sqlite", warehouse=f"file://{tmp_path}/lake"
    )
    catalog.create_namespace("artifactscan")
    made = catalog.create_table("artifactscan.events", pa.schema([("video_id", pa.string())]))
    with pytest.raises(
        UsageError, match=r"has a table artifactscan.events with other columns than artifactscan's; give"
    ):
        export(store, "iceberg", tmp_path / "lake")
    assert catalog.load_table("artifactscan.events").metadata == made.metadata


def test_a_table_with_partitions_is_refused(store: Store, tmp_path: Path) -> None:
    export(store, "iceberg", tmp_path / "lake")
    with iceberg_table(tmp_path / "lake", "events").update_spec() as spec:
        spec.add_identity("run")
    with pytest.raises(
        UsageError,
        match=r"^table artifactscan.events is partitioned by run, as artifactscan's is not; give another --namespace$",
    ):
        export(store, "iceberg", tmp_path / "lake")


@pytest.fixture
def many_nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of one night less than those whose files are merged, exported to ``lake`` with a file for each."""
    monkeypatch.setattr(write_tables, "ROWS_PER_COMMIT", 1)
    store = Store(str(tmp_path / "many"))
    write_nights(store, SMALL_FILES - 1)
    export(store, "iceberg", tmp_path / "lake")
    assert count_files(tmp_path / "lake") == dict.fromkeys(EXPORTED, SMALL_FILES - 1)
    return store


def test_the_small_files_of_many_nights_are_merged(
    many_nights: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "merged" not in capsys.readouterr().out
    opened = {table: iceberg_table(tmp_path / "lake", table) for table in EXPORTED}
    rows = {table: found.scan().to_arrow().num_rows for table, found in opened.items()}
    write_nights(many_nights, 1, first=SMALL_FILES - 1)
    export(many_nights, "iceberg", tmp_path / "lake")
    assert count_files(tmp_path / "lake") == dict.fromkeys(EXPORTED, 1)
    assert f"; small files were merged, {3 * (SMALL_FILES - 1)} files fewer" in capsys.readouterr().out
    merged = iceberg_table(tmp_path / "lake", "frames").current_snapshot()
    assert merged.summary.operation == Operation.OVERWRITE, "no new rows for who follows appends"
    assert in_iceberg(tmp_path / "lake") == stored(many_nights)
    assert {table: found.scan().to_arrow().num_rows for table, found in opened.items()} == rows, "as they were opened"

    flag_anew(many_nights, many_nights.committed()[3], LOWER)
    iceberg_table(tmp_path / "lake", "frames").delete(EqualTo("run", night(7)))
    assert in_iceberg(tmp_path / "lake") != stored(many_nights)
    export(many_nights, "iceberg", tmp_path / "lake")
    assert in_iceberg(tmp_path / "lake") == stored(many_nights), "runs in merged files are renewed"


def test_the_bounds_of_a_file_say_whole_which_runs_are_in_it(many_nights: Store, tmp_path: Path) -> None:
    files = iceberg_table(tmp_path / "lake", "frames").inspect.data_files()["readable_metrics"].to_pylist()
    bounds = {(file["run"]["lower_bound"], file["run"]["upper_bound"]) for file in files}
    assert bounds == {(record.run, record.run) for record in many_nights.committed()}


def test_files_of_many_rows_stay(many_nights: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_target, "ROWS_AT_ONCE", 10)  # night 0 has 10 frames, night 5 has 6, the others 4
    table = iceberg_table(tmp_path / "lake", "frames")
    large = [task.file.file_path for number in (0, 5) for task in table.scan(f"run = '{night(number)}'").plan_files()]
    write_nights(many_nights, 3, first=SMALL_FILES - 1)
    export(many_nights, "iceberg", tmp_path / "lake")
    files = iceberg_table(tmp_path / "lake", "frames").inspect.data_files().to_pylist()
    assert {file["file_path"]: file["record_count"] for file in files if file["file_path"] in large} == {
        large[0]: 10,
        large[1]: 6,
    }
    assert [file["record_count"] for file in files if file["file_path"] not in large] == [4 * SMALL_FILES]
    assert in_iceberg(tmp_path / "lake") == stored(many_nights)


def test_merging_that_fails_changes_nothing_and_is_done_by_the_same_command(
    many_nights: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nights(many_nights, 1, first=SMALL_FILES - 1)
    with monkeypatch.context() as patience:
        patience.setattr(iceberg_target, "SMALL_FILES", SMALL_FILES + 1)
        export(many_nights, "iceberg", tmp_path / "lake")
    arguments = [many_nights.root, "--to", "iceberg", "--output", str(tmp_path / "lake")]
    (file, *_) = (tmp_path / "lake" / "frames" / "data").glob("*.parquet")
    file.rename(tmp_path / "moved")
    assert export_job(arguments) == 3
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: writing to table artifactscan.frames failed: ")
    assert said.endswith("; restore it from a copy, or give another one; then the same command continues the export")
    (tmp_path / "moved").rename(file)
    assert count_files(tmp_path / "lake") == dict.fromkeys(EXPORTED, SMALL_FILES)
    assert in_iceberg(tmp_path / "lake") == stored(many_nights)
    assert export_job(arguments) == 0
    assert count_files(tmp_path / "lake") == dict.fromkeys(EXPORTED, 1)
    assert in_iceberg(tmp_path / "lake") == stored(many_nights)


def count_files(lake: Path) -> dict[str, int]:
    return {table: len(list(iceberg_table(lake, table).scan().plan_files())) for table in EXPORTED}


def test_another_namespace_and_catalogue_are_others(store: Store, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/shared.sqlite"
    export(store, "iceberg", tmp_path / "lake", catalog=uri, namespace="audits")
    found = SqlCatalog("default", uri=uri).load_table("audits.frames")
    assert found.scan().to_arrow().num_rows == len(stored(store)["frames"])
    assert found.location() == f"file://{tmp_path}/lake/frames"


def test_tables_in_an_object_storage_are_written_by_the_projects_own_client(
    store: Store, s3: S3Server, tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path}/catalog.sqlite"
    export(store, "iceberg", s3.uri("lake"), catalog=uri)
    flag_anew(store, store.committed()[0], LOWER)
    export(store, "iceberg", s3.uri("lake"), catalog=uri)
    own = {"py-io-impl": "artifactscan.export.tables.iceberg_files.StorageFileIO"}
    catalog = SqlCatalog("default", uri=uri, **own)
    for table, wanted in stored(store).items():
        rows = catalog.load_table(("artifactscan", table)).scan().to_arrow()
        assert sorted(rows["video_id"].to_pylist()) == sorted(row["video_id"] for row in wanted)
    keys = s3.keys()
    assert [key for key in keys if key.startswith("lake/frames/data/")]
    assert "lake/lease.json" not in keys

"""Iceberg tables in an SQL catalogue: partitioned by run, marked by properties, locked catalogues, object storages."""

import sqlite3
from pathlib import Path

import pyarrow as pa
import pytest
from exported_nights import LOWER, export, iceberg_table, in_iceberg, night, stored, write_nights
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.expressions import EqualTo
from s3_server import S3Server

from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import EXPORTED
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
        assert [field.name for field in found.spec().fields] == ["run"]
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
    assert [key for key in keys if key.startswith("lake/frames/data/run=")]
    assert "lake/lease.json" not in keys

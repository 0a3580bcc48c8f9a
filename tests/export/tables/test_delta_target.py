"""Delta tables: partitioned by run, marked by application transactions, made whole after a restore."""

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from exported_nights import LOWER, export, in_delta, night, stored, write_nights

from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import EXPORTED
from artifactscan.scoring.flags import flag_anew
from artifactscan.storage.lease import Lease
from artifactscan.store.layout import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 3)
    return store


def test_a_run_and_its_mark_are_one_commit(store: Store, tmp_path: Path) -> None:
    export(store, "delta", tmp_path / "lake")
    for table in EXPORTED:
        found = DeltaTable(tmp_path / "lake" / table)
        assert found.metadata().partition_columns == ["run"]
        assert found.version() == 1, "made, and written"
        assert all(found.transaction_version(f"artifactscan/{night(number)}") for number in range(3))
    flag_anew(store, store.committed()[0], LOWER)
    export(store, "delta", tmp_path / "lake")
    assert [DeltaTable(tmp_path / "lake" / table).version() for table in ("frames", "videos", "events")] == [1, 2, 2]


def test_a_table_that_was_restored_to_an_earlier_version_is_made_whole(store: Store, tmp_path: Path) -> None:
    export(store, "delta", tmp_path / "lake")
    DeltaTable(tmp_path / "lake" / "frames").restore(0)
    assert in_delta(tmp_path / "lake")["frames"] == []
    export(store, "delta", tmp_path / "lake")
    assert in_delta(tmp_path / "lake") == stored(store)


def test_a_table_with_other_columns_is_refused_and_stays(store: Store, tmp_path: Path) -> None:
    write_deltalake(tmp_path / "lake" / "videos", pa.table({"video_id": ["a"], "run": ["b"]}), partition_by=["run"])
    with pytest.raises(
        UsageError, match=r"/lake has a table videos with other columns than artifactscan's; give another"
    ):
        export(store, "delta", tmp_path / "lake")
    assert DeltaTable(tmp_path / "lake" / "videos").version() == 0


def test_a_folder_with_other_files_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "lake" / "events").mkdir(parents=True)
    (tmp_path / "lake" / "events" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"/lake/events holds files that are no Delta table; give another --output$"):
        export(store, "delta", tmp_path / "lake")


def test_two_exports_at_once_are_one(store: Store, tmp_path: Path) -> None:
    with (
        Lease(str(tmp_path / "lake" / "lease.json"), what="export"),
        pytest.raises(UsageError, match=r"is working on this export"),
    ):
        export(store, "delta", tmp_path / "lake")
    export(store, "delta", tmp_path / "lake")
    assert in_delta(tmp_path / "lake") == stored(store)

"""The rows of a run are read with the declared schema, and not while another job changes them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from exported_nights import LOWER, night, stored, write_nights

from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, open_rows, read_stored_runs
from artifactscan.schemas import SCORED_BY
from artifactscan.scoring.flags import flag_anew
from artifactscan.storage.parquet import parquet_files, read_table, write_table
from artifactscan.store.layout import Store
from artifactscan.store.table_files import RunChangedError


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(str(tmp_path / "store"))
    write_nights(store, 2)
    return store


def rows(run: StoredRun, table: str) -> pa.Table:
    return pa.Table.from_batches(run.batches(table), EXPORTED[table])


def test_columns_that_version_0_1_0_did_not_write_are_filled_in(store: Store) -> None:
    before = stored(store)
    for table in EXPORTED:
        for record in store.committed():
            for file in parquet_files(getattr(store, table)(record.run)):
                write_table(read_table(file).drop_columns([column.name for column in SCORED_BY]), file)
    runs = read_stored_runs(store)
    for table in EXPORTED:
        read = pa.concat_tables([rows(run, table) for run in runs])
        assert read.schema == EXPORTED[table]
        assert read.num_rows == len(before[table]) > 0
        assert set(read["spec"].to_pylist()) == {"spec"}
        assert set(read["checkpoint"].to_pylist()) == {"resnet50-00000000"}
        assert set(read["run"].to_pylist()) == {night(0), night(1)}


def test_the_mark_of_a_table_changes_with_its_rows(store: Store) -> None:
    run, other = read_stored_runs(store)
    assert 0 < run.mark("frames") < 2**63
    assert run.mark("frames") != other.mark("frames")
    flagged = StoredRun(store, flag_anew(store, run.record, LOWER))
    assert flagged.mark("frames") == run.mark("frames")
    assert flagged.mark("events") != run.mark("events")
    settled = StoredRun(store, replace(run.record, finished="later"))
    assert all(settled.mark(table) != run.mark(table) for table in EXPORTED)


def test_flags_computed_meanwhile_are_noticed(store: Store) -> None:
    run = read_stored_runs(store)[0]
    batches = run.batches("events")
    next(batches)
    flag_anew(store, run.record, LOWER)
    with pytest.raises(RunChangedError, match=rf"^run {run.run} was flagged anew$"):
        list(batches)


def test_files_that_went_meanwhile_are_noticed(store: Store) -> None:
    run = read_stored_runs(store)[0]
    batches = run.batches("videos")
    files = parquet_files(store.videos(run.run))
    write_table(read_table(files[0]), f"{store.videos(run.run)}/videos-00001.parquet")
    next(batches)
    Path(store.videos(run.run), "videos-00001.parquet").unlink()
    with pytest.raises(RunChangedError, match=rf"^run {run.run}: .*videos-00001"):
        list(batches)


def test_a_store_that_lost_a_file_is_named(store: Store) -> None:
    run = read_stored_runs(store)[1]
    Path(parquet_files(store.frames(run.run))[0]).unlink()
    with pytest.raises(UsageError, match=r"frames/run=\S+ has 0 rows, and run.json says 4; restore it from a copy"):
        rows(run, "frames")


@pytest.mark.parametrize(("table", "column"), [("frames", "p_motion"), ("videos", "uri"), ("events", "peak")])
def test_a_column_that_every_version_wrote_is_not_filled_in(store: Store, table: str, column: str) -> None:
    run = read_stored_runs(store)[0]
    [file] = parquet_files(getattr(store, table)(run.run))
    write_table(read_table(file).drop_columns([column]), file)
    with pytest.raises(UsageError) as refused:
        rows(run, table)
    assert str(refused.value) == (
        f"table {file} is damaged or cut off (it has no column {column}); restore it from a copy"
    )


def test_a_column_of_another_type_is_named(store: Store) -> None:
    run = read_stored_runs(store)[0]
    [file] = parquet_files(store.frames(run.run))
    table = read_table(file)
    position = table.column_names.index("pts_s")
    write_table(table.set_column(position, "pts_s", pa.array(["soon"] * table.num_rows)), file)
    with pytest.raises(
        UsageError, match=rf"^table {file} is damaged or cut off \(its column pts_s is string, not double: .*soon"
    ):
        rows(run, "frames")


def test_a_run_with_a_name_of_another_kind_is_refused(store: Store) -> None:
    store.commit(replace(store.committed()[0], run="x' OR '1'='1"))
    with pytest.raises(
        UsageError, match=r"has a run named \"x' OR '1'='1\", which artifactscan did not write; remove it"
    ):
        read_stored_runs(store)


def test_an_error_of_reading_is_told_apart_from_one_of_the_library(store: Store) -> None:
    class Broken(StoredRun):
        def batches(self, table: str) -> Iterator[pa.RecordBatch]:
            yield from super().batches(table)
            raise ConnectionError("the storage answered 500")

    run = read_stored_runs(store)[0]
    with (
        pytest.raises(
            CutOffError,
            match=r"^the run was cut off: the storage answered 500; the same command continues the export$",
        ) as raised,
        open_rows("videos", [Broken(run.store, run.record)]) as reader,
    ):
        reader.read_all()
    assert isinstance(raised.value.__cause__, ConnectionError)

"""Parquet files of other people run no code; parts are files of their own."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from damaged import damage_pages
from s3_server import S3Server

from artifactscan.errors import UsageError
from artifactscan.storage import arrow_files
from artifactscan.storage.parquet import (
    DamagedTableError,
    arrow_reason,
    cast_column,
    open_plain,
    read_batches,
    read_footer,
    read_schema,
    read_table,
    write_part,
    write_table,
)

PICKLED = {b"ARROW:extension:name": b"ray.data.arrow_pickled_object", b"ARROW:extension:metadata": b""}
"""What marks a column whose values Ray Data unpickles."""


class Payload:
    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.path),)


@pytest.fixture
def hostile(tmp_path: Path) -> tuple[str, Path]:
    """A file with a pickle in it, and the folder that unpickling makes."""
    made = tmp_path / "made"
    column = pa.array([pickle.dumps(Payload(made))], pa.large_binary())
    schema = pa.schema([pa.field("uri", pa.string()), pa.field("video_id", pa.large_binary(), metadata=PICKLED)])
    pq.write_table(pa.table([pa.array(["a.mp4"]), column], schema=schema), tmp_path / "hostile.parquet")
    return str(tmp_path / "hostile.parquet"), made


def test_without_the_check_the_pickle_runs(hostile: tuple[str, Path]) -> None:
    import ray.data  # noqa: F401 - it registers the type

    path, made = hostile
    pq.ParquetFile(path).read()["video_id"].to_pylist()
    assert made.is_dir()


@pytest.mark.parametrize("read", [read_table, lambda path, columns: list(read_batches(path, columns))])
def test_a_table_of_a_store_with_a_pickle_is_refused(read, hostile: tuple[str, Path]) -> None:
    import ray.data  # noqa: F401

    path, made = hostile
    with pytest.raises(pa.ArrowInvalid, match="the column video_id is of a type whose values run code"):
        read(path, ["uri"])
    assert not made.exists()


@pytest.mark.parametrize(
    "nest",
    [
        lambda inner: pa.list_(inner),
        lambda inner: pa.struct([pa.field("a", pa.list_(inner))]),
        lambda inner: pa.map_(pa.string(), inner),
    ],
)
def test_nested_pickle_columns_are_refused(nest: Callable[[pa.Field], pa.DataType], tmp_path: Path) -> None:
    import ray.data  # noqa: F401

    column = pa.field("x", nest(pa.field("inner", pa.large_binary(), metadata=PICKLED)))
    pq.write_table(pa.schema([column]).empty_table(), tmp_path / "nested.parquet")
    with pytest.raises(pa.ArrowInvalid, match="the column x is of a type whose values run code"):
        open_plain(tmp_path / "nested.parquet")


def test_plain_types_are_read(tmp_path: Path) -> None:
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)], pa.binary(16)))
    table = pa.table({"f": ids, "a": [1], "b": [["x"]], "c": [{"d": 1.5}], "e": pa.array(["z"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "plain.parquet")
    assert open_plain(tmp_path / "plain.parquet").read().to_pylist() == table.to_pylist()


@pytest.mark.parametrize("read", [read_table, lambda path: list(read_batches(path))])
def test_a_table_that_was_cut_off_is_named(read: Callable[[str], object], tmp_path: Path) -> None:
    path = tmp_path / "videos.parquet"
    pq.write_table(pa.table({"a": list(range(1000))}), path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        UsageError, match=rf"^table {path} is damaged or cut off \(Parquet .*\); restore it from a copy$"
    ):
        read(str(path))


@pytest.mark.parametrize("read", [read_table, lambda path: list(read_batches(path))])
def test_a_table_with_a_damaged_page_is_named(read: Callable[[str], object], tmp_path: Path) -> None:
    path = tmp_path / "videos.parquet"
    write_table(pa.table({"a": list(range(1000))}), str(path))
    damage_pages(path)
    assert read_footer(str(path)).num_rows == 1000
    with pytest.raises(
        DamagedTableError, match=rf"^table {path} is damaged or cut off \(.+\); restore it from a copy$"
    ):
        read(str(path))


@pytest.mark.parametrize("read", [read_table, read_schema, read_footer, lambda path: list(read_batches(path))])
def test_a_storage_that_fails_is_no_damage(
    read: Callable[[str], object], tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(FileNotFoundError):
        read(str(tmp_path / "gone.parquet"))
    with pytest.raises(OSError) as folder:
        read(str(tmp_path))
    assert not isinstance(folder.value, DamagedTableError)
    monkeypatch.setattr(arrow_files, "READ_WHOLE_BYTES", 10)
    uri = s3.uri("videos.parquet")
    write_table(pa.table({"a": [1]}), uri)
    s3.faults.status("videos.parquet", 405, code="MethodNotAllowed", methods=("GET",))
    with pytest.raises(OSError, match=rf"^{uri}: the storage answered 405 \(MethodNotAllowed") as answered:
        read(uri)
    assert type(answered.value) is OSError


@pytest.mark.parametrize("read", [read_table, lambda path, columns: list(read_batches(path, columns))])
def test_a_column_that_is_asked_for_and_missing_is_named(read: Callable, tmp_path: Path) -> None:
    path = str(tmp_path / "videos.parquet")
    write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DamagedTableError) as missing:
        read(path, ["a", "uri"])
    assert str(missing.value) == f"table {path} is damaged or cut off (it has no column uri); restore it from a copy"
    assert arrow_reason(missing.value) == "it has no column uri"


def test_write_part(tmp_path: Path) -> None:
    rows = pa.table({"uri": ["a.mp4", "b.mp4"]})
    for scored in (rows, rows.slice(0, 0), rows):
        write_part(str(tmp_path / "parts"), scored)
    written = sorted((tmp_path / "parts").iterdir())
    assert len(written) == 2, "a part of its own each time, and none for nothing"
    assert all(read_table(str(part)).equals(rows) for part in written)


def test_memory_that_runs_out_while_a_column_is_cast_is_no_damage() -> None:
    class Large:
        type = pa.string()

        def cast(self, _: pa.DataType) -> pa.Array:
            raise pa.ArrowMemoryError("realloc of size 2147483648 failed")

    with pytest.raises(MemoryError, match="realloc"):
        cast_column("/table.parquet", Large(), pa.field("uri", pa.string()))  # type: ignore[arg-type]

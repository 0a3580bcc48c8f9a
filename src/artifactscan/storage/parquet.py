"""Writes Parquet files, and reads them safely where somebody else may have written them.

A file can declare a column of an extension type. Where Ray Data is loaded, one such type holds pickled Python objects,
and reading a value runs code of the file's author.
"""

import io
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from artifactscan import storage
from artifactscan.errors import UsageError


class DamagedTableError(UsageError, pa.ArrowInvalid):
    """A file that should be a table of ours and cannot be read as one."""

    reason: str
    """What is wrong with it, without the name of the file."""


def damaged_table(uri: str, reason: str, way_out: str = "restore it from a copy") -> DamagedTableError:
    """The error for the Parquet file at ``uri``."""
    error = DamagedTableError(f"table {uri} is damaged or cut off ({reason}); {way_out}")
    error.reason = reason
    return error


def arrow_reason(error: Exception) -> str:
    """What Arrow said, in one line, without the name of the file that `read_table` adds."""
    return error.reason if isinstance(error, DamagedTableError) else " ".join(str(error).split())


def open_plain(source: Any, **options: Any) -> pq.ParquetFile:
    """``pq.ParquetFile(source, **options)``; raises ArrowInvalid for a column of a type that runs Python code."""
    file = pq.ParquetFile(source, **options)
    if coded := [field.name for field in file.schema_arrow if _runs_code(field.type)]:
        file.close()
        raise pa.ArrowInvalid(f"the column {coded[0]} is of a type whose values run code, which is not read")
    return file


def parquet_bytes(table: pa.Table) -> bytes:
    """A table as a Parquet file, compressed with zstd."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def _runs_code(type: pa.DataType) -> bool:
    """Whether Python code creates the values; Arrow's own extension types, such as UUIDs, are harmless."""
    if isinstance(type, pa.ExtensionType):
        return True
    if pa.types.is_dictionary(type):
        return _runs_code(type.value_type)
    return any(_runs_code(type.field(i).type) for i in range(type.num_fields))


def write_table(table: pa.Table, uri: str) -> None:
    """Writes one zstd Parquet file, completely or not at all."""
    storage.write_bytes(uri, parquet_bytes(table))


def write_part(folder: str, rows: pa.Table) -> None:
    """Writes rows, unless there are none, as a new file in ``folder``."""
    if rows.num_rows:
        write_table(rows, storage.join(folder, f"{secrets.token_hex(16)}.parquet"))


def read_schema(uri: str) -> pa.Schema:
    """The schema of one Parquet file; DamagedTableError as `read_table`."""
    filesystem, path = storage.filesystem(uri)
    with _as_damaged(uri, path):
        return pq.read_schema(path, filesystem=filesystem)


def read_footer(uri: str) -> pq.FileMetaData:
    """The footer of one Parquet file; DamagedTableError as `read_table`."""
    filesystem, path = storage.filesystem(uri)
    with _as_damaged(uri, path):
        return pq.read_metadata(path, filesystem=filesystem)


def parquet_files(folder: str, *, prefix: str = "") -> list[str]:
    """The Parquet files of a folder, sorted by name; empty where the folder does not exist."""
    names = [name for name in storage.list_names(folder) if name.endswith(".parquet") and name.startswith(prefix)]
    return [storage.join(folder, name) for name in names]


def read_table(uri: str, columns: list[str] | None = None) -> pa.Table:
    """The table of one Parquet file, or some of its columns.

    DamagedTableError where it is damaged or cut off, or has not all of ``columns``.
    """
    filesystem, path = storage.filesystem(uri)
    with _as_damaged(uri, path):
        file = open_plain(path, filesystem=filesystem, pre_buffer=True)
    check_columns(uri, file.schema_arrow, columns or ())
    with _as_damaged(uri, path):
        return file.read(columns=columns)


def read_batches(uri: str, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """The record batches of one Parquet file, for files larger than memory; DamagedTableError as `read_table`."""
    filesystem, path = storage.filesystem(uri)
    with _as_damaged(uri, path):
        file = open_plain(path, filesystem=filesystem, pre_buffer=True)
    check_columns(uri, file.schema_arrow, columns or ())
    with _as_damaged(uri, path):
        batches = file.iter_batches(columns=columns)
    while True:
        with _as_damaged(uri, path):
            batch = next(batches, None)
        if batch is None:
            return
        yield batch


def check_columns(uri: str, schema: pa.Schema, columns: Iterable[str]) -> None:
    """DamagedTableError where a Parquet file of this schema lacks one of ``columns``: pyarrow would leave it out."""
    for name in columns:
        if name not in schema.names:
            raise damaged_table(uri, f"it has no column {name}")


def cast_column(uri: str, column: pa.Array, field: pa.Field) -> pa.Array:
    """A column of a Parquet file in the type of ``field``; DamagedTableError for values that are of another type."""
    try:
        return column.cast(field.type)
    except pa.ArrowException as error:
        if not says_damage(error, uri):
            raise
        reason = f"its column {field.name} is {column.type}, not {field.type}: {arrow_reason(error)}"
        raise damaged_table(uri, reason) from error


@contextmanager
def _as_damaged(uri: str, path: str) -> Iterator[None]:
    """``path``: of ``uri`` in its pyarrow filesystem."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if not says_damage(error, path):
            raise
        raise damaged_table(uri, arrow_reason(error)) from error


def says_damage(error: Exception, path: str) -> bool:
    """Whether Arrow could not make sense of what it read, rather than the storage failed or memory ran out.

    Of a page that cannot be decompressed or decoded Arrow says so by a plain OSError. One of the system has a number,
    one of an object storage names the object.
    """
    if isinstance(error, OSError):
        return type(error) is OSError and error.errno is None and path not in str(error)
    return not isinstance(error, (pa.ArrowMemoryError, pa.ArrowCancelled))

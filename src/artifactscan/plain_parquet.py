"""Parquet files, as they are written here, and opened where somebody else may have written them.

A file can say that a column is of an extension type. Where Ray Data is loaded, one of its types holds pickled Python
objects, and looking at a value runs what the file's writer put there.
"""

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq


def open_plain(source: Any, **options: Any) -> pq.ParquetFile:
    """``pq.ParquetFile(source, **options)``; ArrowInvalid for a file with a column of a type that runs Python code."""
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
    """Whether Python, not Arrow, makes the values; Arrow's own extension types, such as UUIDs, are harmless."""
    if isinstance(type, pa.ExtensionType):
        return True
    if pa.types.is_dictionary(type):
        return _runs_code(type.value_type)
    return any(_runs_code(type.field(i).type) for i in range(type.num_fields))

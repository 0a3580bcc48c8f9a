"""Reads the index that an extraction or an export of events wrote; one that cannot be used is named by its cause."""

from pathlib import Path

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.storage.parquet import arrow_reason, read_table
from artifactscan.storage.storage_errors import describe


def read_index_file(uri: str, *schemas: pa.Schema, wanted: str) -> pa.Table:
    """The table of an index, in the first of ``schemas`` whose columns it has.

    ``wanted``: which file to give instead, to follow "give". UsageError for a file that is not there, is damaged,
    cannot be read, or is another table.
    """
    uri = storage.normalise(uri)
    try:
        table = read_table(uri)
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(f"index {uri} is not there; give {wanted}") from None
    except pa.ArrowException as error:
        raise UsageError(
            f"index {uri} is damaged, or no Parquet file ({arrow_reason(error)}); restore it, or have it written again "
            "by the command that made it"
        ) from None
    except OSError as error:
        if not storage.is_remote(uri) and Path(uri).is_dir():
            raise UsageError(f"index {uri} is a folder; give {wanted}") from None
        raise UsageError(f"index {uri} cannot be read: {describe(error, uri)}") from None
    for schema in schemas:
        if set(schema.names) <= set(table.column_names):
            return _cast(table, schema, uri, wanted)
    missing = next(name for name in schemas[0].names if name not in table.column_names)
    raise UsageError(f"index {uri} is another table, without a column {missing}; give {wanted}")


def _cast(table: pa.Table, schema: pa.Schema, uri: str, wanted: str) -> pa.Table:
    try:
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, KeyError, ValueError) as error:
        raise UsageError(f"index {uri} is another table ({arrow_reason(error)}); give {wanted}") from None

"""Iceberg tables in an SQL catalogue, or any other that PyIceberg is configured for.

Each commit sets a property of the table for every run that it writes, whose value is the run's mark: properties stay
when snapshots expire. The tables have no partitions, so that the runs of many nights may share a file; the files'
bounds say which runs are in them.
"""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from botocore import exceptions as boto_errors

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.iceberg_catalog import parse_catalog
from artifactscan.export.tables.library_errors import opening, writing
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, open_rows
from artifactscan.export.tables.table_target import (
    ROWS_AT_ONCE,
    SMALL_FILES,
    Changes,
    import_package,
    is_small,
    rows_after_writing,
    wrong_columns,
)
from artifactscan.export.target_place import (
    CATALOG_NAME,
    ICEBERG,
    ICEBERG_METADATA,
    check_folder,
    check_not_in_store,
    is_iceberg_metadata,
)
from artifactscan.messages.text import printable
from artifactscan.storage.groups import in_groups
from artifactscan.storage.lease import LEASE_NAME, Lease

_PROPERTY = "artifactscan.run."
_NO_RETRY = {"commit.retry.num-retries": "0"}
"""PyIceberg would add the rows of a commit that another export has overtaken, and made, once more."""
_TABLE_PROPERTIES = {
    **_NO_RETRY,
    "write.metadata.metrics.column.run": "full",  # else bounds are cut to 16 characters, and hold for whole days
    "commit.manifest-merge.enabled": "true",  # else each commit adds a manifest, which every reader reads
    "write.metadata.delete-after-commit.enabled": "true",  # keeps the last 100 metadata files
}
_SQLITE_FILES = ("", "-journal", "-wal", "-shm")
"""Endings of the files of an SQLite database."""


class IcebergTarget:
    """The tables frames, videos and events of a namespace; use it as a context manager."""

    def __init__(self, output: str, catalog: str | None, namespace: str):
        self._root, self._namespace = storage.normalise(output), namespace
        if set("?#%") & set(self._root):
            raise UsageError(f"--output {output} has one of ? # %, which a location of Iceberg cannot have; rename it")
        if storage.is_remote(self._root) and catalog is None:
            raise UsageError(
                f"--output {output} is an object storage, which holds no SQL catalogue; name one with --catalog"
            )
        if not namespace or not all(part.isidentifier() for part in namespace.split(".")):
            raise UsageError(f"--namespace {namespace!r} is no name of a namespace; give letters, digits and _")
        exceptions: Any = import_package("pyiceberg.exceptions", "iceberg")
        alchemy: Any = import_package("sqlalchemy.exc", "iceberg")
        own = [one for one in vars(exceptions).values() if isinstance(one, type) and issubclass(one, Exception)]
        of_glue = (boto_errors.BotoCoreError, boto_errors.ClientError)
        self._data_files: Any = import_package("artifactscan.export.tables.iceberg_data_files", "iceberg")
        self._errors: tuple[type[Exception], ...] = (*own, alchemy.SQLAlchemyError, *of_glue)
        self._catalog = parse_catalog(catalog or f"sqlite:///{self._root}/{CATALOG_NAME}")
        if catalog and self._catalog.file:
            check_not_in_store(self._catalog.file, flag="--catalog")
        self._lease = Lease(storage.join(self._root, LEASE_NAME), what="export")

    def __enter__(self) -> "IcebergTarget":
        self._check_folder()
        with ExitStack() as opened:
            opened.enter_context(self._lease)
            self._check_folder()  # another job may have written it since
            with opening(f"catalogue {self._catalog}", (*self._errors, ValueError, ImportError)):
                catalog = opened.enter_context(closing(self._open_catalog()))
                catalog.create_namespace_if_not_exists(self._namespace)
                self._tables = {table: self._open(catalog, table) for table in EXPORTED}
                self._rows = {table: self._data_files.read_rows_per_run(self._tables[table]) for table in EXPORTED}
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def count_rows(self, table: str) -> Mapping[str, int]:
        return self._rows[table]

    def is_marked(self, table: str, run: StoredRun) -> bool:
        return self._tables[table].properties.get(_PROPERTY + run.run) == str(run.mark(table))

    def write(self, changes: Changes) -> None:
        expressions: Any = import_package("pyiceberg.expressions", "iceberg")
        for table, runs in changes.items():
            self._lease.check_if_due()
            replaced = self._rows[table].keys() & {run.run for run in runs}
            with (
                writing(f"table {self._namespace}.{table}", self._errors),
                self._tables[table].transaction() as transaction,
            ):
                if replaced:
                    transaction.delete(expressions.In("run", replaced))
                with open_rows(table, runs) as rows:
                    for chunk in _chunks(rows):
                        transaction.append(chunk)
                transaction.set_properties({_PROPERTY + run.run: str(run.mark(table)) for run in runs})
            self._rows[table] = rows_after_writing(self._rows[table], table, runs)

    def merge_small_files(self) -> int:
        fewer = 0
        for table, found in self._tables.items():
            with writing(f"table {self._namespace}.{table}", self._errors):
                small = [task for task in found.scan().plan_files() if is_small(task.file.record_count)]
                if len(small) >= SMALL_FILES:
                    self._lease.check_if_due()
                    fewer += self._data_files.merge_files(found, small)
        return fewer

    def describe(self) -> str:
        names = ", ".join(f"{self._namespace}.{table}" for table in EXPORTED)
        return f"the tables {names} of the catalogue {self._catalog}"

    def _check_folder(self) -> None:
        inside = PurePosixPath(self._catalog.file or "/")
        catalog: list[str] = []
        if inside.is_relative_to(self._root):
            name, *deeper = inside.relative_to(self._root).parts
            catalog = [name] if deeper else [name + ending for ending in _SQLITE_FILES]
        check_folder(self._root, ICEBERG, begun=(*EXPORTED, *catalog))

    def _open_catalog(self) -> Any:
        properties = {"warehouse": _location(self._root)}
        if storage.is_remote(self._root):
            properties["py-io-impl"] = "artifactscan.export.tables.iceberg_files.StorageFileIO"
        else:
            Path(self._root).mkdir(parents=True, exist_ok=True)
        return self._catalog.open(properties)

    def _open(self, catalog: Any, table: str) -> Any:
        """The table, made where there is none; UsageError where it has other columns."""
        schema = _iceberg_schema(EXPORTED[table])
        name = (*self._namespace.split("."), table)
        location = _location(storage.join(self._root, table))
        try:
            if not catalog.table_exists(name):  # create_table_if_not_exists would write a file each time
                self._check_unused(table)
                catalog.create_table(name, schema, location=location, properties=_TABLE_PROPERTIES)
            found = catalog.load_table(name)
        except (*self._errors, ValueError):  # such as of parsing a file, which they do not name
            if damage := _find_damaged_metadata(storage.join(self._root, table, ICEBERG_METADATA)):
                raise UsageError(f"{damage}; restore it from a copy, or give another --output") from None
            raise
        columns = {field.name: (field.field_type, field.required) for field in found.schema().fields}
        if columns != {field.name: (field.field_type, field.required) for field in schema.fields}:
            raise wrong_columns(f"{self._namespace}.{table}", f"catalogue {self._catalog}")
        if found.location() != location:
            raise UsageError(
                f"table {self._namespace}.{table} of the catalogue {self._catalog} lies in {found.location()}, "
                f"not in --output {self._root}; give the folder where it lies, or another --namespace"
            )
        if fields := found.spec().fields:
            raise UsageError(
                f"table {self._namespace}.{table} is partitioned by {fields[0].name}, as artifactscan's is not; give "
                "another --namespace"
            )
        if not _NO_RETRY.items() <= found.properties.items():
            with found.transaction() as transaction:
                transaction.set_properties(_NO_RETRY)
        return found

    def _check_unused(self, table: str) -> None:
        """UsageError where the place of a table that the catalogue does not have holds files, such as of another's."""
        place = storage.join(self._root, table)
        # A kill while the table was made may have left its metadata.
        if others := set(storage.list_names(place)) - {ICEBERG_METADATA}:
            raise UsageError(
                f"{place} holds files ({printable(min(others), 40)}) of no table {self._namespace}.{table} of the "
                f"catalogue {self._catalog}; give the catalogue and the namespace by which they were written, or "
                "another --output"
            )


def _find_damaged_metadata(folder: str) -> str | None:
    """What is wrong with which file of a table's metadata, the latest that is damaged; None where all can be read."""
    for name in sorted(storage.list_names(folder), reverse=True):
        if is_iceberg_metadata(name):
            data = storage.read_bytes(storage.join(folder, name))
            try:
                json.loads(gzip.decompress(data) if ".gz" in name else data)
            except (ValueError, EOFError, gzip.BadGzipFile, zlib.error) as error:
                return f"{storage.join(folder, name)} is damaged ({error})"
    return None


def _location(root: str) -> str:
    return root if storage.is_remote(root) else f"file://{root}"


def _iceberg_schema(schema: pa.Schema) -> Any:
    """The Iceberg schema of an Arrow schema of plain columns."""
    schemas: Any = import_package("pyiceberg.schema", "iceberg")
    types: Any = import_package("pyiceberg.types", "iceberg")
    known = {
        pa.string(): types.StringType(),
        pa.int32(): types.IntegerType(),
        pa.int64(): types.LongType(),
        pa.float32(): types.FloatType(),
        pa.float64(): types.DoubleType(),
        pa.timestamp("us", tz="UTC"): types.TimestamptzType(),
    }
    fields = [
        types.NestedField(number, field.name, known[field.type], required=not field.nullable)
        for number, field in enumerate(schema, start=1)
    ]
    return schemas.Schema(*fields)


def _chunks(rows: pa.RecordBatchReader) -> Iterator[pa.Table]:
    """The rows in tables of about ROWS_AT_ONCE rows; none without rows."""
    batches = (batch for batch in rows if batch.num_rows)
    for chunk in in_groups(batches, lambda batch: batch.num_rows, ROWS_AT_ONCE):
        yield pa.Table.from_batches(chunk, rows.schema)

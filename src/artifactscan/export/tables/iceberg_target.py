"""Iceberg tables in an SQL catalogue, or any other that PyIceberg is configured for.

Each commit sets a property of the table for every run that it writes, whose value is the run's mark: properties stay
when snapshots expire.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, open_rows
from artifactscan.export.tables.table_target import Changes, import_package, opening, writing, wrong_columns
from artifactscan.messages.text import without_credentials
from artifactscan.storage.lease import LEASE_NAME, Lease

CATALOG_FILE = "catalog.sqlite"
"""The catalogue in --output where no other is named."""
ROWS_AT_ONCE = 250_000
"""Rows that are written at a time: 60 MB of Arrow."""
_PROPERTY = "artifactscan.run."


class IcebergTarget:
    """The tables frames, videos and events of a namespace, partitioned by run; use it as a context manager."""

    def __init__(self, output: str, catalog: str | None, namespace: str):
        self._root, self._given, self._namespace = storage.normalise(output), catalog, namespace
        if set("?#%") & set(self._root):
            raise UsageError(f"--output {output} has one of ? # %, which a location of Iceberg cannot have; rename it")
        if storage.is_remote(self._root) and catalog is None:
            raise UsageError(
                f"--output {output} is an object storage, which holds no SQL catalogue; name one with --catalog"
            )
        if not namespace or not all(part.isidentifier() for part in namespace.split(".")):
            raise UsageError(f"--namespace {namespace!r} is no name of a namespace; give letters, digits and _")
        self._catalogs: Any = import_package("pyiceberg.catalog", "iceberg")
        exceptions: Any = import_package("pyiceberg.exceptions", "iceberg")
        alchemy: Any = import_package("sqlalchemy.exc", "iceberg")
        own = [one for one in vars(exceptions).values() if isinstance(one, type) and issubclass(one, Exception)]
        self._errors: tuple[type[Exception], ...] = (*own, alchemy.SQLAlchemyError)
        self._lease = Lease(storage.join(self._root, LEASE_NAME), what="export")

    def __enter__(self) -> "IcebergTarget":
        way_out = "let what else works on it end, or give another one, and give the same command again"
        with ExitStack() as opened:
            opened.enter_context(self._lease)
            with opening(f"catalogue {self._shown_catalog()}", (*self._errors, ValueError, ImportError), way_out):
                catalog = opened.enter_context(closing(self._open_catalog()))
                catalog.create_namespace_if_not_exists(self._namespace)
                self._tables = {table: self._open(catalog, table) for table in EXPORTED}
                self._present = {table: self._runs_with_rows(table) for table in EXPORTED}
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def runs(self) -> set[str]:
        return set().union(*self._present.values())

    def holds(self, table: str, run: StoredRun) -> bool:
        """By the mark, and by the rows: of a table that was rolled back to an earlier snapshot these are gone."""
        marked = self._tables[table].properties.get(_PROPERTY + run.run) == str(run.mark(table))
        return marked and (run.run in self._present[table] or not run.expected_rows(table))

    def write(self, changes: Changes) -> None:
        expressions: Any = import_package("pyiceberg.expressions", "iceberg")
        for table, runs in changes.items():
            self._lease.check_if_due()
            replaced = sorted({run.run for run in runs} & self._present[table])
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
            self._present[table] = self._runs_with_rows(table)

    def describe(self) -> str:
        names = ", ".join(f"{self._namespace}.{table}" for table in EXPORTED)
        return f"the tables {names} of the catalogue {self._shown_catalog()}"

    def _catalog_uri(self) -> str:
        return self._given or f"sqlite:///{self._root}/{CATALOG_FILE}"

    def _shown_catalog(self) -> str:
        return without_credentials(self._catalog_uri())

    def _open_catalog(self) -> Any:
        properties = {"warehouse": _location(self._root)}
        if storage.is_remote(self._root):
            properties["py-io-impl"] = "artifactscan.export.tables.iceberg_files.StorageFileIO"
        else:
            Path(self._root).mkdir(parents=True, exist_ok=True)
        uri = self._catalog_uri()
        if "://" not in uri:
            return self._catalogs.load_catalog(uri, **properties)
        return self._catalogs.load_catalog("default", type="sql", uri=uri, **properties)

    def _open(self, catalog: Any, table: str) -> Any:
        """The table, made where there is none; UsageError where it has other columns."""
        partitioning: Any = import_package("pyiceberg.partitioning", "iceberg")
        transforms: Any = import_package("pyiceberg.transforms", "iceberg")
        schema = _iceberg_schema(EXPORTED[table])
        by_run = partitioning.PartitionField(
            source_id=schema.find_field("run").field_id,
            field_id=1000,  # the first number for partitions, by Iceberg's specification
            transform=transforms.IdentityTransform(),
            name="run",
        )
        name = (*self._namespace.split("."), table)
        location = _location(storage.join(self._root, table))
        if not catalog.table_exists(name):  # create_table_if_not_exists would write a file each time
            catalog.create_table(name, schema, location=location, partition_spec=partitioning.PartitionSpec(by_run))
        found = catalog.load_table(name)
        columns = {field.name: (field.field_type, field.required) for field in found.schema().fields}
        if columns != {field.name: (field.field_type, field.required) for field in schema.fields}:
            raise wrong_columns(f"{self._namespace}.{table}", f"catalogue {self._shown_catalog()}")
        if found.location() != location:
            raise UsageError(
                f"table {self._namespace}.{table} of the catalogue {self._shown_catalog()} lies in {found.location()}, "
                f"not in --output {self._root}; give the folder where it lies, or another --namespace"
            )
        if [field.name for field in found.spec().fields] != ["run"]:
            raise UsageError(f"table {self._namespace}.{table} is not partitioned by run; give another --namespace")
        return found

    def _runs_with_rows(self, table: str) -> set[str]:
        if self._tables[table].current_snapshot() is None:
            return set()
        partitions = self._tables[table].inspect.partitions()
        return {row["run"] for row in partitions["partition"].to_pylist()}


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
    waiting, count = [], 0
    for batch in rows:
        waiting.append(batch)
        count += batch.num_rows
        if count >= ROWS_AT_ONCE:
            yield pa.Table.from_batches(waiting, rows.schema)
            waiting, count = [], 0
    if count:
        yield pa.Table.from_batches(waiting, rows.schema)

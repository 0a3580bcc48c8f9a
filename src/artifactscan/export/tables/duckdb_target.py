"""A DuckDB database with the tables of a store, its runs, and the views over them.

The rows of a run and its row in the table runs are written by one transaction over all tables.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, open_rows
from artifactscan.export.tables.table_target import Changes, import_package, opening, writing, wrong_columns
from artifactscan.export.tables.write_views import VIEWS, duckdb_views

_TYPES = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMP WITH TIME ZONE",
}
_COLUMNS = {
    **{table: {field.name: _TYPES[field.type] for field in schema} for table, schema in EXPORTED.items()},
    "runs": {
        **dict.fromkeys(("run", "spec", "scope", "checkpoint", "started", "finished"), "VARCHAR"),
        **{f"mark_{table}": "BIGINT" for table in EXPORTED},
    },
}
"""Table → its columns and their types."""


_MAGIC = b"DUCK"
"""Of a database file, from its ninth byte on (https://duckdb.org/docs/internals/storage)."""
_OTHER_KINDS = (".json", ".csv", ".tsv", ".parquet", ".db", ".sqlite")
"""Endings of files that DuckDB opens as something else, unless they hold a database of its own."""


class DuckDBTarget:
    """The database in a local file; use it as a context manager."""

    def __init__(self, output: str):
        if storage.is_remote(storage.normalise(output)):
            raise UsageError(f"--output {output}: DuckDB writes local files only; give the path of one")
        duckdb: Any = import_package("duckdb", "duckdb")
        self._errors: tuple[type[Exception], ...] = (duckdb.Error,)
        self._path, self._connect = storage.normalise(output), duckdb.connect

    def __enter__(self) -> "DuckDBTarget":
        way_out = "close it where it is open, or give another file, and give the same command again"
        with opening(f"database {self._path}", self._errors, way_out), ExitStack() as opened:
            _check_database(Path(self._path))
            Path(self._path).parent.mkdir(parents=True, exist_ok=True)
            self._database = opened.enter_context(self._connect(self._path))
            self._make_tables()
            rows = self._database.execute("SELECT run, mark_frames, mark_videos, mark_events FROM runs").fetchall()
            self._marks: dict[str, dict[str, int]] = {
                run: dict(zip(("frames", "videos", "events"), marks, strict=True)) for run, *marks in rows
            }
            opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def runs(self) -> set[str]:
        return set(self._marks)

    def holds(self, table: str, run: StoredRun) -> bool:
        return self._marks.get(run.run, {}).get(table) == run.mark(table)

    def write(self, changes: Changes) -> None:
        with writing(f"database {self._path}", self._errors), self._transaction():
            changed = {run.run: run for runs in changes.values() for run in runs}
            for table, runs in changes.items():
                self._replace(table, [run.run for run in runs])
                with open_rows(table, runs) as rows:
                    self._database.register("incoming_rows", rows)
                    self._database.execute(f"INSERT INTO {table} BY NAME SELECT * FROM incoming_rows")
                    self._database.unregister("incoming_rows")
            self._replace("runs", list(changed))
            for run in changed.values():
                self._database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", _row(run))
        self._marks |= {name: {table: run.mark(table) for table in EXPORTED} for name, run in changed.items()}

    def describe(self) -> str:
        return f"{self._path}, with the views {', '.join(VIEWS)}"

    def _replace(self, table: str, runs: list[str]) -> None:
        """Removes the rows of these runs, in whose place others come."""
        self._database.execute(f"DELETE FROM {table} WHERE list_contains(CAST(? AS VARCHAR[]), run)", [runs])

    def _make_tables(self) -> None:
        """Makes the tables that are not there, and the views; UsageError where one has other columns."""
        with self._transaction():
            for table, columns in _COLUMNS.items():
                found = self._database.execute(
                    "SELECT column_name, data_type FROM duckdb_columns() "
                    "WHERE database_name = current_database() AND schema_name = 'main' AND table_name = ? "
                    "ORDER BY column_index",
                    [table],
                ).fetchall()
                if found and dict(found) != columns:
                    raise wrong_columns(table, self._path)
                if not found:
                    declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
                    self._database.execute(f"CREATE TABLE {table} ({declared})")
            self._database.execute(duckdb_views())

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.begin()
        try:
            yield
        except BaseException:
            with suppress(*self._errors):  # the error that ended the work matters more
                self._database.rollback()
            raise
        self._database.commit()


def _row(run: StoredRun) -> list[object]:
    """The row of a run in the table runs."""
    record = run.record
    facts = [run.run, record.spec_digest, record.scope_digest, record.checkpoint_name, record.started, record.finished]
    return [*facts, *(run.mark(table) for table in EXPORTED)]


def _check_database(path: Path) -> None:
    """UsageError for a file that is there and is no database: DuckDB would read it, and write to memory."""
    if not path.is_file():
        return
    with path.open("rb") as file:
        head = file.read(12)
    if head[8:] != _MAGIC and (head or path.suffix.lower() in _OTHER_KINDS):
        raise UsageError(f"--output {path} is there and is no DuckDB database; give another file")

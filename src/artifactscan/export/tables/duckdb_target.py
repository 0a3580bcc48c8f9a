"""A DuckDB database with the tables of a store, its runs, and the views over them.

The rows of a run and its row in the table runs are written by one transaction over all tables.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.library_errors import opening, writing
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, open_rows
from artifactscan.export.tables.table_target import Changes, import_package, rows_after_writing, wrong_columns
from artifactscan.export.tables.write_views import VIEWS, duckdb_views
from artifactscan.export.target_place import check_beside
from artifactscan.messages.text import printable
from artifactscan.storage.temporary_files import temporary_path

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
_HERE = "WHERE database_name = current_database() AND schema_name = 'main'"
_OURS = "Written by artifactscan export, which replaces it."
"""Comment of the views: a view without it is somebody else's."""

_MAGIC = b"DUCK"
"""Of a database file, from its ninth byte on (https://duckdb.org/docs/internals/storage)."""
_OTHER_KINDS = (".json", ".csv", ".tsv", ".parquet", ".db", ".sqlite")
"""Endings of files that DuckDB opens as something else, unless they hold a database of its own."""

_NO_PATH = re.compile(r"[\\\ud800-\udfff]")
"""A backslash, which DuckDB takes for a slash, and bytes that are no UTF-8, with which it fails."""


class _View(NamedTuple):
    comment: str | None
    sql: str
    """As DuckDB keeps it."""


class DuckDBTarget:
    """The database in a local file; use it as a context manager."""

    def __init__(self, output: str):
        if storage.is_remote(storage.normalise(output)):
            raise UsageError(f"--output {output}: DuckDB writes local files only; give the path of one")
        if found := _NO_PATH.search(os.path.realpath(storage.normalise(output))):
            raise UsageError(
                f"--output {output} has '{printable(found[0])}' in its path, which DuckDB reads as another; rename it"
            )
        duckdb: Any = import_package("duckdb", "duckdb")
        self._errors: tuple[type[Exception], ...] = (duckdb.Error,)
        self._path, self._connect = storage.normalise(output), duckdb.connect

    def __enter__(self) -> "DuckDBTarget":
        with opening(f"database {self._path}", self._errors), ExitStack() as opened:
            _check_database(Path(self._path))
            if not Path(self._path).exists():
                check_beside(os.path.realpath(Path(self._path).parent), output=self._path)
                self._make_empty_database(Path(self._path))
            self._database = opened.enter_context(self._connect(self._path))
            self._make_tables()
            marks = ", ".join(f"mark_{table}" for table in EXPORTED)
            rows = self._database.execute(f"SELECT run, {marks} FROM runs").fetchall()
            self._marks: dict[str, dict[str, int]] = {
                run: dict(zip(EXPORTED, values, strict=True)) for run, *values in rows
            }
            self._rows = {table: self._count_rows(table) for table in EXPORTED}
            opened.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def count_rows(self, table: str) -> Mapping[str, int]:
        return self._rows[table]

    def is_marked(self, table: str, run: StoredRun) -> bool:
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
        for table, runs in changes.items():
            self._rows[table] = rows_after_writing(self._rows[table], table, runs)
        self._marks |= {name: {table: run.mark(table) for table in EXPORTED} for name, run in changed.items()}

    def merge_small_files(self) -> int:
        return 0  # a database is one file

    def describe(self) -> str:
        return f"{self._path}, with the views {', '.join(VIEWS)}"

    def _count_rows(self, table: str) -> dict[str, int]:
        return dict(self._database.execute(f"SELECT run, count(*) FROM {table} GROUP BY run").fetchall())

    def _replace(self, table: str, runs: list[str]) -> None:
        """Removes the rows of these runs, in whose place others come."""
        self._database.execute(f"DELETE FROM {table} WHERE list_contains(CAST(? AS VARCHAR[]), run)", [runs])

    def _make_empty_database(self, path: Path) -> None:
        """Makes the file completely or not at all: one that DuckDB has begun and not ended cannot be opened."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = temporary_path(path)
        try:
            self._connect(str(temporary)).close()
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        try:
            path.hardlink_to(temporary)
        except FileExistsError:  # another command began at the same time
            pass
        except OSError:  # a file system without hard links, which could tell that
            temporary.rename(path)
        finally:
            temporary.unlink(missing_ok=True)

    def _make_tables(self) -> None:
        """Makes the tables that are not there, and the views; UsageError where such a name is somebody else's."""
        with self._transaction():
            for table, columns in _COLUMNS.items():
                found = self._columns_of(table)
                if found and found != columns:
                    raise wrong_columns(table, self._path)
                if not found:
                    declared = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
                    self._database.execute(f"CREATE TABLE {table} ({declared})")
            self._replace_views()

    def _columns_of(self, table: str) -> dict[str, str]:
        """The columns of a table or view and their types; empty where there is none."""
        rows = self._database.execute(
            f"SELECT column_name, data_type FROM duckdb_columns() {_HERE} AND lower(table_name) = ?",
            [table],
        ).fetchall()
        return dict(rows)

    def _replace_views(self) -> None:
        """Writes the views anew; UsageError, after which they are to be rolled back, where one is somebody else's."""
        tables = self._database.execute(f"SELECT lower(table_name) FROM duckdb_tables() {_HERE}").fetchall()
        before = self._views()
        theirs = [f"table {name}" for (name,) in tables if name in VIEWS]
        theirs += [f"view {name}" for name in before if name in _COLUMNS]
        if not theirs:
            self._database.execute(duckdb_views())
            now = self._views()
            theirs = [f"view {name}" for name in VIEWS if name in before and not _is_ours(before[name], now[name])]
        if theirs:
            raise UsageError(
                f"{self._path} has a {theirs[0]} that artifactscan did not write; rename it, or give another file"
            )
        for view in VIEWS:
            self._database.execute(f"COMMENT ON VIEW {view} IS '{_OURS}'")

    def _views(self) -> dict[str, _View]:
        """The views by their names in small letters: DuckDB takes large ones for the same."""
        rows = self._database.execute(f"SELECT lower(view_name), comment, sql FROM duckdb_views() {_HERE}").fetchall()
        return {name: _View(comment, sql) for name, comment, sql in rows}

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


def _is_ours(before: _View, now: _View) -> bool:
    """Whether a view was written by an export: by its comment, or without one in the same words."""
    return before.comment == _OURS or before.sql == now.sql


def _row(run: StoredRun) -> list[object]:
    """The row of a run in the table runs."""
    record = run.record
    facts = [run.run, record.spec_digest, record.scope_digest, record.checkpoint_name, record.started, record.finished]
    return [*facts, *(run.mark(table) for table in EXPORTED)]


def _check_database(path: Path) -> None:
    """UsageError for a file that is there and is no database: DuckDB would read it, and write to memory."""
    if path.is_dir():
        raise UsageError(f"--output {path} is a folder; give the path of a database file")
    if not path.exists():
        return
    if not path.is_file():  # opening a pipe would wait for ever
        raise UsageError(f"--output {path} is there and is no regular file; give another path")
    with path.open("rb") as file:
        head = file.read(12)
    if head[8:] != _MAGIC and (head or path.suffix.lower() in _OTHER_KINDS):
        raise UsageError(f"--output {path} is there and is no DuckDB database; give another file")

"""Delta Lake tables in a local folder, written by delta-rs.

Each commit carries an application transaction for every run that it writes, whose version is the run's mark. The tables
have no partitions, so that the runs of many nights may share a file; the files' statistics say which runs are in them.
"""

import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from artifactscan import storage
from artifactscan.errors import UsageError
from artifactscan.export.tables.delta_log import find_damaged_file
from artifactscan.export.tables.library_errors import opening, writing
from artifactscan.export.tables.stored_run import EXPORTED, StoredRun, open_rows
from artifactscan.export.tables.table_target import (
    SMALL_FILES,
    Changes,
    import_package,
    is_small,
    rows_after_writing,
    wrong_columns,
)
from artifactscan.export.target_place import DELTA, DELTA_LOG, check_folder
from artifactscan.messages.text import printable
from artifactscan.storage.lease import LEASE_NAME, Lease

_CONFIGURATION = {"delta.dataSkippingNumIndexedCols": "-1"}
"""Statistics of all columns, so that the rows of a run are found: `run` is the last, and else 32 have them."""
_MERGED_BYTES = 32 * 2**20
"""Files are merged up to this size: the larger, the more is written again with each merging."""
_NO_PATH = re.compile(r"[\[\]|^\\\x00-\x1f\x7f\ud800-\udfff]|%[0-9A-Fa-f]{2}")
"""What paths of delta-rs cannot have, as a file:// URL neither: with some it panics, or writes the log elsewhere."""


class DeltaTarget:
    """The folders frames, videos and events below ``output``; use it as a context manager."""

    def __init__(self, output: str):
        self._root = storage.normalise(output)
        if storage.is_remote(self._root):
            # delta-rs reaches storages by a library of its own, with other credentials, trust and retries
            raise UsageError(
                f"--output {output}: Delta tables are written to local folders only; give one, or take --to iceberg, "
                "which writes to object storages"
            )
        if found := _NO_PATH.search(str(Path(self._root).resolve())):  # delta-rs follows links
            raise UsageError(
                f"--output {output} has '{printable(found[0])}' in its path, which Delta Lake cannot have (nor "
                "[ ] | ^ \\, control characters, or % before two hex digits); rename the folder"
            )
        self._deltalake: Any = import_package("deltalake", "delta")
        exceptions: Any = import_package("deltalake.exceptions", "delta")
        self._errors: tuple[type[Exception], ...] = (exceptions.DeltaError,)
        self._lease = Lease(storage.join(self._root, LEASE_NAME), what="export")

    def __enter__(self) -> "DeltaTarget":
        check_folder(self._root, DELTA, begun=EXPORTED)
        with ExitStack() as opened:
            opened.enter_context(self._lease)
            check_folder(self._root, DELTA, begun=EXPORTED)  # another job may have written it since
            self._tables = {table: self._open(table) for table in EXPORTED}
            self._rows = {table: self._count_rows(table) for table in EXPORTED}
            self._opened = opened.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._opened.__exit__(*error)

    def count_rows(self, table: str) -> Mapping[str, int]:
        return self._rows[table]

    def is_marked(self, table: str, run: StoredRun) -> bool:
        return self._tables[table].transaction_version(_application(run)) == run.mark(table)

    def write(self, changes: Changes) -> None:
        for table, runs in changes.items():
            self._lease.check_if_due()
            replaced = self._rows[table].keys() & {run.run for run in runs}
            names = ", ".join(f"'{run}'" for run in sorted(run.run for run in runs))  # plain by read_stored_runs
            how = {"mode": "overwrite", "predicate": f"run IN ({names})"} if replaced else {"mode": "append"}
            marks = [self._deltalake.Transaction(_application(run), run.mark(table)) for run in runs]
            with writing(f"table {self._uri(table)}", self._errors), open_rows(table, runs) as rows:
                self._deltalake.write_deltalake(
                    self._tables[table],
                    rows,
                    **how,
                    commit_properties=self._deltalake.CommitProperties(app_transactions=marks),
                )
                self._tables[table].update_incremental()
            self._rows[table] = rows_after_writing(self._rows[table], table, runs)

    def merge_small_files(self) -> int:
        fewer = 0
        for table, found in self._tables.items():
            with writing(f"table {self._uri(table)}", self._errors):
                rows = pa.table(found.get_add_actions(flatten=True))["num_records"].to_pylist()
                if sum(count is not None and is_small(count) for count in rows) < SMALL_FILES:  # None: no statistics
                    continue
                self._lease.check_if_due()
                done = found.optimize.compact(target_size=_MERGED_BYTES)
                fewer += done["numFilesRemoved"] - done["numFilesAdded"]
        return fewer

    def describe(self) -> str:
        return f"the tables {', '.join(EXPORTED)} in {self._root}"

    def _uri(self, table: str) -> str:
        return storage.join(self._root, table)

    def _open(self, table: str) -> Any:
        """The table, made where there is none; UsageError where it has other columns, or cannot be read."""
        uri, schema = self._uri(table), self._deltalake.Schema.from_arrow(EXPORTED[table])
        with opening(f"table {uri}", self._errors):
            if not self._deltalake.DeltaTable.is_deltatable(uri):
                if set(storage.list_names(uri)) - {DELTA_LOG}:  # which a kill while it was made may have left
                    raise UsageError(f"{uri} holds files that are no Delta table; give another --output")
                return self._deltalake.DeltaTable.create(uri, schema, configuration=_CONFIGURATION)
            try:
                found = self._deltalake.DeltaTable(uri)
            except self._errors:
                if damage := find_damaged_file(uri):
                    raise UsageError(f"{damage}; restore it from a copy, or give another --output") from None
                raise
        storage.check_writable(uri)  # without that right delta-rs would write a Rust panic to the terminal
        columns = {field.name: field.type for field in found.schema().fields}
        if columns != {field.name: field.type for field in schema.fields}:
            raise wrong_columns(table, self._root)
        if columns := found.metadata().partition_columns:
            raise UsageError(f"{uri} is partitioned by {columns[0]}, as artifactscan's is not; give another --output")
        return found

    def _count_rows(self, table: str) -> dict[str, int]:
        query = self._deltalake.QueryBuilder().register("exported", self._tables[table])
        with opening(f"table {self._uri(table)}", self._errors):
            counted = pa.table(query.execute("SELECT run, count(*) AS rows FROM exported GROUP BY run"))
        return dict(zip(counted["run"].to_pylist(), counted["rows"].to_pylist(), strict=True))


def _application(run: StoredRun) -> str:
    return f"artifactscan/{run.run}"

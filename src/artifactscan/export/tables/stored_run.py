"""A committed run of a store as rows to export, and the mark by which a target knows that it has them."""

import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.export.tables.library_errors import CONTINUES
from artifactscan.schemas import STORED_EVENTS, STORED_FRAMES, STORED_VIDEOS
from artifactscan.storage.parquet import cast_column, check_columns, parquet_files, read_batches
from artifactscan.storage.storage_errors import as_cut_off_errors
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord, read_run_record
from artifactscan.store.table_files import ALWAYS_WRITTEN, RunChangedError, check_rows, expected_rows

_RUN = pa.field("run", pa.string(), nullable=False)
EXPORTED: dict[str, pa.Schema] = {
    "frames": pa.schema([*STORED_FRAMES, _RUN]),
    "videos": pa.schema([*STORED_VIDEOS, _RUN]),
    "events": pa.schema([*STORED_EVENTS, _RUN]),
}
"""The tables that are exported: those of a store, and the run of each row."""

_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_MARK_DIGITS = 15
"""Hex digits of a mark: 60 bits, a positive number for Delta Lake's 64-bit versions."""


@dataclass(frozen=True)
class StoredRun:
    """A committed run of a store."""

    store: Store
    record: RunRecord

    @property
    def run(self) -> str:
        return self.record.run

    def mark(self, table: str) -> int:
        """A number that stands for the rows of a table: another one where they were settled or flagged anew."""
        parts: list[object] = [self.run, self.record.finished]
        if table != "frames":  # thresholds change no score
            parts.append(self.record.flags_by)
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode())
        return int(digest.hexdigest()[:_MARK_DIGITS], 16)

    def expected_rows(self, table: str) -> int | None:
        """The rows of a table by run.json; None for a record without that count."""
        return expected_rows(self.record, table)

    def batches(self, table: str) -> Iterator[pa.RecordBatch]:
        """The rows of a table with the schema in EXPORTED.

        RunChangedError where another job changed them meanwhile; UsageError where they are not as many as run.json
        says, or a file is damaged or has not all columns that every version wrote; OSError of the storage.
        """
        folder, rows = getattr(self.store, table)(self.run), 0
        try:
            for file in parquet_files(folder):
                for batch in read_batches(file):
                    check_columns(file, batch.schema, ALWAYS_WRITTEN[table].names)
                    rows += batch.num_rows
                    yield self._as_exported(batch, EXPORTED[table], file)
        except FileNotFoundError as error:  # compacted or settled anew since the folder was listed
            raise RunChangedError(f"run {self.run}: {error}") from error
        if read_run_record(self.store.run_json(self.run)) != self.record:
            raise RunChangedError(f"run {self.run} was flagged anew")
        check_rows(self.store, self.record, table, rows)

    def _as_exported(self, batch: pa.RecordBatch, schema: pa.Schema, file: str) -> pa.RecordBatch:
        """``batch`` of ``file`` with the columns of ``schema``; those that 0.1.0 did not write are filled in."""
        given = {"run": self.run, "spec": self.record.spec_digest, "checkpoint": self.record.checkpoint_name}
        columns = []
        for field in schema:
            if field.name != "run" and field.name in batch.schema.names:
                columns.append(cast_column(file, batch.column(field.name), field))
            else:
                columns.append(pa.repeat(pa.scalar(given[field.name], field.type), batch.num_rows))
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def read_stored_runs(store: Store) -> list[StoredRun]:
    """The committed runs of a store, oldest first; UsageError for none, and for a name that no run is given."""
    runs = [StoredRun(store, record) for record in store.committed()]
    if not runs:
        raise UsageError(f"{store.root} has no committed run; let `artifactscan score` finish first")
    for run in runs:
        if not _PLAIN_ID.fullmatch(run.run):  # it goes into SQL, names of properties and paths
            raise UsageError(f"{store.root} has a run named {run.run!r}, which artifactscan did not write; remove it")
    return runs


@contextmanager
def open_rows(table: str, runs: Sequence[StoredRun]) -> Iterator[pa.RecordBatchReader]:
    """The rows of a table of ``runs``, one run after the other, for a library that consumes them all.

    An error of reading is raised as it was, not as what the library makes of it; CutOffError for an OSError.
    """
    failed: list[Exception | KeyboardInterrupt] = []
    ended = False

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal ended
        try:
            with as_cut_off_errors(CONTINUES):
                for run in runs:
                    yield from run.batches(table)
            ended = True
        except (Exception, KeyboardInterrupt) as error:
            failed.append(error)
            raise

    try:
        yield pa.RecordBatchReader.from_batches(EXPORTED[table], batches())
    except Exception:
        if failed:
            raise failed[0] from failed[0].__cause__
        raise
    if failed:
        raise failed[0]
    assert ended, f"only some rows of {table} were consumed"

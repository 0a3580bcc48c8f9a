"""The files of a committed run's tables by their footers: whether they have all columns, and all rows of run.json."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from artifactscan.errors import UsageError
from artifactscan.schemas import EVENTS, FRAMES, VIDEOS
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.parquet import check_columns, parquet_files, read_footer
from artifactscan.store.layout import Store
from artifactscan.store.run_records import RunRecord, read_run_record

TABLES = ("frames", "videos", "events")
ALWAYS_WRITTEN = {"frames": FRAMES, "videos": VIDEOS, "events": EVENTS}
"""The columns of each table that every version wrote; those of SCORED_BY came after 0.1.0."""
_COUNTED = {"frames": "frames", "videos": "listed", "events": "events"}
"""Table → the count in run.json that is its number of rows."""


class RunChangedError(Exception):
    """Another job changed a run while it was read."""


@dataclass(frozen=True)
class TableFile:
    """What the footer of one Parquet file says."""

    uri: str
    schema: pa.Schema
    rows: int


def read_table_files(store: Store, run: str, table: str) -> list[TableFile]:
    """The files of a run's table, by name; DamagedTableError for one without a footer, OSError of the storage."""
    return [_read_file(file) for file in parquet_files(getattr(store, table)(run))]


def expected_rows(record: RunRecord, table: str) -> int | None:
    """The rows of a table by run.json; None for a record without that count."""
    return record.counts.get(_COUNTED[table])


def check_rows(store: Store, record: RunRecord, table: str, rows: int) -> None:
    """UsageError where a table has another number of ``rows`` than run.json says, as where files of it were lost."""
    expected = expected_rows(record, table)
    if expected is not None and rows != expected:
        raise UsageError(
            f"{getattr(store, table)(record.run)} has {rows:,} rows, and run.json says {expected:,}; restore it from a "
            f"copy, or remove {store.run_json(record.run)} to have the run settled again"
        )


def check_files(store: Store, record: RunRecord, table: str, files: Sequence[TableFile]) -> None:
    """As `check_rows`, by the footers of ``files``; events that are being computed anew have no known number.

    DamagedTableError for a file without a column that every version wrote.
    """
    for file in files:
        check_columns(file.uri, file.schema, ALWAYS_WRITTEN[table].names)
    if table != "events" or not record.is_being_flagged:
        check_rows(store, record, table, sum(file.rows for file in files))


def check_tables(store: Store, records: Iterable[RunRecord], tables: Sequence[str] = TABLES) -> None:
    """UsageError where ``tables`` of committed runs do not hold all their rows and columns; reads the footers only.

    RunChangedError where another job changed a run meanwhile; OSError of the storage.
    """
    each = [(record, table) for record in records for table in tables]
    for _ in map_in_order(lambda one: _check_table(store, *one), each):
        pass


def _check_table(store: Store, record: RunRecord, table: str) -> None:
    try:
        check_files(store, record, table, read_table_files(store, record.run, table))
    except FileNotFoundError as error:  # compacted or settled anew since the folder was listed
        raise RunChangedError(f"run {record.run}: {error}") from error
    except UsageError:
        if read_run_record(store.run_json(record.run)) != record:
            raise RunChangedError(f"run {record.run} was flagged anew") from None
        raise


def _read_file(uri: str) -> TableFile:
    footer = read_footer(uri)
    return TableFile(uri, footer.schema.to_arrow_schema(), footer.num_rows)

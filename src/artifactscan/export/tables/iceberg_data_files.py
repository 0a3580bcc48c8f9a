"""The data files of an Iceberg table: the runs whose rows are in them, and small ones merged.

PyIceberg has no call that replaces data files by others; `_dataframe_to_data_files` is what its own calls write with.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import count

from pyiceberg.conversions import from_bytes
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
from pyiceberg.schema import Schema
from pyiceberg.table import FileScanTask, Table

from artifactscan.export.tables.table_target import ROWS_AT_ONCE
from artifactscan.storage.concurrent import map_in_order
from artifactscan.storage.groups import in_groups


def read_rows_per_run(table: Table) -> dict[str, int]:
    """The rows of each run: by the bounds of the files with one run, read from those with several."""
    rows: Counter[str] = Counter()
    mixed = []
    for task in table.scan().plan_files():
        if run := _only_run(table, task):
            rows[run] += task.file.record_count
        else:
            mixed.append(task)
    for counts in map_in_order(lambda task: _count_rows(table, task), mixed):
        rows.update(counts)
    return dict(rows)


def merge_files(table: Table, tasks: Sequence[FileScanTask]) -> int:
    """Writes the rows of these data files into others of about ROWS_AT_ONCE rows, which replace them in one commit.

    Returns how many files there are fewer. The snapshot is an overwrite, so that who follows appends sees no new rows.
    """
    numbers, added = count(), 0
    with table.transaction() as transaction, transaction.update_snapshot().overwrite() as snapshot:
        for group in in_groups(tasks, lambda task: task.file.record_count, ROWS_AT_ONCE):
            rows = _scan(table, table.schema()).to_table(group)
            for file in _dataframe_to_data_files(table.metadata, rows, table.io, snapshot.commit_uuid, numbers):
                snapshot.append_data_file(file)
                added += 1
            for task in group:
                snapshot.delete_data_file(task.file)
    return len(tasks) - added


def _only_run(table: Table, task: FileScanTask) -> str | None:
    """The run of all rows of a data file, None where there may be several, or some rows were deleted beside it."""
    field, file = table.schema().find_field("run"), task.file
    first, last = (bounds.get(field.field_id) if bounds else None for bounds in (file.lower_bounds, file.upper_bounds))
    if first is None or first != last or task.delete_files:
        return None
    return from_bytes(field.field_type, first)


def _count_rows(table: Table, task: FileScanTask) -> dict[str, int]:
    runs = _scan(table, table.schema().select("run")).to_table([task])["run"]
    return {counted["values"]: counted["counts"] for counted in runs.value_counts().to_pylist()}


def _scan(table: Table, columns: Schema) -> ArrowScan:
    return ArrowScan(table.metadata, table.io, columns, AlwaysTrue())

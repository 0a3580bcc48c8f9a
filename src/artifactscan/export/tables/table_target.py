"""What every target of an export of tables can do."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Protocol

from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import StoredRun

ROWS_AT_ONCE = 250_000
"""Rows that are written at a time to a table of files: 60 MB of Arrow."""
SMALL_FILES = 16
"""Small files of a table from which on they are merged: the fewer, the more often a row is rewritten."""

Changes = Mapping[str, Sequence[StoredRun]]
"""Table → the runs whose rows are to be written in place of those that the target has of them."""


class TableTarget(Protocol):
    """Tables elsewhere that hold every run of a store once.

    The rows of a run and the mark that they are there (`StoredRun.mark`) are written by the same commit, so that after
    a kill at any moment the marks say what is missing.
    """

    def count_rows(self, table: str) -> Mapping[str, int]:
        """The rows that the table has of each run, without those that it has none of."""
        ...

    def is_marked(self, table: str, run: StoredRun) -> bool:
        """Whether the rows of the run, as they are in the store now, were written to the table."""
        ...

    def write(self, changes: Changes) -> None:
        """Writes runs of several tables, each table in one commit."""
        ...

    def merge_small_files(self) -> int:
        """Merges the small files of each table that has SMALL_FILES of them, each table in one commit, so that readers
        see the old files or the new ones; returns how many files there are fewer."""
        ...

    def describe(self) -> str:
        """What was written, as a person would look for it."""
        ...


def is_small(rows: int) -> bool:
    """Whether a file of so many rows is to be merged with others."""
    return 2 * rows < ROWS_AT_ONCE


def rows_after_writing(rows: Mapping[str, int], table: str, runs: Sequence[StoredRun]) -> dict[str, int]:
    """``rows`` of each run (`count_rows`) once ``runs`` are written; 1 where run.json does not say how many it has."""
    expected = {run.run: run.expected_rows(table) for run in runs}
    written = {run: 1 if count is None else count for run, count in expected.items()}
    return {run: count for run, count in {**rows, **written}.items() if count}


def import_package(module: str, target: str) -> ModuleType:
    """The ``module`` of a package that only this target needs; UsageError where it is not installed."""
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"--to {target} needs {error.name}, which is not installed: pip install 'artifactscan[tables]'"
        ) from None


def wrong_columns(table: str, where: str) -> UsageError:
    """The error for a table that has other columns than those that are exported."""
    return UsageError(
        f"{where} has a table {table} with other columns than artifactscan's; give another place, or move it away"
    )

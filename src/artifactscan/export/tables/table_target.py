"""What every target of an export of tables can do."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Protocol

from artifactscan.errors import UsageError
from artifactscan.export.tables.stored_run import StoredRun

Changes = Mapping[str, Sequence[StoredRun]]
"""Table → the runs whose rows are to be written in place of those that the target has of them."""


class TableTarget(Protocol):
    """Tables elsewhere that hold every run of a store once.

    The rows of a run and the mark that they are there (`StoredRun.mark`) are written by the same commit, so that after
    a kill at any moment the marks say what is missing.
    """

    def runs_in(self, table: str) -> set[str]:
        """The runs of which the table has rows."""
        ...

    def is_marked(self, table: str, run: StoredRun) -> bool:
        """Whether the rows of the run, as they are in the store now, were written to the table."""
        ...

    def write(self, changes: Changes) -> None:
        """Writes runs of several tables, each table in one commit."""
        ...

    def describe(self) -> str:
        """What was written, as a person would look for it."""
        ...


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

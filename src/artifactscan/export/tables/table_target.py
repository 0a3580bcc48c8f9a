"""What every target of an export of tables can do, and how its errors are said."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Protocol

from artifactscan.errors import CutOffError, UsageError
from artifactscan.export.tables.stored_run import StoredRun
from artifactscan.messages.text import without_credentials
from artifactscan.storage.storage_errors import one_line

Changes = Mapping[str, Sequence[StoredRun]]
"""Table → the runs whose rows are to be written in place of those that the target has of them."""


class TableTarget(Protocol):
    """Tables elsewhere that hold every run of a store once.

    The rows of a run and the mark that they are there (`StoredRun.mark`) are written by the same commit, so that after
    a kill at any moment the marks say what is missing.
    """

    def runs(self) -> set[str]:
        """The runs of which it has anything."""
        ...

    def holds(self, table: str, run: StoredRun) -> bool:
        """Whether the table has the rows of the run as they are in the store now."""
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


@contextmanager
def opening(what: str, errors: tuple[type[Exception], ...], way_out: str) -> Iterator[None]:
    """Turns a library's ``errors`` and OSErrors of opening a target into UsageError: nothing was written."""
    try:
        yield
    except (*errors, OSError) as error:
        raise UsageError(f"{what} cannot be used: {_reason(error)}; {way_out}") from error


@contextmanager
def writing(what: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns a library's ``errors`` of writing to a target into CutOffError: what was committed before stays."""
    try:
        yield
    except errors as error:
        raise CutOffError(
            f"writing to {what} failed: {_reason(error)}; the same command continues the export"
        ) from error


def _reason(error: Exception) -> str:
    """The first line of a library's message, without passwords in URLs."""
    text = str(error).strip() or type(error).__name__
    return without_credentials(one_line(text.splitlines()[0]))


def wrong_columns(table: str, where: str) -> UsageError:
    """The error for a table that has other columns than those that are exported."""
    return UsageError(
        f"{where} has a table {table} with other columns than artifactscan's; give another place, or move it away"
    )
